/**
 * Consensus between its threads: a group wired in memory, whose main threads apply at once unless a
 * test holds them. What Raft itself must do is tested in `raft/`.
 */
import { expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import { encodeSnapshotPayload } from '../proto/gen/consensus.ts'
import type { Member } from '../proto/gen/types.ts'
import { Consensus } from './consensus.ts'
import type { ConsensusConfig, ConsensusInput, MainEvent, Persist } from './consensus-interface.ts'
import { MAIN_DEAD_TICKS, MAIN_STALLED_TICKS } from './main-watch.ts'
import { emptyConfState, emptyMessage, type Message } from './raft/message.ts'
import { newBootstrapSnapshot } from './raft-core.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array): string => new TextDecoder().decode(data)

function memberOf(raftId: number): Member {
  return { raftId, nodeId: `n${raftId}`, raftAddr: `n${raftId}:7946`, addr: `n${raftId}:2377` }
}

type Disk = Pick<ConsensusConfig, 'hardState' | 'entries' | 'snapshot'>

class Peer {
  readonly raftId: number
  /** As a log keeps it: a commit index goes with the next entries or vote, not by itself. */
  disk: Disk
  readonly consensus: Consensus
  readonly events: MainEvent[] = []
  /** Main of this peer applies nothing and makes no progress. */
  isStalled = false
  isCut = false
  fatal: string | undefined
  #held: number | undefined
  #isSnapshotHeld = false
  #counter = 0
  #unwritten: Persist['hardState']

  constructor(
    raftId: number,
    voters: readonly number[],
    options: Pick<ConsensusConfig, 'messageBytesMax'> = {},
    disk?: Disk,
  ) {
    this.raftId = raftId
    const isFounder = voters.includes(raftId)
    const members = voters.map(memberOf)
    const data = encodeSnapshotPayload({ members, store: new Uint8Array(0) })
    this.disk = disk ?? {
      hardState: { term: isFounder ? 1 : 0, vote: 0, commit: isFounder ? 1 : 0 },
      entries: [],
      snapshot: isFounder
        ? { index: 1, term: 1, confState: { ...emptyConfState, voters: [...voters] }, data }
        : undefined,
    }
    this.consensus = new Consensus({
      raftId,
      random: newSeededRandom(raftId),
      log: silentLog,
      ...this.disk,
      snapshotInterval: { entries: 10_000, bytes: 2 ** 26, keepEntries: 500 },
      ...options,
    })
  }

  /** Carries everything out; gives back what is to be sent. */
  pump(): readonly Message[] {
    const sent: Message[] = []
    for (let ready = this.consensus.ready(); ready !== undefined; ready = this.consensus.ready()) {
      sent.push(...ready.send)
      this.fatal = ready.fatal
      for (const event of ready.events) this.#apply(event)
      for (const persist of ready.persist) this.#write(persist)
      const sequence = ready.persist.at(-1)?.sequence
      if (sequence !== undefined) this.consensus.step({ kind: 'persisted', sequence })
      if (ready.fatal !== undefined) break
    }
    return sent
  }

  #write({ hardState = this.#unwritten, entries, snapshot, mustSync }: Persist): void {
    this.#unwritten = hardState
    if (!mustSync && snapshot === undefined) return
    const first = (entries[0] ?? snapshot)?.index ?? Number.POSITIVE_INFINITY
    const kept = this.disk.entries.filter((entry) => entry.index < first)
    this.disk = {
      hardState: hardState ?? this.disk.hardState,
      entries: snapshot === undefined ? [...kept, ...entries] : entries,
      snapshot: snapshot ?? this.disk.snapshot,
    }
  }

  tick(): void {
    if (!this.isStalled) this.#counter++
    this.consensus.step({ kind: 'main-progress', counter: this.#counter })
    this.consensus.tick()
  }

  /** Main goes on after a stall. */
  release(): void {
    this.isStalled = false
    if (this.#held !== undefined) this.consensus.step({ kind: 'applied', index: this.#held })
    if (this.#isSnapshotHeld) this.#save()
  }

  #save(): void {
    const { applied } = this.consensus.status()
    this.consensus.step({ kind: 'snapshot', index: applied, store: bytes('state') })
  }

  #apply(event: MainEvent): void {
    this.events.push(event)
    const index =
      event.kind === 'committed'
        ? event.entries.at(-1)?.index
        : event.kind === 'install'
          ? event.index
          : undefined
    if (event.kind === 'snapshot-wanted') {
      this.#isSnapshotHeld = this.isStalled
      if (!this.isStalled) this.#save()
    }
    if (index === undefined) return
    if (this.isStalled) this.#held = index
    else this.consensus.step({ kind: 'applied', index })
  }

  committed(): readonly string[] {
    return this.events
      .flatMap((event) => (event.kind === 'committed' ? event.entries : []))
      .filter((entry) => entry.data.length > 0)
      .map((entry) => text(entry.data))
  }
}

class Group {
  readonly peers: Peer[]
  /** A message that is lost. */
  drops: (message: Message) => boolean = () => false

  constructor(voters: readonly number[], options: Pick<ConsensusConfig, 'messageBytesMax'> = {}) {
    this.peers = voters.map((raftId) => new Peer(raftId, voters, options))
    for (const peer of this.peers) this.connect(peer)
  }

  connect(peer: Peer): void {
    for (const other of this.peers) {
      if (other === peer) continue
      peer.consensus.step({ kind: 'peer', raftId: other.raftId, state: 'connected' })
      other.consensus.step({ kind: 'peer', raftId: peer.raftId, state: 'connected' })
    }
  }

  add(raftId: number): Peer {
    const peer = new Peer(raftId, [])
    this.peers.push(peer)
    this.connect(peer)
    return peer
  }

  settle(): void {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const peer of this.peers) {
        for (const message of peer.pump()) {
          const to = this.peers.find((other) => other.raftId === message.to)
          if (message.type === 'snapshot')
            peer.consensus.step({ kind: 'snapshot-sent', raftId: message.to, outcome: 'finished' })
          if (to === undefined || to.isCut || peer.isCut || this.drops(message)) continue
          to.consensus.step({ kind: 'message', message })
          isBusy = true
        }
      }
    }
  }

  tick(count = 1): void {
    for (let at = 0; at < count; at++) {
      for (const peer of this.peers) peer.tick()
      this.settle()
    }
  }

  until(isDone: () => boolean, ticksMax = 400): number {
    for (let ticks = 0; ticks < ticksMax; ticks++) {
      if (isDone()) return ticks
      this.tick()
    }
    throw new Error('it did not come about')
  }

  leader(): Peer {
    const isLeader = (peer: Peer): boolean =>
      peer.consensus.status().role === 'leader' && !peer.isCut
    this.until(() => this.peers.some(isLeader))
    const leader = this.peers.find(isLeader)
    if (leader === undefined) throw new Error('no leader')
    return leader
  }

  step(peer: Peer, ...inputs: readonly ConsensusInput[]): void {
    for (const input of inputs) peer.consensus.step(input)
    this.settle()
  }
}

function proposal(peer: Peer, data: string): ConsensusInput {
  return { kind: 'propose', id: 1, term: peer.consensus.status().term, data: bytes(data) }
}

/** Node n4 as this member. */
function addAsFour(id: number, raftId: number): ConsensusInput {
  const member = { ...memberOf(raftId), nodeId: 'n4' }
  return { kind: 'change-members', id, change: { kind: 'add', member } }
}

function count(peer: Peer, kind: MainEvent['kind']): number {
  return peer.events.filter((event) => event.kind === kind).length
}

test('a proposal of another term is dropped, whoever leads', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const { term } = leader.consensus.status()

  group.step(leader, { kind: 'propose', id: 1, term: term - 1, data: bytes('old') })
  group.step(leader, { kind: 'propose', id: 2, term: term + 1, data: bytes('new') })
  group.step(leader, proposal(leader, 'now'))
  group.tick(4)

  for (const peer of group.peers) expect(peer.committed()).toEqual(['now'])
})

test('proposals during a transfer that fails are committed afterwards, all and in order', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)
  group.drops = (message) => message.type === 'timeout-now'

  group.step(leader, { kind: 'transfer' }, proposal(leader, 'a'), proposal(leader, 'b'))
  const during = leader.committed()
  group.until(() => leader.committed().length === 2)

  expect(during).toEqual([])
  expect(leader.committed()).toEqual(['a', 'b'])
  expect(leader.consensus.status().role).toBe('leader')
})

test.for(Array.from({ length: 12 }, (_, tick) => tick))(
  'a leader whose followers are well hands over whenever it is asked to (at tick %s)',
  (ticks) => {
    const group = new Group([1, 2, 3])
    const leader = group.leader()
    group.tick(20 + ticks)

    // Before the answers to what this tick sends.
    leader.consensus.tick()
    leader.consensus.step({ kind: 'transfer' })
    group.settle()
    group.tick(3)

    expect(group.leader()).not.toBe(leader)
  },
)

test('proposals held during a transfer that succeeds never come back', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)

  for (const input of [{ kind: 'transfer' } as const, proposal(leader, 'a')])
    leader.consensus.step(input)
  group.settle()
  group.until(() => group.leader() !== leader)
  group.step(leader, { kind: 'transfer' })
  group.tick(60)

  for (const peer of group.peers) expect(peer.committed()).toEqual([])
})

test('a member that is added right after an election does not wait for a deadline', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.add(4)

  leader.consensus.step({
    kind: 'change-members',
    id: 7,
    change: { kind: 'add', member: memberOf(4) },
  })
  const ticks = group.until(() => count(leader, 'members-changed') === 1)

  expect(ticks).toBeLessThan(10)
  expect(count(leader, 'members-refused')).toBe(0)
})

test('a learner becomes a voter, once, and then nothing more is written', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const joiner = group.add(4)
  group.step(leader, {
    kind: 'change-members',
    id: 7,
    change: { kind: 'add', member: memberOf(4) },
  })

  group.until(() => isVoter(leader, 4))
  const before = leader.consensus.status().commit
  group.tick(40)

  expect(leader.consensus.status().commit).toBe(before)
  expect(joiner.consensus.listMembers().map((member) => member.raftId)).toEqual([1, 2, 3, 4])
})

test('any quorum of the new members elects after a kill of all, once a change is settled (seed 80265)', () => {
  const group = new Group([1, 2, 3, 4])
  const leader = group.leader()
  group.add(5)
  const change = { kind: 'add', member: memberOf(5) } as const
  group.step(leader, { kind: 'change-members', id: 7, change })
  group.until(() => isVoter(leader, 5) && leader.consensus.isMembershipSettled)

  for (const gone of [
    [1, 2],
    [2, 3],
    [3, 4],
    [1, 4],
  ]) {
    const left = group.peers.filter((peer) => !gone.includes(peer.raftId))
    const restarted = new Group([])
    for (const { raftId, disk } of left) restarted.peers.push(new Peer(raftId, [], {}, disk))
    for (const peer of restarted.peers) restarted.connect(peer)

    expect(isVoter(restarted.leader(), 5), `without ${gone}`).toBe(true)
  }
})

test('nothing follows a change of members before it is in force: who leaves has no longer log (seed 81275)', () => {
  const group = new Group([1, 2])
  const leader = group.leader()
  const leaving = group.peers.find((peer) => peer !== leader)
  if (leaving === undefined) throw new Error('no follower')
  const change = { kind: 'remove', raftId: leaving.raftId } as const
  group.step(leader, { kind: 'change-members', id: 7, change }, proposal(leader, 'later'))
  group.until(() => leader.committed().includes('later'))

  // The leader is killed before its disk has more than the change.
  const at = leaving.disk.entries.at(-1)?.index ?? 0
  const entries = leader.disk.entries.filter(({ index }) => index <= at)
  const hardState = { ...leader.disk.hardState, commit: at - 1 }
  const killed = new Peer(leader.raftId, [], {}, { ...leader.disk, entries, hardState })
  const restarted = new Group([])
  restarted.peers.push(killed, new Peer(leaving.raftId, [], {}, leaving.disk))
  for (const peer of restarted.peers) restarted.connect(peer)

  expect(leaving.disk.entries.at(-1)?.type).toBe('conf-change-v2')
  expect(restarted.leader()).toBe(killed)
})

test('a second change of members waits until main has applied the first', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.add(4)
  group.add(5)
  const add = (id: number, raftId: number): ConsensusInput => ({
    kind: 'change-members',
    id,
    change: { kind: 'add', member: memberOf(raftId) },
  })
  leader.isStalled = true

  group.step(leader, add(7, 4), add(8, 5))
  group.tick(4)
  leader.release()
  group.until(() => count(leader, 'members-changed') === 2, 40)
  group.until(() => isVoter(leader, 4) && isVoter(leader, 5))

  expect(count(leader, 'members-refused')).toBe(0)
})

test('a member that comes back with an empty directory replaces the one it was', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const wiped = group.peers.find((peer) => peer !== leader)?.raftId ?? 0
  group.peers.splice(
    group.peers.findIndex((peer) => peer.raftId === wiped),
    1,
  )
  group.add(4)

  group.step(leader, {
    kind: 'change-members',
    id: 7,
    change: {
      kind: 'add',
      member: { ...memberOf(4), nodeId: `n${wiped}` },
    },
  })
  group.until(() => isVoter(leader, 4))

  const ids = leader.consensus.listMembers().map((member) => member.raftId)
  expect(ids).toEqual([1, 2, 3, 4].filter((raftId) => raftId !== wiped))
})

test('a node that is added twice before the first is in force is one member in the end', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.add(4)
  group.add(5)

  for (const input of [addAsFour(7, 4), addAsFour(8, 5)]) leader.consensus.step(input)
  group.until(() => isVoter(leader, 5))

  const members = leader.consensus.listMembers()
  expect(members.map(({ raftId, nodeId }) => [raftId, nodeId])).toEqual([
    [1, 'n1'],
    [2, 'n2'],
    [3, 'n3'],
    [5, 'n4'],
  ])
  expect(leader.consensus.confState.voters).toEqual([1, 2, 3, 5])
})

test('a learner that was replaced by another member of its node knows no leader any more', () => {
  // It could not ask whether it is a member still, and stayed out for good (simulator, seed 66).
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const replaced = group.add(4)
  group.step(leader, addAsFour(7, 4))
  group.until(() => replaced.consensus.status().leader !== 0)
  group.drops = ({ from }) => from === 4
  group.add(5)
  group.step(leader, addAsFour(8, 5))
  expect(isVoter(leader, 4)).toBe(false)
  group.drops = () => false

  group.until(() => replaced.consensus.status().leader === 0)

  expect(leader.consensus.listMembers().map(({ raftId }) => raftId)).toEqual([1, 2, 3, 5])
})

test('what would lose the quorum is refused', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const [away, other] = group.peers.filter((peer) => peer !== leader)
  if (away === undefined || other === undefined) throw new Error('three members')
  away.isCut = true
  leader.consensus.step({ kind: 'peer', raftId: away.raftId, state: 'closed' })
  group.tick(20)

  group.step(leader, {
    kind: 'change-members',
    id: 1,
    change: { kind: 'remove', raftId: other.raftId },
  })
  group.step(leader, {
    kind: 'change-members',
    id: 2,
    change: { kind: 'remove', raftId: away.raftId },
  })
  group.until(() => count(leader, 'members-changed') === 1)

  const refused = leader.events.filter((event) => event.kind === 'members-refused')
  expect(refused).toMatchObject([{ id: 1, reason: expect.stringContaining('loss of quorum') }])
  const ids = leader.consensus.listMembers().map((member) => member.raftId)
  expect(ids).not.toContain(away.raftId)
})

test('a leader that loses its office refuses the changes that wait', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)
  leader.isCut = true
  leader.consensus.step({
    kind: 'change-members',
    id: 7,
    change: { kind: 'remove', raftId: 2 === leader.raftId ? 1 : 2 },
  })

  group.until(() => leader.consensus.status().role !== 'leader')

  expect(count(leader, 'members-refused')).toBe(1)
})

test('reads are answered while a leader is known, and refused after their deadline', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  const follower = group.peers.find((peer) => peer !== leader) ?? leader
  group.tick(4)

  group.step(follower, { kind: 'read-index', id: 1 })
  follower.isCut = true
  group.step(follower, { kind: 'read-index', id: 2 })
  group.tick(110)

  expect(follower.events.filter((event) => event.kind.startsWith('read-'))).toMatchObject([
    { kind: 'read-ready', id: 1 },
    { kind: 'read-refused', id: 2 },
  ])
})

test('what an old leader left behind is committed by the next one, also entry by entry', () => {
  const group = new Group([1, 2, 3], { messageBytesMax: 1 })
  const leader = group.leader()
  group.tick(4)
  leader.isCut = true
  for (const text of ['a', 'b', 'c']) leader.consensus.step(proposal(leader, text))
  group.until(() => group.leader() !== leader)
  const next = group.leader()
  for (const text of ['x', 'y']) group.step(next, proposal(next, text))

  leader.isCut = false
  group.until(() => leader.committed().length === 2)

  for (const peer of group.peers) expect(peer.committed()).toEqual(['x', 'y'])
})

test('a main without progress loses the leadership in three seconds, and the process after 30', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)

  leader.isStalled = true
  group.until(() => group.leader() !== leader, MAIN_STALLED_TICKS + 20)
  group.tick(200)
  const isBack = leader.consensus.status().role === 'leader'
  group.until(() => leader.fatal !== undefined, MAIN_DEAD_TICKS)

  expect(isBack).toBe(false)
  expect(leader.fatal).toContain('no progress')
})

test('a main that goes on again may lead again, and has missed nothing', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)
  leader.isStalled = true
  group.until(() => group.leader() !== leader, MAIN_STALLED_TICKS + 20)
  const successor = group.leader()
  group.step(successor, proposal(successor, 'later'))

  leader.release()
  group.tick(10)

  expect(leader.committed()).toEqual(['later'])
  expect(leader.consensus.status().leader).toBe(successor.raftId)
})

test('a stream from the leader that stays closed brings an election within half a second', () => {
  const group = new Group([1, 2, 3])
  const leader = group.leader()
  group.tick(4)

  leader.isCut = true
  for (const peer of group.peers)
    peer.consensus.step({ kind: 'peer', raftId: leader.raftId, state: 'closed' })
  const ticks = group.until(() =>
    group.peers.some((peer) => peer !== leader && peer.consensus.status().role === 'leader'),
  )

  expect(ticks).toBeLessThanOrEqual(10)
})

function isVoter(peer: Peer, raftId: number): boolean {
  const last = peer.events.findLast((event) => event.kind === 'members')
  return last?.members.some((member) => member.raftId === raftId && member.isVoter) ?? false
}

test('main’s own snapshot is not written behind a later one of the leader’s', () => {
  const { consensus } = new Peer(1, [1, 2, 3])
  const entry = { term: 2, type: 'normal' as const, data: bytes('x'), confChange: undefined }
  const entries = [2, 3, 4, 5].map((index) => ({ ...entry, index }))
  const from = { from: 2, to: 1, term: 2 }
  const persisted = (): void => {
    const sequence = consensus.ready()?.persist.at(-1)?.sequence
    if (sequence !== undefined) consensus.step({ kind: 'persisted', sequence })
  }
  const append: Message = {
    ...{ ...emptyMessage, ...from, type: 'append', index: 1, logTerm: 1 },
    ...{ entries, commit: 5 },
  }
  consensus.step({ kind: 'message', message: append })
  persisted()
  persisted()
  consensus.step({ kind: 'applied', index: 5 })
  const data = encodeSnapshotPayload({ members: [1, 2, 3].map(memberOf), store: bytes('later') })
  const confState = { ...emptyConfState, voters: [1, 2, 3] }
  const snapshot = { index: 10, term: 2, confState, data }
  consensus.step({
    kind: 'message',
    message: { ...emptyMessage, ...from, type: 'snapshot', snapshot },
  })
  const first = consensus.ready()?.persist ?? []

  consensus.step({ kind: 'snapshot', index: 5, store: bytes('own') })
  const second = consensus.ready()?.persist ?? []

  expect(first.map((effect) => effect.snapshot?.index)).toEqual([10])
  expect(second.filter((effect) => effect.compaction !== undefined)).toEqual([])
})

test('a leader alone answers no read before it knows what it had committed', () => {
  const data = encodeSnapshotPayload({ members: [memberOf(1)], store: new Uint8Array(0) })
  const entry = {
    term: 1,
    type: 'normal' as const,
    data: bytes('acknowledged'),
    confChange: undefined,
  }
  const consensus = new Consensus({
    raftId: 1,
    random: newSeededRandom(1),
    log: silentLog,
    hardState: { term: 1, vote: 1, commit: 1 },
    entries: [{ ...entry, index: 2 }],
    snapshot: { index: 1, term: 1, confState: { ...emptyConfState, voters: [1] }, data },
    snapshotInterval: { entries: 0, bytes: 0, keepEntries: 0 },
  })
  const indexes: number[] = []
  consensus.step({ kind: 'read-index', id: 1 })
  for (let ready = consensus.ready(); ready !== undefined; ready = consensus.ready()) {
    for (const event of ready.events) if (event.kind === 'read-ready') indexes.push(event.index)
    const sequence = ready.persist.at(-1)?.sequence
    if (sequence !== undefined) consensus.step({ kind: 'persisted', sequence })
    // A read in between, at every moment.
    if (indexes.length === 0) consensus.step({ kind: 'read-index', id: 2 })
  }

  expect(indexes.length).toBeGreaterThan(0)
  for (const index of indexes) expect(index).toBeGreaterThanOrEqual(2)
})

test('a log that is long in bytes at the start is soon cut behind a snapshot', () => {
  const snapshot = newBootstrapSnapshot(memberOf(1))
  const entry = { term: 1, type: 'normal' as const, confChange: undefined }
  const consensus = new Consensus({
    raftId: 1,
    random: newSeededRandom(1),
    log: silentLog,
    hardState: { term: 1, vote: 1, commit: 2 },
    entries: [{ ...entry, index: 2, data: new Uint8Array(1_000) }],
    snapshot,
    snapshotInterval: { entries: 100, bytes: 1_000, keepEntries: 0 },
  })

  consensus.step({ kind: 'applied', index: 2 })

  const events = consensus.ready()?.events.map((event) => event.kind)
  expect(events).toContain('snapshot-wanted')
})
