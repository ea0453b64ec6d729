/** Health checks as real processes: how they end, what is kept of their output, what is left of them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ProcessProbes } from './process-probes.ts'

let probes: ProcessProbes
let directory: string

beforeEach(() => {
  probes = new ProcessProbes()
  directory = mkdtempSync(join(tmpdir(), 'tsswarm-probes-'))
})

afterEach(() => {
  probes.endAll()
  rmSync(directory, { recursive: true })
})

function run(line: string, timeoutMs = 60_000): ReturnType<ProcessProbes['run']> {
  const env = ['PATH=/usr/bin:/bin', 'COLOUR=red']
  return probes.run({ taskId: 't1', argv: ['/bin/sh', '-c', line], env, directory, timeoutMs })
}

/** Whether the process whose number the check wrote is there. */
function isAlive(file: string): boolean {
  const pid = Number(readFileSync(join(directory, file), 'utf8'))
  try {
    process.kill(pid, 0)
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

async function untilGone(file: string): Promise<void> {
  while (isAlive(file)) await new Promise((resolve) => setTimeout(resolve, 10))
}

test('a check tells its exit code and both of its streams', async () => {
  expect(await run('echo $COLOUR; pwd; echo bad >&2; exit 3')).toEqual({
    kind: 'exited',
    exitCode: 3,
    output: `red\n${directory}\nbad\n`,
  })
})

test('of long output the first 4,096 bytes are kept', async () => {
  const outcome = await run('head -c 1000000 /dev/zero | tr "\\0" x')

  expect(outcome).toEqual({ kind: 'exited', exitCode: 0, output: `${'x'.repeat(4_096)}...` })
})

test('a check that takes too long is ended with all that it started', async () => {
  const outcome = await run('sleep 1000 & echo $! >child; echo begun; wait', 300)

  expect(outcome).toEqual({ kind: 'late', output: 'begun\n' })
  await untilGone('child')
})

test('what a check leaves behind is ended, and not waited for', async () => {
  const outcome = await run('sleep 1000 & echo $! >child')

  expect(outcome).toMatchObject({ kind: 'exited', exitCode: 0 })
  await untilGone('child')
})

test('a second check of a task takes the place of the first', async () => {
  const first = run('sleep 1000')
  const second = run('echo second')

  expect([await first, await second]).toEqual([
    { kind: 'late', output: '' },
    { kind: 'exited', exitCode: 0, output: 'second\n' },
  ])
})

test('a check whose program is missing is refused', async () => {
  const probe = { taskId: 't1', argv: ['/nonexistent'], env: [], directory, timeoutMs: 1_000 }

  await expect(probes.run(probe)).rejects.toThrow('the health check "/nonexistent" cannot be')
})
