/** packages.sh with an apt-get that only writes down what it is asked. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const SCRIPT = join(import.meta.dirname, 'packages.sh')
let bin: string

beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'tsswarm-packages-'))
  for (const name of ['sed', 'touch', 'chmod']) symlinkSync(which(name), join(bin, name))
  command('id', 'echo 0')
})

afterEach(() => {
  rmSync(bin, { recursive: true })
})

function which(name: string): string {
  return spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
}

function command(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`)
  chmodSync(join(bin, name), 0o755)
}

/** Installing package `p-NAME` makes command `NAME`; `plan` is what a simulation prints. */
function apt(plan: string): void {
  command(
    'apt-get',
    `echo "$*" >> ${bin}/log
case " $* " in *" --simulate "*) echo "${plan}"; exit 0 ;; esac
for word in "$@"; do
  case $word in p-*) touch ${bin}/"\${word#p-}"; chmod 755 ${bin}/"\${word#p-}" ;; esac
done`,
  )
}

function run(...pairs: readonly string[]): { status: number | null; stderr: string; log: string } {
  const { status, stderr } = spawnSync('/bin/sh', [SCRIPT, ...pairs], {
    env: { PATH: bin },
    encoding: 'utf8',
  })
  const log = join(bin, 'log')
  return { status, stderr, log: existsSync(log) ? readFileSync(log, 'utf8') : '' }
}

test('packages.sh asks apt for nothing when every command is there', () => {
  apt('')
  command('x-one', '')

  expect(run('x-one:p-x-one')).toMatchObject({ status: 0, log: '' })
})

test('packages.sh installs what is missing, once, and keeps everything else', () => {
  apt('Inst p-x-two')
  command('x-one', '')

  const { status, log } = run('x-one:p-x-one', 'x-two:p-x-two', 'x-two:p-x-two')

  expect(status).toBe(0)
  const lines = log.trim().split('\n')
  expect(lines).toHaveLength(3)
  expect(lines[2]).toMatch(/^install -y .*--no-install-recommends --no-remove .* p-x-two$/)
})

test('packages.sh stops where apt would remove a package, and says what to decide', () => {
  apt('Remv theirs [1.0]')

  const { status, stderr, log } = run('x-two:p-x-two')

  expect(status).toBe(1)
  expect(stderr).toContain('theirs [1.0]')
  expect(stderr).toContain('apt-get install --no-install-recommends p-x-two')
  expect(log).not.toContain('install -y')
})

test('packages.sh says what is missing where nothing can be installed', () => {
  expect(run('x-two:p-x-two')).toMatchObject({ status: 2 })

  apt('')
  command('id', 'echo 1000')
  const { status, stderr } = run('x-two:p-x-two')
  expect(status).toBe(1)
  expect(stderr).toContain('as root: apt-get install --no-install-recommends p-x-two')
})

test('packages.sh finds out when a package does not bring its command', () => {
  apt('Inst p-other')

  const { status, stderr } = run('x-two:p-other')

  expect(status).toBe(1)
  expect(stderr).toContain('x-two cannot be found')
})
