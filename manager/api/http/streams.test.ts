/** Answers that go on: events of the swarm and logs, frame by frame. */
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../../lib/log.ts'
import { emptyLogLine } from '../../../proto/gen/logs.ts'
import { ApiClient, filters, type Reply } from '../../../test/api-client.ts'
import { SMALL_WORLD, TestBackend, WALL_MS } from '../../../test/backend.ts'
import { service, task } from '../../../test/build.ts'
import { EngineDefinition } from '../../../test/engine-definition.ts'
import type { LogEvent } from '../backend.ts'
import { newApi } from './server.ts'

const definition = EngineDefinition.find()
const NOW_S = WALL_MS / 1_000
const SPEC = { Name: 'web', TaskTemplate: { ContainerSpec: { Image: 'nginx:1' } } }

describe('events', () => {
  test('tell what happened since a time, with what changed', async () => {
    const client = new ApiClient()
    // Comparing begins with the second step that a node sees.
    await client.ask('POST /configs/create', { Name: 'c', Data: 'eA==' })
    await client.ask('POST /services/create', SPEC)
    const { body } = await client.ask('GET /services/web')
    const version = Object(body).Version.Index
    await client.ask(`POST /services/web/update?version=${version}`, {
      ...SPEC,
      TaskTemplate: { ContainerSpec: { Image: 'nginx:2' } },
      Mode: { Replicated: { Replicas: 3 } },
    })
    await client.ask('DELETE /services/web')

    const events = linesOf(await client.ask(`GET /events?since=${NOW_S}&until=${NOW_S}`))

    expect(events.map((event) => definition?.checkDefinition('EventMessage', event) ?? [])).toEqual(
      events.map(() => []),
    )
    const told = events.map(({ Type, Action, Actor }) => [Type, Action, Object(Actor).Attributes])
    expect(told.slice(0, 3)).toEqual([
      ['config', 'create', { name: 'c' }],
      ['service', 'create', { name: 'web' }],
      [
        'service',
        'update',
        {
          name: 'web',
          'image.old': 'nginx:1',
          'image.new': 'nginx:2',
          'replicas.old': '1',
          'replicas.new': '3',
        },
      ],
    ])
    expect(told.slice(3)).toContainEqual([
      'service',
      'update',
      { name: 'web', 'updatestate.new': 'updating' },
    ])
    expect(told.at(-1)).toEqual(['service', 'remove', { name: 'web' }])
    expect(events[0]).toMatchObject({ scope: 'swarm', time: NOW_S, timeNano: WALL_MS * 1e6 })
  })

  test('pass filters', async () => {
    const client = new ApiClient()
    await client.ask('POST /configs/create', { Name: 'c', Data: 'eA==', Labels: { a: 'b' } })
    await client.ask('POST /services/create', SPEC)
    const table: readonly (readonly [Readonly<Record<string, string[]>>, number])[] = [
      [{}, 2],
      [{ type: ['service'] }, 1],
      [{ type: ['container'] }, 0],
      [{ event: ['create'] }, 2],
      [{ event: ['remove'] }, 0],
      [{ scope: ['local'] }, 0],
      [{ service: ['web'] }, 1],
      [{ config: ['web'] }, 0],
      [{ label: ['a=b'] }, 1],
      [{ container: ['web'] }, 0],
    ]

    for (const [wanted, count] of table) {
      const path = `/events?since=0&until=${NOW_S}&${filters(wanted)}`
      expect([wanted, linesOf(await client.ask(`GET ${path}`)).length]).toEqual([wanted, count])
    }
  })

  test('refuse times that are none', async () => {
    const client = new ApiClient()

    expect(await client.ask('GET /events?since=yesterday')).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('since: "yesterday"') },
    })
    expect((await client.ask('GET /events?since=2&until=1')).status).toBe(400)
  })

  test('go on until the client is gone', async () => {
    const backend = new TestBackend()
    const api = newApi({ backend, log: silentLog, wallMs: () => WALL_MS })
    const gone = new AbortController()
    const reply = api.inject({ url: '/events', signal: gone.signal, payloadAsStream: true })
    const stream = (await reply).stream()
    const first = new Promise<string>((resolve) =>
      stream.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    )

    await backend.write({
      kind: 'configCreate',
      configCreate: {
        spec: { annotations: { name: 'c', labels: new Map() }, data: new Uint8Array([1]) },
      },
    })

    expect(JSON.parse(await first)).toMatchObject({ Type: 'config', Action: 'create' })
    stream.on('error', () => undefined)
    gone.abort()
    await api.close()
  })
})

describe('logs', () => {
  const world = {
    ...SMALL_WORLD,
    services: [service({ id: 's1', spec: { annotations: { name: 'web' } } })],
    tasks: [
      task({ id: 't1', serviceId: 's1', nodeId: 'node1' }),
      task({ id: 't2', serviceId: 's1', nodeId: 'node2', slot: 2 }),
    ],
  }

  test('are framed, line by line', async () => {
    const client = new ApiClient(new TestBackend(world))
    client.backend.logEvents = [line('t1', 'one'), line('t2', 'two', { stream: 'stderr' })]

    const reply = await client.ask('GET /services/web/logs?stdout=1&stderr=1')

    expect(reply.headers['content-type']).toBe('application/vnd.docker.multiplexed-stream')
    expect(framesOf(reply)).toEqual([
      [1, 'one\n'],
      [2, 'two\n'],
    ])
    expect(client.backend.logsRequest).toMatchObject({
      taskIds: ['t1', 't2'],
      serviceId: 's1',
      follow: false,
      tail: -1,
      sinceMs: 0,
    })
  })

  test('carry times and details where they are asked for', async () => {
    const client = new ApiClient(new TestBackend(world))
    client.backend.logEvents = [line('t1', 'one', { timestampMs: WALL_MS + 5, timestampNs: 7 })]
    const query = 'stdout=1&timestamps=1&details=1&tail=10&since=1700000000.5&follow=1'

    const reply = await client.ask(`GET /v1.41/tasks/t1/logs?${query}`)

    expect(reply.headers['content-type']).toBe('application/vnd.docker.raw-stream')
    expect(framesOf(reply)).toEqual([
      [
        1,
        '2023-11-14T22:13:20.005000007Z com.docker.swarm.node.id=node1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1 one\n',
      ],
    ])
    expect(client.backend.logsRequest).toMatchObject({
      taskIds: ['t1'],
      serviceId: '',
      follow: true,
      stdout: true,
      stderr: false,
      tail: 10,
      sinceMs: 1_700_000_000_500,
    })
  })

  test('end with what could not be read, and break no line that was cut', async () => {
    const client = new ApiClient(new TestBackend(world))
    client.backend.logEvents = [
      line('t1', 'a', { partial: true }),
      { kind: 'gap', message: 'node beta is not available' },
      line('t1', 'b'),
    ]

    const reply = await client.ask('GET /services/web/logs?stdout=1')

    expect(framesOf(reply)).toEqual([
      [1, 'a'],
      [1, 'b\n'],
      [3, expect.stringContaining('incomplete log stream. some logs could not be retrieved')],
    ])
  })

  test('refuse what they cannot do', async () => {
    const client = new ApiClient(new TestBackend(world))

    for (const [path, status, message] of [
      ['/services/web/logs', 400, 'you must choose at least one stream'],
      ['/services/web/logs?stdout=1&tail=x', 400, 'tail: "x"'],
      ['/services/web/logs?stdout=1&since=x', 400, 'since: "x"'],
      ['/services/web/logs?stdout=1&until=5', 400, 'until'],
      ['/services/api/logs?stdout=1', 404, 'service api not found'],
      ['/tasks/t9/logs?stdout=1', 404, 'task t9 not found'],
    ] as const)
      expect(await client.ask(`GET ${path}`)).toMatchObject({
        status,
        body: { message: expect.stringContaining(message) },
      })
  })
})

function line(taskId: string, text: string, part: Partial<typeof emptyLogLine> = {}): LogEvent {
  return {
    kind: 'line',
    nodeId: taskId === 't1' ? 'node1' : 'node2',
    taskId,
    line: { ...emptyLogLine, data: Buffer.from(text), ...part },
  }
}

function linesOf({ text }: Reply): readonly Readonly<Record<string, unknown>>[] {
  return text
    .split('\n')
    .filter((part) => part !== '')
    .map((part) => JSON.parse(part))
}

function framesOf({ bytes }: Reply): readonly (readonly [number, string])[] {
  const frames: [number, string][] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    frames.push([bytes.readUInt8(at), bytes.toString('utf8', at + 8, at + 8 + length)])
    at += 8 + length
  }
  return frames
}
