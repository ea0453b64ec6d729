/**
 * The core under chaos from a seed: messages lost, doubled and out of order, disks that lag, crashes
 * that lose what was not synced, membership changes, compaction. After each step: one leader a term,
 * and no two nodes ever apply different entries at an index. After the chaos: all catch up.
 */
import { describe, expect, test } from 'vitest'
import { newSeededRandom, type SeededRandom } from '../../lib/random.ts'
import {
  type ConfState,
  type Entry,
  emptyConfState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  NO_BYTES,
  NONE,
} from './message.ts'
import { RawNode } from './raw-node.ts'
import type { MemoryStorage } from './storage.ts'
import { encode, storageAt } from './test-cluster.ts'

const IDS = [1, 2, 3, 4, 5]
const VOTERS = [1, 2, 3]
const STEPS = 3_000

class ChaosNode {
  readonly id: number
  readonly storage: MemoryStorage
  readonly #random: SeededRandom
  raw: RawNode
  appends: Message[] = []
  applies: Message[] = []
  /** Configuration and index of what is applied: survives crashes, as a state machine's disk. */
  confState: ConfState
  applied = 2
  appliedTerm = 1

  constructor(id: number, random: SeededRandom) {
    this.id = id
    this.#random = random
    this.confState = { ...emptyConfState, voters: VOTERS }
    this.storage = storageAt(2, 1, { voters: VOTERS })
    this.raw = this.start()
  }

  start(): RawNode {
    return new RawNode({
      id: this.id,
      electionTicks: 10,
      heartbeatTicks: 2,
      random: this.#random,
      storage: this.storage,
      appliedIndex: this.applied,
      asyncStorageWrites: true,
      preVote: true,
      checkQuorum: true,
      stepDownOnRemoval: true,
      messageBytesMax: 60,
      inflightMessagesMax: 4,
      committedBytesMax: 200,
      uncommittedBytesMax: 500,
    })
  }

  /** What was not synced is gone, and so is all in memory. */
  crash(): void {
    this.appends = []
    this.applies = []
    const { confState } = this.storage.initialState()
    // What was applied after the snapshot is applied again; the configuration starts from there.
    this.applied = this.storage.firstIndex() - 1
    this.confState = confState
    const snapshot = this.storage.snapshot()
    if (snapshot !== 'unavailable') {
      this.applied = Math.max(this.applied, snapshot.index)
      this.appliedTerm = snapshot.term
    }
    this.raw = this.start()
  }
}

class Chaos {
  readonly #random: SeededRandom
  readonly nodes: readonly ChaosNode[]
  #flying: Message[] = []
  /** The entry that was first applied at each index, as text. */
  readonly #history = new Map<number, string>()
  readonly #leaders = new Map<number, number>()
  #proposals = 0

  constructor(seed: number) {
    this.#random = newSeededRandom(seed)
    this.nodes = IDS.map((id) => new ChaosNode(id, this.#random.split(`node ${id}`)))
  }

  /** The highest index that anyone has applied. */
  get applied(): number {
    return this.#history.size === 0 ? 0 : Math.max(...this.#history.keys())
  }

  step(): void {
    const node = this.nodes[this.#random.integer(this.nodes.length)]
    if (node === undefined) return
    const dice = this.#random.integer(1_000)
    if (dice < 350) this.deliver()
    else if (dice < 500) node.raw.tick()
    else if (dice < 650) this.takeReady(node)
    else if (dice < 780) this.writeOne(node)
    else if (dice < 880) this.applyOne(node)
    else if (dice < 950) this.propose(node)
    else if (dice < 960) node.raw.transferLeader(1 + this.#random.integer(IDS.length))
    else if (dice < 970) node.raw.forgetLeader({ electionTicks: 2 })
    else if (dice < 980) this.changeMembers(node)
    else if (dice < 990) this.compact(node)
    else if (dice < 994) node.crash()
    else for (const { id } of this.nodes) node.raw.reportUnreachable(id)
    this.check()
  }

  /** Everything works and arrives for some rounds. */
  heal(): void {
    for (let round = 0; round < 200; round++) {
      for (const node of this.nodes) {
        node.raw.tick()
        this.takeReady(node)
        while (node.appends.length > 0) this.writeOne(node)
        while (node.applies.length > 0) this.applyOne(node)
      }
      for (const message of this.#flying.splice(0)) this.#at(message.to)?.raw.step(message)
      for (const node of this.nodes) {
        for (const { id } of this.nodes) node.raw.reportSnapshot(id, 'failed')
        // Snapshots from before a member was added are of no use to it.
        this.compact(node)
      }
      this.check()
    }
  }

  takeReady(node: ChaosNode): void {
    for (const message of node.raw.ready()?.messages ?? []) {
      if (message.to === LOCAL_APPEND_THREAD) node.appends.push(message)
      else if (message.to === LOCAL_APPLY_THREAD) node.applies.push(message)
      else this.#flying.push(message)
    }
  }

  /** One write of the node reaches its disk. */
  writeOne(node: ChaosNode): void {
    const message = node.appends.shift()
    if (message === undefined) return
    const { term, vote, commit, entries, snapshot } = message
    if (snapshot !== undefined) {
      node.storage.applySnapshot(snapshot)
      node.applied = snapshot.index
      node.appliedTerm = snapshot.term
      node.confState = snapshot.confState ?? emptyConfState
    }
    node.storage.append(entries)
    if (term !== 0 || vote !== NONE || commit !== 0)
      node.storage.setHardState({ term, vote, commit })
    this.#answer(node, message)
  }

  applyOne(node: ChaosNode): void {
    const message = node.applies.shift()
    if (message === undefined) return
    for (const entry of message.entries) {
      this.#record(entry)
      const { index, type, confChange } = entry
      if (type !== 'normal') node.confState = node.raw.applyConfChange(confChange, index)
      // A snapshot may have overtaken what was waiting to be applied.
      if (index <= node.applied) continue
      expect(entry.index).toBe(node.applied + 1)
      node.applied = entry.index
      node.appliedTerm = entry.term
    }
    this.#answer(node, message)
  }

  deliver(): void {
    const at = this.#random.integer(Math.max(1, Math.min(this.#flying.length, 8)))
    const dice = this.#random.integer(10)
    const [message] = dice === 0 ? this.#flying.slice(at, at + 1) : this.#flying.splice(at, 1)
    if (message !== undefined && dice !== 1) this.#at(message.to)?.raw.step(message)
  }

  propose(node: ChaosNode): void {
    node.raw.propose(encode(`${this.#proposals++}`))
  }

  changeMembers(node: ChaosNode): void {
    const types = ['add-voter', 'add-learner', 'remove-node'] as const
    const count = 1 + this.#random.integer(3)
    const changes = Array.from({ length: count }, () => ({
      type: types[this.#random.integer(3)] ?? 'add-voter',
      // 1 to 3 stay voters. Otherwise a leader that leaves may be the only one who knows that it
      // has left, and its log too long for the others to win without it (docs/raft.md).
      nodeId: 4 + this.#random.integer(2),
    }))
    node.raw.proposeConfChange({ transition: 'auto', changes, context: NO_BYTES })
  }

  compact(node: ChaosNode): void {
    const { applied: index, appliedTerm: term, confState, storage } = node
    if (node.appends.some(({ snapshot }) => snapshot !== undefined)) return
    if (index > storage.lastIndex() || storage.term(index) !== term) return
    storage.setSnapshot({ index, term, confState, data: NO_BYTES })
    storage.compact(Math.max(0, index - this.#random.integer(5)))
  }

  check(): void {
    for (const { id, raw } of this.nodes) {
      const { role, term } = raw.basicStatus()
      if (role !== 'leader') continue
      expect(this.#leaders.get(term) ?? id, `leaders of term ${term}`).toBe(id)
      this.#leaders.set(term, id)
    }
  }

  #answer(node: ChaosNode, message: Message): void {
    for (const response of message.responses) {
      if (response.to === node.id) node.raw.step(response)
      else this.#flying.push(response)
    }
  }

  #record({ index, term, data, confChange }: Entry): void {
    const text = JSON.stringify([term, [...data], confChange])
    expect(this.#history.get(index) ?? text, `entry ${index}`).toBe(text)
    this.#history.set(index, text)
  }

  #at(id: number): ChaosNode | undefined {
    return this.nodes[id - 1]
  }
}

describe('chaos', () => {
  test.each(Array.from({ length: 40 }, (_, i) => i))('seed %i', (seed) => {
    const chaos = new Chaos(seed)
    for (let i = 0; i < STEPS; i++) chaos.step()

    chaos.heal()
    const before = chaos.applied
    for (const node of chaos.nodes) chaos.propose(node)
    chaos.heal()

    const [first] = chaos.nodes
    const { voters = [], learners = [] } = first?.confState ?? {}
    expect(chaos.applied).toBeGreaterThan(before)
    for (const { id, applied } of chaos.nodes) {
      if ([...voters, ...learners].includes(id)) expect([id, applied]).toEqual([id, chaos.applied])
    }
  })
})
