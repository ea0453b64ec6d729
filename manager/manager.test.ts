/**
 * Manager as the shell drives it: events of consensus in, outputs out. Who asks is answered once,
 * whatever happens to the leadership. What handlers and loops decide is tested with them.
 */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import type { WriteRequest } from '../proto/gen/control.ts'
import { node } from '../test/build.ts'
import type { ConsensusInput, MainEvent } from './consensus-interface.ts'
import { Manager } from './manager.ts'
import type { ManagerOutput } from './manager-interface.ts'
import type { Change } from './store/change.ts'

const CALLER = { nodeId: '', role: 'manager' } as const
const REQUEST: WriteRequest = {
  caller: CALLER,
  body: { kind: 'serviceRemove', serviceRemove: { id: 'anything' } },
}
const REFUSED: WriteRequest = {
  caller: CALLER,
  body: { kind: 'serviceRemove', serviceRemove: { id: 'refuse me' } },
}
const NO_DATA = new Uint8Array(0)

class Driver {
  readonly manager: Manager
  readonly outputs: ManagerOutput[] = []
  #index = 0
  #nowMs = 0
  #nodes = 0

  constructor() {
    this.manager = new Manager({
      raftId: 1,
      random: newSeededRandom(1),
      log: silentLog,
      handle: (_, request) => {
        const body = request.body
        if (body?.kind === 'serviceRemove' && body.serviceRemove.id === 'refuse me')
          throw new SwarmError('not-found', 'no such service')
        const changes: Change[] = [
          { kind: 'create', table: 'nodes', object: node({ id: `made-${++this.#nodes}` }) },
        ]
        return { changes, reply: { id: 'done' } }
      },
      loops: () => [],
      now: { monotonicMs: 0, wallMs: 0, isOver: () => false },
    })
    this.members(1, 2)
  }

  members(...raftIds: readonly number[]): this {
    const members = raftIds.map((raftId) => ({
      ...{ raftId, nodeId: `n${raftId}`, raftAddr: '', addr: `n${raftId}` },
      ...{ isVoter: true, isConnected: true },
    }))
    return this.event({ kind: 'members', term: 1, members })
  }

  event(...events: readonly MainEvent[]): this {
    for (const event of events) this.manager.step({ kind: 'event', event })
    return this.#drain()
  }

  lead(term: number): this {
    return this.event({ kind: 'role', role: 'leader', term, leader: 1 }).commit(term, NO_DATA)
  }

  follow(term: number, leader: number): this {
    return this.event({ kind: 'role', role: 'follower', term, leader })
  }

  commit(term: number, data: Uint8Array): this {
    return this.event({ kind: 'committed', entries: [{ index: ++this.#index, term, data }] })
  }

  /** Every proposal that was made and not yet committed, in order. */
  commitAll(term: number): this {
    for (const data of this.proposals().splice(0)) this.commit(term, data)
    this.#proposed = this.#consensus('propose').length
    return this
  }

  #proposed = 0

  proposals(): Uint8Array[] {
    return this.#consensus('propose')
      .slice(this.#proposed)
      .map((input) => input.data)
  }

  reads(): readonly number[] {
    return this.#consensus('read-index').map((input) => input.id)
  }

  write(id: number, request = REQUEST, isForwarded = false): this {
    this.manager.step({ kind: 'write', id, request, isForwarded })
    return this.#drain()
  }

  wait(ms: number): this {
    this.#nowMs += ms
    this.manager.tick({ monotonicMs: this.#nowMs, wallMs: this.#nowMs, isOver: () => false })
    return this.#drain()
  }

  /** `id: outcome` of each answer so far. */
  answers(): readonly string[] {
    return this.outputs.flatMap((output) =>
      output.kind === 'answer'
        ? [`${output.id}: ${output.outcome instanceof SwarmError ? output.outcome.code : 'ok'}`]
        : [],
    )
  }

  forwards(): readonly Extract<ManagerOutput, { readonly kind: 'forward' }>[] {
    return this.outputs.filter((output) => output.kind === 'forward')
  }

  /** An agent dials this manager. */
  open(session: number): this {
    const input = { kind: 'opened', session, nodeId: 'w1', peerAddr: '' } as const
    this.manager.step({ kind: 'session', input })
    return this.#drain()
  }

  /** `session: code` of each session that this manager has ended. */
  closed(): readonly string[] {
    return this.outputs.flatMap((output) =>
      output.kind === 'close' ? [`${output.session}: ${output.reason?.code}`] : [],
    )
  }

  #consensus<K extends ConsensusInput['kind']>(
    kind: K,
  ): readonly Extract<ConsensusInput, { readonly kind: K }>[] {
    return this.outputs.flatMap((output) =>
      output.kind === 'consensus' && output.input.kind === kind
        ? [output.input as Extract<ConsensusInput, { readonly kind: K }>]
        : [],
    )
  }

  #drain(): this {
    for (let ready = this.manager.ready(); ready !== undefined; ready = this.manager.ready())
      this.outputs.push(...ready)
    return this
  }
}

test('a write is answered at its commit and not before', () => {
  const driver = new Driver().lead(2).write(7)
  const before = driver.answers()

  driver.commitAll(2)

  expect([before, driver.answers()]).toEqual([[], ['7: ok']])
})

test('a leader begins only with the first entry of its own term', () => {
  const driver = new Driver()
  driver.event({ kind: 'role', role: 'leader', term: 3, leader: 1 }).write(7)
  driver.commit(2, NO_DATA)
  const early = driver.proposals().length

  driver.commit(3, NO_DATA)

  expect([early, driver.proposals().length]).toEqual([0, 1])
})

test('what was proposed has an unknown outcome when the leadership is lost', () => {
  const driver = new Driver().lead(2).write(7)

  driver.follow(3, 2)

  expect(driver.answers()).toEqual(['7: unavailable'])
})

test('a refusal waits for the proposal that it may rest on', () => {
  const driver = new Driver().lead(2).write(7).write(8, REFUSED)
  const before = driver.answers()

  driver.commitAll(2)
  for (const id of driver.reads()) driver.event({ kind: 'read-ready', id, index: 3 })

  expect([before, driver.answers()]).toEqual([[], ['7: ok', '8: not-found']])
})

test('a refusal alone waits for a read that confirms the leader', () => {
  const driver = new Driver().lead(2).write(8, REFUSED)
  const [read] = driver.reads()
  const before = driver.answers()

  driver.event({ kind: 'read-ready', id: read ?? 0, index: 1 })

  expect([before, driver.answers()]).toEqual([[], ['8: not-found']])
})

test('a refusal whose read is not confirmed is still answered', () => {
  const driver = new Driver().lead(2).write(8, REFUSED)
  const [read] = driver.reads()

  driver.event({ kind: 'read-refused', id: read ?? 0 })

  expect(driver.answers()).toEqual(['8: unavailable'])
})

test('a read of an earlier term confirms nothing of a later one', () => {
  const driver = new Driver().lead(2).write(8, REFUSED)
  const [early] = driver.reads()
  driver.follow(3, 2).lead(4).write(9, REFUSED)

  driver.event({ kind: 'read-ready', id: early ?? 0, index: 1 })

  expect(driver.answers()).toEqual(['8: unavailable'])
})

test('a write at a follower goes to the leader, and again only if that one evaluated nothing', () => {
  const driver = new Driver().follow(2, 2).write(7).write(8)
  const [first, second] = driver.forwards()
  const untouched = new SwarmError('unavailable', 'not the leader', { retriable: true })
  const unknown = new SwarmError('unavailable', 'outcome unknown')

  driver.manager.step({ kind: 'forward-done', id: first?.id ?? 0, outcome: untouched })
  driver.manager.step({ kind: 'forward-done', id: second?.id ?? 0, outcome: unknown })
  driver.wait(200)

  expect(driver.answers()).toEqual(['8: unavailable'])
  expect(driver.forwards()).toHaveLength(3)
})

test('a forwarded write is not passed on by one who does not lead', () => {
  const driver = new Driver().follow(2, 2).write(7, REQUEST, true)

  expect([driver.answers(), driver.forwards()]).toEqual([['7: unavailable'], []])
})

test('a write without any leader is answered after its deadline', () => {
  const driver = new Driver().follow(2, 0).write(7).wait(19_000)
  const before = driver.answers()

  driver.wait(2_000)

  expect([before, driver.answers()]).toEqual([[], ['7: unavailable']])
})

test('a full disk refuses writes by name until there is space', () => {
  const driver = new Driver().lead(2).event({ kind: 'disk', isFull: true }).write(7)

  driver.event({ kind: 'disk', isFull: false }).write(8).commitAll(2)

  expect(driver.answers()).toEqual(['7: resource-exhausted', '8: ok'])
})

test('a join that is refused is answered only when the leader is confirmed', () => {
  const request: WriteRequest = {
    caller: { nodeId: 'n9', role: 'manager' },
    body: {
      kind: 'memberJoin',
      memberJoin: { nodeId: 'n9', raftAddr: 'a', addr: 'b', raftId: 0 },
    },
  }
  const driver = new Driver().lead(2).write(7, request).write(8, request)
  const before = driver.answers()

  driver.event({ kind: 'read-ready', id: driver.reads()[0] ?? 0, index: 1 })
  driver.follow(3, 2)

  expect([before, driver.answers()]).toEqual([[], ['7: failed-precondition', '8: unavailable']])
})

test('sessions go elsewhere while the leader is none of the members that this manager knows (seed 71049)', () => {
  const driver = new Driver().follow(2, 3).open(7)

  const early = driver.wait(900).closed()
  const late = driver.wait(200).open(8).closed()
  const known = driver.members(1, 2, 3).open(9).wait(1_100).closed()
  const again = driver.members(1, 2).wait(1_100).wait(1_100).closed()

  expect([early, late]).toEqual([[], ['7: unavailable', '8: unavailable']])
  expect(known).toEqual(late)
  expect(again).toEqual([...late, '9: unavailable'])
})
