/** Logs: frames however cut, prefixes, streams, and what is asked of the daemon. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CliSwarm, ScriptedDaemon } from '../../test/cli-world.ts'
import { listAt, textAt } from '../json.ts'
import { readFrames, splitDetails } from './logs.ts'

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt8(stream, 0)
  head.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([head, Buffer.from(text)])
}

describe('frames', () => {
  test('readFrames() finds them in pieces of any size', async () => {
    const bytes = Buffer.concat([frame(1, 'one\n'), frame(2, ''), frame(2, 'zwölf\n')])
    for (const size of [1, 3, 8, 1000]) {
      const pieces = (async function* () {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
      })()
      const frames: unknown[] = []
      for await (const one of readFrames(pieces)) frames.push(one)

      expect(frames).toEqual([
        { stream: 1, text: 'one\n' },
        { stream: 2, text: '' },
        { stream: 2, text: 'zwölf\n' },
      ])
    }
  })

  test('splitDetails() takes time, details and text apart', () => {
    expect(splitDetails('2026-01-01T00:00:00.000000000Z a=1%2C2,b=x the text', true)).toEqual({
      time: '2026-01-01T00:00:00.000000000Z',
      details: new Map([
        ['a', '1,2'],
        ['b', 'x'],
      ]),
      text: 'the text',
    })
    expect(splitDetails('a=1 ', false).text).toBe('')
  })
})

describe('service logs', () => {
  let swarm: CliSwarm
  let taskId: string

  beforeEach(async () => {
    swarm = await CliSwarm.start()
    await swarm.run('service', 'create', '-d', '--name', 'web', '--replicas', '1', 'img')
    const [task] = listAt(await swarm.json('service', 'ps', 'web'))
    taskId = textAt(task, 'ID')
    const nodeId = textAt(task, 'NodeID')
    const line = (stream: 'stdout' | 'stderr', text: string) => ({
      kind: 'line' as const,
      nodeId,
      taskId,
      line: {
        timestampMs: 1_700_000_000_000,
        timestampNs: 5,
        stream,
        data: Buffer.from(text),
        partial: false,
      },
    })
    swarm.backend.logEvents = [
      line('stdout', 'hello'),
      line('stderr', 'oh no'),
      { kind: 'gap', message: 'node beta is down' },
    ]
  })

  afterEach(() => swarm.close())

  test('prefixes lines with task and node, and keeps the streams apart', async () => {
    const { code, out, err } = await swarm.run('service', 'logs', 'web')

    expect(code).toBe(0)
    expect(out).toMatch(
      new RegExp(`^web\\.1\\.${taskId.slice(0, 12)}@(?:alpha|beta) {4}\\| hello\n$`),
    )
    expect(err).toMatch(/ {4}\| oh no\n.*node beta is down/)
  })

  test.each([
    [['--no-task-ids'], /^web\.1@(?:alpha|beta) {4}\| hello\n$/],
    [['--raw'], /^hello\n$/],
    [['-t', '--no-task-ids'], /^2023-11-14T22:13:20\.000000005Z web\.1@\w+ {4}\| hello\n$/],
    [['--no-resolve'], /^[0-9a-z]{25}\.1\.[0-9a-z]{12}@node[12] {4}\| hello\n$/],
    [['--no-trunc'], /^web\.1\.[0-9a-z]{25}@/],
  ])('%s', async (flags, out) => {
    expect((await swarm.run('service', 'logs', ...flags, 'web')).out).toMatch(out)
  })

  test('--json is an object a line', async () => {
    const { out } = await swarm.run('service', 'logs', '--json', 'web')

    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { stream: 'stdout', task: taskId, text: 'hello' },
      { stream: 'stderr', task: taskId, text: 'oh no' },
    ])
  })

  test('passes on what is asked, also of a single task', async () => {
    await swarm.run('service', 'logs', '--tail', '5', '--since', '1h', 'web')
    expect(swarm.backend.logsRequest).toMatchObject({
      tail: 5,
      sinceMs: 1_700_000_000_000 - 3_600_000,
      follow: false,
    })

    await swarm.run('service', 'logs', '-f', taskId)
    expect(swarm.backend.logsRequest).toMatchObject({ taskIds: [taskId], follow: true, tail: -1 })
  })

  test('what is neither a service nor a task is named', async () => {
    expect(await swarm.run('service', 'logs', 'nothing')).toEqual({
      code: 1,
      out: '',
      err: 'no such task or service: nothing\n',
    })
  })

  test('a line of a task that is gone is printed by its ids', async () => {
    const details = 'com.docker.swarm.node.id=n9,com.docker.swarm.task.id=t9'
    const daemon = await ScriptedDaemon.start(({ call }) => {
      if (call.includes('/logs?')) return { body: frame(1, `${details} last words\n`) }
      return { body: call === 'GET /services/web' ? { ID: 'abc' } : [] }
    })

    expect((await daemon.run(['service', 'logs', 'web'])).out).toBe('t9@n9    | last words\n')
    await daemon.close()
  })
})
