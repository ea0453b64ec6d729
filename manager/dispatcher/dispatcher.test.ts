/** Stories of sessions on one manager: how they begin, what they are told, how they end. */
import { expect, test } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { silentLog } from '../../lib/log.ts'
import { emptyWriteReply, type WriteRequest } from '../../proto/gen/control.ts'
import type { AgentMessage, Hello, SessionMessage } from '../../proto/gen/dispatcher.ts'
import { emptyNodeDescription } from '../../proto/gen/objects.ts'
import { emptyMember } from '../../proto/gen/types.ts'
import { applyTo, cluster, node, storeWith, task } from '../../test/build.ts'
import type { Change } from '../store/change.ts'
import type { Store } from '../store/store.ts'
import { Dispatcher, type DispatcherInput, type DispatcherOutput } from './dispatcher.ts'
import { NodeStatus } from './node-status.ts'

const HELLO: Hello = {
  bootId: 'b',
  instance: 'i1',
  description: emptyNodeDescription,
  taskIds: [],
  seen: { epoch: 0, index: 0 },
}

/** Of another process of the same node: its next one, or that of a clone. */
const OTHER: Hello = { ...HELLO, instance: 'i2' }

const DOWN = { state: 'down' } as const

function world(): Store {
  const manager = { ...emptyMember, raftId: 1, nodeId: 'm1', addr: 'm1:2377' }
  return storeWith({
    index: 10,
    clusters: [cluster({ rootCa: { certificatePem: 'PEM' } })],
    nodes: [node({ id: 'm1', member: manager }), node({ id: 'n1' }), node({ id: 'n2' })],
    tasks: [task({ id: 't1', nodeId: 'n1', status: { state: 'assigned' } })],
  })
}

/** A dispatcher whose outputs are kept in the order in which they came. */
class Desk {
  readonly store: Store
  readonly dispatcher: Dispatcher
  nowMs = 0

  constructor(store = world()) {
    this.store = store
    this.dispatcher = new Dispatcher({ raftId: 1, view: store.view(), nowMs: 0, log: silentLog })
    this.step({ kind: 'leader', term: 1, isKnown: true })
  }

  step(input: DispatcherInput): readonly DispatcherOutput[] {
    this.dispatcher.step(input)
    return this.#take()
  }

  /** Time goes by in steps of 50 ms. */
  wait(durationMs: number): readonly DispatcherOutput[] {
    const outputs: DispatcherOutput[] = []
    for (let waited = 0; waited < durationMs; waited += 50) {
      this.nowMs += 50
      this.dispatcher.tick(this.nowMs)
      outputs.push(...this.#take())
    }
    return outputs
  }

  apply(changes: readonly Change[]): readonly DispatcherOutput[] {
    applyTo(this.store, changes)
    return this.step({ kind: 'applied', view: this.store.view(), changes })
  }

  say(session: number, body: AgentMessage['body']): readonly DispatcherOutput[] {
    return this.step({ kind: 'received', session, message: { body } })
  }

  open(session: number, hello: Hello = HELLO, nodeId = 'n1'): readonly DispatcherOutput[] {
    this.step({ kind: 'opened', session, nodeId, peerAddr: '10.0.0.1' })
    return this.say(session, { kind: 'hello', hello })
  }

  /** A session that has been registered, and everything it was told. */
  run(session: number, hello: Hello = HELLO, nodeId = 'n1'): readonly DispatcherOutput[] {
    const reads = this.open(session, hello, nodeId)
    const writes = this.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 10 })
    return this.commit(writes)
  }

  commit(outputs: readonly DispatcherOutput[], index = 10): readonly DispatcherOutput[] {
    const outcome = { kind: 'committed', reply: { ...emptyWriteReply, index } } as const
    return this.step({ kind: 'write-done', id: idOf(outputs, 'write'), outcome })
  }

  refuse(outputs: readonly DispatcherOutput[], error: SwarmError): readonly DispatcherOutput[] {
    const outcome = { kind: 'refused', error } as const
    return this.step({ kind: 'write-done', id: idOf(outputs, 'write'), outcome })
  }

  beat(session: number, sequence: number): readonly DispatcherOutput[] {
    return this.say(session, { kind: 'heartbeat', heartbeat: { sequence } })
  }

  #take(): readonly DispatcherOutput[] {
    const outputs = this.dispatcher.ready() ?? []
    if (outputs.length > 0) this.dispatcher.advance(outputs)
    return outputs
  }
}

function idOf(
  outputs: readonly DispatcherOutput[],
  kind: 'write' | 'relay' | 'read-index',
): number {
  for (const output of outputs) if (output.kind === kind) return output.id
  throw new Error(`no ${kind} among ${outputs.map((output) => output.kind).join(', ')}`)
}

/** What was sent, each by its kind; closes by their code. */
function told(outputs: readonly DispatcherOutput[]): readonly string[] {
  return outputs.flatMap((output) => {
    if (output.kind === 'send') return `${output.message.body?.kind}`
    if (output.kind === 'close') return `close ${output.session}: ${output.reason?.code ?? 'ok'}`
    return []
  })
}

function messages<K extends NonNullable<SessionMessage['body']>['kind']>(
  outputs: readonly DispatcherOutput[],
  kind: K,
): readonly Extract<SessionMessage['body'], { kind: K }>[] {
  return outputs.flatMap((output) => {
    if (output.kind !== 'send' || output.message.body?.kind !== kind) return []
    return [output.message.body as Extract<SessionMessage['body'], { kind: K }>]
  })
}

function isClose(text: string): boolean {
  return text.startsWith('close')
}

/** Why sessions were closed. */
function reasons(outputs: readonly DispatcherOutput[]): readonly string[] {
  return outputs.flatMap((output) =>
    output.kind === 'close' ? [output.reason?.message ?? 'ok'] : [],
  )
}

/** Time goes by while agents are heard; a leader whose store has `appliedIndex` answers for all. */
function beatFor(
  desk: Desk,
  durationMs: number,
  appliedIndex: number,
  sessions: readonly number[] = [1, 2],
): readonly DispatcherOutput[] {
  const outputs: DispatcherOutput[] = []
  for (let waited = 0; waited < durationMs; waited += 500) {
    for (const session of sessions) desk.beat(session, waited / 500 + 1)
    const round = desk.wait(500)
    outputs.push(...round)
    for (const output of round)
      if (output.kind === 'relay') {
        const reply = { term: 1, refusals: [], appliedIndex, notReadyNodeIds: [] }
        outputs.push(...desk.step({ kind: 'relay-done', id: output.id, reply }))
      }
  }
  return outputs
}

function writes(outputs: readonly DispatcherOutput[]): readonly WriteRequest['body'][] {
  return outputs.flatMap((output) => (output.kind === 'write' ? [output.request.body] : []))
}

function turn(desiredState: 'running' | 'shutdown'): Change {
  const object = task({ id: 't1', nodeId: 'n1', desiredState, status: { state: 'assigned' } })
  return { kind: 'update', table: 'tasks', object }
}

test('a session is confirmed, registered, told its news and given the full set', () => {
  const desk = new Desk()

  const reads = desk.open(1)
  const registering = desk.step({
    kind: 'read-index-done',
    id: idOf(reads, 'read-index'),
    index: 10,
  })
  const running = desk.commit(registering)

  expect(told(reads)).toEqual([])
  expect(registering).toMatchObject([
    {
      kind: 'write',
      request: {
        caller: { nodeId: 'n1' },
        body: {
          kind: 'nodeRegister',
          nodeRegister: { nodeId: 'n1', instance: 'i1', addr: '10.0.0.1', holder: 1 },
        },
      },
    },
  ])
  expect(told(running)).toEqual(['start', 'node', 'managers', 'assignments'])
  expect(messages(running, 'start')[0]?.start).toEqual({ heartbeatPeriodMs: 2_000 })
  expect(messages(running, 'managers')[0]?.managers.managers).toEqual([
    { nodeId: 'm1', addr: 'm1:2377' },
  ])
  expect(messages(running, 'assignments')[0]?.assignments).toMatchObject({
    full: true,
    mark: { epoch: 0, index: 10 },
    updates: [{ id: 't1' }],
  })
})

test('no session begins before the own store has what the read index and the agent have seen', () => {
  const desk = new Desk()
  const reads = desk.open(1, { ...HELLO, seen: { epoch: 0, index: 12 } })

  const confirmed = desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 11 })
  const at11 = desk.apply([])
  const at12 = desk.apply([])

  expect([writes(confirmed), writes(at11)]).toEqual([[], []])
  expect(writes(at12)).toHaveLength(1)
})

test('a manager that does not catch up in time sends the agent elsewhere', () => {
  const desk = new Desk()
  const reads = desk.open(1)
  desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 99 })

  desk.beat(1, 1)
  const early = desk.wait(8_000)
  desk.beat(1, 2)
  const late = desk.wait(4_000)

  expect(told(early)).toEqual([])
  expect(told(late)).toEqual(['close 1: unavailable'])
})

test.each([
  [{ epoch: 1, index: 1 }, 'n1', 'close 1: failed-precondition'],
  [{ epoch: 0, index: 1 }, 'stranger', 'close 1: not-found'],
])('an agent that has seen %o as %s is refused', (seen, nodeId, expected) => {
  const desk = new Desk()
  const reads = desk.open(1, { ...HELLO, seen }, nodeId)

  const outputs = desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 10 })

  expect(told(outputs)).toEqual([expected])
})

test('a read index asked for before a hello does not serve it', () => {
  const desk = new Desk()
  const first = desk.open(1)
  const second = desk.open(2, HELLO, 'n2')

  const outputs = desk.step({ kind: 'read-index-done', id: idOf(first, 'read-index'), index: 10 })

  expect(second).toEqual([])
  expect(writes(outputs)).toMatchObject([{ nodeRegister: { nodeId: 'n1' } }])
  expect(outputs.map(({ kind }) => kind)).toContain('read-index')
})

test('a refused read is asked again after a while', () => {
  const desk = new Desk()
  const reads = desk.open(1)

  const refused = desk.step({
    kind: 'read-index-done',
    id: idOf(reads, 'read-index'),
    index: undefined,
  })

  expect(refused).toEqual([])
  expect(desk.wait(300).map(({ kind }) => kind)).toEqual(['read-index'])
})

test('a second session of an instance replaces the first once it said hello', () => {
  const desk = new Desk()
  desk.run(1)

  const opened = desk.step({ kind: 'opened', session: 2, nodeId: 'n1', peerAddr: '10.0.0.1' })
  const greeted = desk.say(2, { kind: 'hello', hello: HELLO })

  expect(told(opened)).toEqual(['managers'])
  expect(told(greeted)).toEqual(['close 1: aborted'])
  expect(desk.dispatcher.status().sessions).toBe(1)
})

test('another instance of a node takes its place once the leader has accepted it', () => {
  const desk = new Desk()
  desk.run(1)

  const reads = desk.open(2, OTHER)
  const writing = desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 10 })
  const statuses = { sequence: 1, updates: [{ taskId: 't1', status: undefined }] }
  const reported = desk.say(1, { kind: 'statuses', statuses })
  const accepted = desk.commit(writing)

  expect([told(reads), told(writing)]).toEqual([[], []])
  expect(writes(reported)).toMatchObject([{ kind: 'statusReport' }])
  expect(told(accepted)).toEqual(['close 1: aborted', 'start', 'node', 'managers', 'assignments'])
  expect(desk.dispatcher.status()).toMatchObject({ sessions: 1, runningSessions: 1 })
})

test('an instance that the leader refuses takes nothing from the one in use', () => {
  const desk = new Desk()
  desk.run(1)
  desk.wait(200)
  const cloned = new SwarmError('failed-precondition', 'cloned identity')
  const command = { body: { kind: 'logCancel', logCancel: { id: 'x' } } } as const

  const reads = desk.open(2, OTHER)
  const writing = desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 10 })
  const refused = desk.refuse(writing, cloned)
  const sent = desk.step({ kind: 'command', id: 1, nodeId: 'n1', command })
  const news = desk.apply([turn('shutdown')])

  expect(told(refused)).toEqual(['close 2: failed-precondition'])
  expect(sent).toContainEqual({ kind: 'command-done', id: 1, isDelivered: true })
  expect(told(news)).toEqual(['assignments'])
})

test.each([
  ['the first', 0, ['start'], ['close 2: aborted', 'start']],
  ['the second', 1, ['close 2: aborted', 'start'], []],
])(
  'of two instances that register, the one that said hello last stays: %s is accepted first',
  (_, at, ...expected) => {
    const desk = new Desk()
    const reads = desk.open(2)
    desk.open(3, OTHER)
    const first = desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 10 })
    const second = desk.step({ kind: 'read-index-done', id: idOf(first, 'read-index'), index: 10 })
    const order = at === 0 ? [first, second] : [second, first]

    const outcomes = order.map((outputs) => told(desk.commit(outputs)))

    const isBeginning = (word: string): boolean => word === 'start' || word.startsWith('close')
    expect(outcomes.map((words) => words.filter(isBeginning))).toEqual(expected)
    expect(desk.dispatcher.status()).toMatchObject({ sessions: 1, runningSessions: 1 })
  },
)

test.each<[string, readonly AgentMessage['body'][]]>([
  [
    'a second hello',
    [
      { kind: 'hello', hello: HELLO },
      { kind: 'hello', hello: HELLO },
    ],
  ],
  ['a heartbeat before hello', [{ kind: 'heartbeat', heartbeat: { sequence: 1 } }]],
  ['a hello without instance', [{ kind: 'hello', hello: { ...HELLO, instance: '' } }]],
])('%s ends the stream', (_, bodies) => {
  const desk = new Desk()
  desk.step({ kind: 'opened', session: 1, nodeId: 'n1', peerAddr: '' })

  const outputs = bodies.flatMap((body) => desk.say(1, body))

  expect(told(outputs)).toEqual(['close 1: invalid-argument'])
})

test('a silent stream is closed: without hello after 10 s, without heartbeats after 5 periods', () => {
  const desk = new Desk()
  desk.step({ kind: 'opened', session: 2, nodeId: 'n2', peerAddr: '' })
  desk.run(1)

  expect(told(desk.wait(9_500))).toEqual([])
  expect(told(desk.wait(2_000))).toEqual(['close 2: unavailable', 'close 1: unavailable'])
})

test('a heartbeat is answered only after a leader of the current term answered', () => {
  const desk = new Desk()
  desk.run(1)
  desk.beat(1, 7)

  const relays = desk.wait(50)
  const lost = desk.step({ kind: 'relay-done', id: idOf(relays, 'relay'), reply: undefined })
  const again = desk.wait(300)
  desk.step({ kind: 'leader', term: 5, isKnown: true })
  const deposed = { term: 4, refusals: [], appliedIndex: 0, notReadyNodeIds: [] }
  const old = desk.step({ kind: 'relay-done', id: idOf(again, 'relay'), reply: deposed })
  const third = desk.wait(300)
  const answered = desk.step({
    kind: 'relay-done',
    id: idOf(third, 'relay'),
    reply: { term: 5, refusals: [], appliedIndex: 0, notReadyNodeIds: [] },
  })

  expect(relays).toMatchObject([
    { request: { holder: 1, heartbeats: [{ nodeId: 'n1', instance: 'i1' }] } },
  ])
  expect([told(lost), told(old)]).toEqual([[], []])
  expect(messages(answered, 'heartbeatAck')).toMatchObject([
    { heartbeatAck: { sequence: 7, mark: { epoch: 0, index: 10 }, ready: true } },
  ])
})

test('an agent is told when its node does not count as ready', () => {
  const desk = new Desk()
  desk.open(1)
  desk.beat(1, 1)
  const relays = desk.wait(300)

  const reply = { term: 1, refusals: [], appliedIndex: 0, notReadyNodeIds: ['n1'] }
  const answered = desk.step({ kind: 'relay-done', id: idOf(relays, 'relay'), reply })

  expect(messages(answered, 'heartbeatAck')).toMatchObject([{ heartbeatAck: { ready: false } }])
})

test('heartbeats leave in one batch every 250 ms, from hello on, the newest of each', () => {
  const desk = new Desk()
  desk.open(1)
  desk.open(2, { ...HELLO, instance: 'i2' }, 'n2')
  desk.beat(1, 1)
  const first = desk.wait(50)
  desk.step({
    kind: 'relay-done',
    id: idOf(first, 'relay'),
    reply: { term: 1, refusals: [], appliedIndex: 0, notReadyNodeIds: [] },
  })
  desk.beat(1, 2)
  desk.beat(1, 3)
  desk.beat(2, 1)

  const early = desk.wait(200)
  const second = desk.wait(50)
  const answers = desk.step({
    kind: 'relay-done',
    id: idOf(second, 'relay'),
    reply: { term: 1, refusals: [], appliedIndex: 0, notReadyNodeIds: [] },
  })

  expect(early).toEqual([])
  expect(second).toMatchObject([
    {
      request: {
        heartbeats: [
          { nodeId: 'n1', instance: 'i1' },
          { nodeId: 'n2', instance: 'i2' },
        ],
      },
    },
  ])
  expect(messages(answers, 'heartbeatAck').map((ack) => ack.heartbeatAck.sequence)).toEqual([3, 1])
})

test('sessions are sent elsewhere when the own store does not reach in time what the leader had', () => {
  const desk = new Desk()
  desk.run(1)
  desk.run(2, HELLO, 'n2')

  const inTime = beatFor(desk, 9_000, 12)
  const late = beatFor(desk, 2_000, 12)

  expect(told(inTime)).not.toContain('close 1: unavailable')
  expect(told(late).filter(isClose)).toEqual(['close 1: unavailable', 'close 2: unavailable'])
  expect(reasons(late)[0]).toBe(
    'this manager is behind, it has applied index 10 and the leader had 12 before: try another one',
  )
})

test('a manager that gets on keeps its sessions, although the leader is always ahead of it', () => {
  const desk = new Desk()
  desk.run(1)
  const outputs: DispatcherOutput[] = []

  for (let round = 0; round < 10; round++) {
    const own = desk.store.view().index
    outputs.push(...beatFor(desk, 4_000, own + 5), ...beatFor(desk, 4_000, own + 10))
    for (let count = 0; count < 5; count++) desk.apply([])
  }

  expect(told(outputs).filter(isClose)).toEqual([])
})

test('a session at a manager that is behind waits for it, and its heartbeats count meanwhile', () => {
  const desk = new Desk()
  desk.run(1)
  beatFor(desk, 12_000, 12)

  const reads = desk.open(3)
  const behind = desk.step({
    ...{ kind: 'read-index-done', id: idOf(reads, 'read-index') },
    index: 12,
  })
  const answered = beatFor(desk, 4_000, 12, [3])
  desk.apply([])
  const caughtUp = desk.apply([])

  expect(behind).toEqual([])
  expect(messages(answered, 'heartbeatAck').length).toBeGreaterThan(0)
  expect(writes(caughtUp)).toMatchObject([{ kind: 'nodeRegister' }])
})

test('a leader that does not say what it had, as an older version, moves nobody', () => {
  const desk = new Desk()
  desk.run(1)

  expect(told(beatFor(desk, 20_000, 0))).not.toContain('close 1: unavailable')
})

test('of many sessions at a manager that is behind, a part leaves each second', () => {
  const ids = Array.from({ length: 1_500 }, (_, at) => at + 1)
  const desk = new Desk(
    storeWith({ index: 10, clusters: [cluster()], nodes: ids.map((id) => node({ id: `n${id}` })) }),
  )
  for (const id of ids) desk.run(id, HELLO, `n${id}`)
  beatFor(desk, 10_000, 12, ids)

  const counts = [0, 1, 2].map(() => told(beatFor(desk, 1_000, 12, ids)).filter(isClose).length)

  expect(counts).toEqual([1_000, 500, 0])
})

test('a session that the leader refuses ends with its reason', () => {
  const desk = new Desk()
  desk.run(1)
  desk.beat(1, 1)
  const relays = desk.wait(50)

  const refusals = [{ nodeId: 'n1', instance: 'i1', reason: 'cloned' }]
  const outputs = desk.step({
    kind: 'relay-done',
    id: idOf(relays, 'relay'),
    reply: { term: 1, refusals, appliedIndex: 0, notReadyNodeIds: [] },
  })

  expect(outputs).toMatchObject([{ kind: 'close', reason: { message: 'cloned' } }])
})

test('sessions end, and none begins, while no leader is known for an election timeout', () => {
  const desk = new Desk()
  desk.run(1)
  desk.step({ kind: 'leader', term: 1, isKnown: false })

  const early = desk.wait(900)
  const late = desk.wait(200)
  const refused = desk.step({ kind: 'opened', session: 2, nodeId: 'n2', peerAddr: '' })

  expect([told(early), told(late)]).toEqual([[], ['close 1: unavailable']])
  // Whom else to try stands in the managers that it knows, and comes first.
  expect(told(refused)).toEqual(['managers', 'close 2: unavailable'])
  expect(messages(refused, 'managers')[0]?.managers.managers).toEqual([
    { nodeId: 'm1', addr: 'm1:2377' },
  ])
})

test('changes are told at once, then at most every 100 ms', () => {
  const desk = new Desk()
  desk.run(1)
  desk.wait(200)

  const first = desk.apply([turn('shutdown')])
  const second = desk.apply([turn('running')])
  const later = desk.wait(100)

  expect([told(first), told(second), told(later)]).toEqual([['assignments'], [], ['assignments']])
  expect(messages(later, 'assignments')[0]?.assignments).toMatchObject({
    full: false,
    base: { epoch: 0, index: 11 },
    mark: { epoch: 0, index: 12 },
  })
})

test('a hundred changes do not wait', () => {
  const desk = new Desk()
  desk.run(1)

  const outputs = desk.apply(
    Array.from({ length: 100 }, (_, at) => ({
      kind: 'create',
      table: 'tasks',
      object: task({ id: `u${at}`, nodeId: 'n1', status: { state: 'assigned' } }),
    })),
  )

  expect(messages(outputs, 'assignments')[0]?.assignments.updates).toHaveLength(100)
})

test('a stream that takes nothing holds assignments back, and is closed in the end', () => {
  const desk = new Desk()
  desk.run(1)
  desk.wait(200)
  desk.step({ kind: 'blocked', session: 1 })

  const blocked = [...desk.apply([turn('shutdown')]), ...desk.wait(500)]
  const drained = desk.step({ kind: 'drained', session: 1 })
  desk.step({ kind: 'blocked', session: 1 })
  desk.wait(6_000)
  desk.beat(1, 1)
  const end = desk.wait(6_000)

  expect([told(blocked), told(drained)]).toEqual([[], ['assignments']])
  expect(told(end)).toContain('close 1: unavailable')
})

test('a replaced store is compared with all that was told', () => {
  const desk = new Desk()
  desk.run(1)
  desk.wait(200)
  const later = storeWith({
    index: 90,
    clusters: [cluster()],
    nodes: [node({ id: 'n1' })],
    tasks: [task({ id: 't7', nodeId: 'n1', status: { state: 'assigned' } })],
  })

  const outputs = desk.step({ kind: 'reset', view: later.view() })

  expect(messages(outputs, 'assignments')[0]?.assignments).toMatchObject({
    full: false,
    mark: { index: 90 },
    removedIds: ['t1'],
    updates: [{ id: 't7' }],
  })
})

test('a store that went back ends the session', () => {
  const desk = new Desk()
  desk.run(1)
  const older = storeWith({ index: 5, clusters: [cluster()], nodes: [node({ id: 'n1' })] })

  desk.step({ kind: 'reset', view: older.view() })

  expect(told(desk.wait(200))).toEqual(['close 1: unavailable'])
})

test('a node is told when its own object, the managers or the period change', () => {
  const desk = new Desk()
  desk.run(1)
  const promoted = node({ id: 'n1', spec: { role: 'manager' }, certificateRole: 'worker' })
  const member = { ...emptyMember, raftId: 2, nodeId: 'n2', addr: 'n2:2377' }

  const role = desk.apply([{ kind: 'update', table: 'nodes', object: promoted }])
  const echo = desk.apply([{ kind: 'update', table: 'nodes', object: promoted }])
  const managers = desk.apply([
    { kind: 'update', table: 'nodes', object: node({ id: 'n2', member }) },
  ])
  const period = desk.apply([
    { kind: 'update', table: 'clusters', object: cluster({ spec: { heartbeatPeriodMs: 5_000 } }) },
  ])

  expect(messages(role, 'node')[0]?.node).toMatchObject({ role: 'manager', renewCertificate: true })
  expect(told(echo)).toEqual([])
  expect(messages(managers, 'managers')[0]?.managers.managers).toHaveLength(2)
  expect(told(period)).toEqual(['start', 'node'])
})

test('a removed node’s session ends', () => {
  const desk = new Desk()
  desk.run(1)

  expect(told(desk.apply([{ kind: 'remove', table: 'nodes', id: 'n1' }]))).toEqual([
    'close 1: not-found',
  ])
})

test('statuses are acknowledged when they are written, the newest batch replacing one that waits', () => {
  const desk = new Desk()
  desk.run(1)
  const batch = (sequence: number): AgentMessage['body'] => ({
    kind: 'statuses',
    statuses: { sequence, updates: [] },
  })

  const first = desk.say(1, batch(1))
  const more = [2, 3, 2].flatMap((sequence) => desk.say(1, batch(sequence)))
  const done = desk.commit(first)
  const doneAgain = desk.commit(done)
  const repeated = desk.say(1, batch(3))

  expect(more).toEqual([])
  expect(messages(done, 'statusAck')).toMatchObject([{ statusAck: { sequence: 1 } }])
  expect(messages(doneAgain, 'statusAck')).toMatchObject([{ statusAck: { sequence: 3 } }])
  expect(repeated).toEqual([])
})

test('a write that found no leader is made again; one that was refused ends the session', () => {
  const desk = new Desk()
  desk.run(1)
  const statuses = { sequence: 1, updates: [] }
  const first = desk.say(1, { kind: 'statuses', statuses })

  const passing = desk.refuse(first, new SwarmError('unavailable', 'no leader'))
  const second = desk.wait(300)
  const final = desk.refuse(second, new SwarmError('permission-denied', 'no'))

  expect(passing).toEqual([])
  expect(writes(second)).toHaveLength(1)
  expect(told(final)).toEqual(['close 1: permission-denied'])
})

test('a changed description is written, also when it came while another was', () => {
  const desk = new Desk()
  desk.run(1)
  const describe = (hostname: string): readonly DispatcherOutput[] =>
    desk.say(1, {
      kind: 'description',
      description: { description: { ...emptyNodeDescription, hostname } },
    })

  const first = describe('a')
  describe('b')
  const second = desk.commit(first)
  const third = desk.commit(second)

  expect(writes(first)).toMatchObject([{ nodeRegister: { description: { hostname: 'a' } } }])
  expect(writes(second)).toMatchObject([{ nodeRegister: { description: { hostname: 'b' } } }])
  expect(writes(third)).toEqual([])
})

test('a node that was turned down while it lives registers again at its next heartbeat', () => {
  const desk = new Desk()
  desk.run(1)
  const down = node({ id: 'n1', status: DOWN })

  const applied = desk.apply([{ kind: 'update', table: 'nodes', object: down }])
  const beaten = desk.beat(1, 1)

  expect(writes(applied)).toEqual([])
  expect(writes(beaten)).toMatchObject([{ kind: 'nodeRegister' }])
})

test('a node is not registered again for what the own store does not know yet', () => {
  const desk = new Desk(
    storeWith({ index: 10, clusters: [cluster()], nodes: [node({ id: 'n1', status: DOWN })] }),
  )
  const reads = desk.open(1)
  const registering = desk.step({
    kind: 'read-index-done',
    id: idOf(reads, 'read-index'),
    index: 10,
  })
  desk.commit(registering, 12)

  const behind = desk.beat(1, 1)
  desk.apply([])
  desk.apply([])
  const caughtUp = desk.beat(1, 2)

  expect(writes(behind)).toEqual([])
  expect(writes(caughtUp)).toHaveLength(1)
})

test('a goodbye is written although its stream is cut, and closes the session', () => {
  const desk = new Desk()
  desk.run(1)
  desk.run(2, HELLO, 'n2')

  const first = desk.say(1, { kind: 'goodbye', goodbye: { returnMs: 60_000 } })
  desk.step({ kind: 'closed', session: 1 })
  desk.refuse(first, new SwarmError('unavailable', 'no leader'))
  const again = desk.wait(300)
  const second = desk.say(2, { kind: 'goodbye', goodbye: { returnMs: 0 } })
  const closed = desk.commit(second)

  const leave = { nodeId: 'n1', announceReturn: true, returnMs: 60_000 }
  expect(writes(again)).toMatchObject([{ nodeLeave: leave }])
  expect(writes(second)).toMatchObject([{ nodeLeave: { nodeId: 'n2', announceReturn: false } }])
  expect(told(closed)).toEqual(['close 2: ok'])
})

test('a session that says goodbye before it began does not begin', () => {
  const desk = new Desk()
  const reads = desk.open(1)
  desk.step({ kind: 'read-index-done', id: idOf(reads, 'read-index'), index: 11 })

  const goodbye = desk.say(1, { kind: 'goodbye', goodbye: { returnMs: 1 } })
  const applied = desk.apply([])

  expect(writes(goodbye)).toMatchObject([{ kind: 'nodeLeave' }])
  expect(writes(applied)).toEqual([])
})

test('a command reaches a running session, and is refused where there is none', () => {
  const desk = new Desk()
  desk.run(1)
  const command = { body: { kind: 'logCancel', logCancel: { id: 'x' } } } as const

  const sent = desk.step({ kind: 'command', id: 1, nodeId: 'n1', command })
  const failed = desk.step({ kind: 'command', id: 2, nodeId: 'n2', command })

  expect(told(sent)).toEqual(['command'])
  expect(sent).toContainEqual({ kind: 'command-done', id: 1, isDelivered: true })
  expect(failed).toEqual([{ kind: 'command-done', id: 2, isDelivered: false }])
})

test('10,000 agents that come at once are registered in turn, and none of them is down', () => {
  const nodes = Array.from({ length: 10_000 }, (_, at) => node({ id: `w${at}` }))
  const desk = new Desk(storeWith({ clusters: [cluster()], nodes }))
  const liveness = new NodeStatus({ term: 1, electedMs: 0, log: silentLog })
  let inFlight: number[] = []
  let inFlightMax = 0
  const changed: Change[] = []
  const carryOut = (outputs: readonly DispatcherOutput[]): void => {
    for (const output of outputs) {
      if (output.kind === 'write') inFlight.push(output.id)
      if (output.kind === 'read-index')
        carryOut(desk.step({ kind: 'read-index-done', id: output.id, index: 1 }))
      if (output.kind === 'relay') {
        const reply = liveness.relay(desk.store.view(), output.request)
        carryOut(desk.step({ kind: 'relay-done', id: output.id, reply }))
      }
    }
  }
  for (const [at, { id }] of nodes.entries()) {
    carryOut(desk.open(at, HELLO, id))
    carryOut(desk.beat(at, 1))
  }

  // A slow leader: one group of writes every 100 ms. Agents beat every 2 s.
  for (let sequence = 2; desk.dispatcher.status().runningSessions < 10_000; sequence += 1) {
    expect(desk.nowMs).toBeLessThan(60_000)
    for (let round = 0; round < 20; round += 1) {
      inFlightMax = Math.max(inFlightMax, inFlight.length)
      const group = inFlight
      inFlight = []
      const outcome = { kind: 'committed', reply: { ...emptyWriteReply, index: 1 } } as const
      for (const id of group) carryOut(desk.step({ kind: 'write-done', id, outcome }))
      carryOut(desk.wait(100))
      liveness.tick(desk.nowMs)
      changed.push(...reconcile(liveness, desk))
    }
    for (const at of nodes.keys()) carryOut(desk.beat(at, sequence))
  }

  expect(inFlightMax).toBe(64)
  expect(desk.nowMs).toBeGreaterThan(12_000)
  expect(changed).toEqual([])
})

function reconcile(liveness: NodeStatus, { store, nowMs }: Desk): readonly Change[] {
  const none: ReadonlySet<string> = new Set()
  const ids = {
    clusters: none,
    nodes: none,
    services: none,
    tasks: none,
    secrets: none,
    configs: none,
  }
  const random = { bytes: () => new Uint8Array(0), integer: () => 0 }
  const round = { view: store.view(), changed: { all: nowMs === 100, ids }, now: nowMs }
  return liveness.reconcile({ ...round, wallMs: nowMs, random }).changes
}
