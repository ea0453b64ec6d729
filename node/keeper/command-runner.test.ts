/**
 * Real commands: results, order within a key, limits.
 */
import { expect, test } from 'vitest'
import { CommandRunner } from './command-runner.ts'

function run(
  runner: CommandRunner,
  script: string,
  options: { key?: string; input?: string; timeoutMs?: number } = {},
) {
  return runner.run({
    kind: 'run',
    key: options.key ?? script,
    argv: ['sh', '-c', script],
    input: options.input ?? '',
    timeoutMs: options.timeoutMs ?? 10_000,
  })
}

test('a command gets its input and gives output, errors and exit code', async () => {
  const result = await run(new CommandRunner(), 'cat; echo bad >&2; exit 3', { input: 'text' })

  expect(result).toEqual({ exitCode: 3, stdout: 'text', stderr: 'bad\n' })
})

test('a command ended by a signal has 128 and its number', async () => {
  const result = await run(new CommandRunner(), 'kill -KILL $$')

  expect(result.exitCode).toBe(137)
})

test('a program that is not there is named', async () => {
  const argv = ['no-such-program-here']
  const request = { kind: 'run', key: '', argv, input: '', timeoutMs: 1_000 } as const

  await expect(new CommandRunner().run(request)).rejects.toMatchObject({
    code: 'not-found',
    message: 'program "no-such-program-here" is not installed',
  })
})

test('commands of one key run one after another, in their order', async () => {
  const runner = new CommandRunner()
  const ended: string[] = []
  const note = (name: string) => () => void ended.push(name)

  await Promise.all([
    run(runner, 'sleep 0.2', { key: 'a' }).then(note('slow')),
    run(runner, 'true', { key: 'a' }).then(note('after it')),
    run(runner, 'true', { key: 'b' }).then(note('of another key')),
  ])

  expect(ended).toEqual(['of another key', 'slow', 'after it'])
})

test('no more than sixteen commands run at a time', async () => {
  const runner = new CommandRunner()
  const script = 'date +%s%N; sleep 0.15; date +%s%N'

  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) => run(runner, script, { key: String(i) })),
  )

  const spans = results.map(({ stdout }) => stdout.trim().split('\n').map(Number))
  const overlaps = spans.map(
    ([start = 0]) => spans.filter(([from = 0, to = 0]) => from <= start && start < to).length,
  )
  expect(Math.max(...overlaps)).toBeLessThanOrEqual(16)
})

test('a command that does not end in time is killed with what it started', async () => {
  const lost = run(new CommandRunner(), 'sleep 60 & wait', { timeoutMs: 200 })

  await expect(lost).rejects.toMatchObject({ code: 'deadline-exceeded', retriable: true })
})

test('a command that writes without end is ended', async () => {
  await expect(run(new CommandRunner(), 'yes')).rejects.toMatchObject({
    code: 'resource-exhausted',
  })
})
