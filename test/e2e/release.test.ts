/**
 * The release archive on a host that has no Node: unpacked somewhere, it runs as command line, as
 * daemon and as keeper, from its own files alone.
 */
import {
  type ChildProcess,
  execFileSync,
  type SpawnSyncReturns,
  spawn,
  spawnSync,
} from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { makeRelease } from '../../deploy/release.ts'
import { silentLog } from '../../lib/log.ts'
import { KeeperClient } from '../../node/keeper/client.ts'
import { openHostPaths } from '../../node/keeper/host-paths.ts'
import manifest from '../../package.json' with { type: 'json' }

/** All that the launcher needs of a system. */
const COMMANDS = ['sh', 'readlink', 'dirname', 'flock', 'sleep', 'chrt', 'nice', 'true']

const folder = mkdtempSync('/var/tmp/tsswarm-release-')
const bin = join(folder, 'bin')
let root = ''
let daemon: ChildProcess | undefined

beforeAll(() => {
  const archive = makeRelease(folder)
  execFileSync('tar', ['-xzf', archive, '-C', folder])
  root = archive.replace(/\.tar\.gz$/, '')
  mkdirSync(bin)
  for (const command of COMMANDS) {
    const path = execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim()
    if (path.startsWith('/')) symlinkSync(path, join(bin, command))
  }
})

afterAll(() => {
  daemon?.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

function tsswarm(...args: readonly string[]): SpawnSyncReturns<string> {
  const program = join(root, 'bin', 'tsswarm')
  return spawnSync(program, args, { env: { PATH: bin }, cwd: '/', encoding: 'utf8' })
}

test('release runs where there is no Node', () => {
  expect(tsswarm('--version').stdout).toBe(`tsswarm version ${manifest.version}\n`)
  expect(tsswarm('daemon', '--help').stdout).toContain('--raft-listen')
})

test('release says what is wrong with a flag of the daemon', () => {
  const { status, stderr } = tsswarm('daemon', '--nonsense')

  expect(status).toBe(125)
  expect(stderr).toContain('--nonsense')
  expect(stderr).not.toContain('.js:')
})

test('release holds what runs, and neither sources nor what development needs', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' })

  expect(files.filter((path) => /\.ts$|\.test\.|vitest|biome/.test(path))).toEqual([])
  for (const path of [
    'README.md',
    'LICENSE',
    'deploy/install.sh',
    'deploy/systemd/tsswarm.service',
  ])
    expect(files).toContain(path)
})

test('release runs as a daemon with its keeper', async () => {
  const state = join(folder, 'state')
  const socket = join(folder, 'api.sock')
  daemon = spawn(
    join(root, 'bin', 'tsswarm'),
    [
      ...['daemon', '--state-dir', state, '--api', `unix://${socket}`, '--runtime', 'process'],
      ...['--listen', '127.0.0.1:0', '--raft-listen', '127.0.0.1:0'],
    ],
    { env: { PATH: bin }, cwd: '/', stdio: 'ignore' },
  )
  await vi.waitFor(() => expect(tsswarm('-H', `unix://${socket}`, 'info').status).toBe(0), {
    timeout: 30_000,
    interval: 200,
  })
  const keeper = new KeeperClient({ paths: openHostPaths(state), log: silentLog })
  const pid = await keeper.pid()

  expect(execFileSync('readlink', [`/proc/${pid}/exe`], { encoding: 'utf8' }).trim()).toBe(
    join(root, 'bin', 'node'),
  )
  daemon.kill('SIGTERM')
  await vi.waitFor(() => expect(daemon?.exitCode).toBe(0), { timeout: 20_000 })
  await keeper.end(true)
  await vi.waitFor(() => expect(existsSync(`/proc/${pid}/exe`)).toBe(false), { timeout: 15_000 })
})
