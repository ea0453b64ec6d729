/**
 * A cluster in one thread for the tests of the core: nodes over MemoryStorage, and a network that
 * delivers in order, unless a test cuts it. It drives each node as production does in turn: persist,
 * send, apply, advance. Faults, clocks and whole managers are the simulator's.
 */
import { assert, defined } from '../../lib/assert.ts'
import { newSeededRandom } from '../../lib/random.ts'
import {
  type ConfState,
  type Entry,
  emptyConfState,
  emptyHardState,
  emptyMessage,
  emptySnapshot,
  type HardState,
  type Message,
  type MessageType,
  NO_BYTES,
} from './message.ts'
import { RawNode } from './raw-node.ts'
import type { WaitingRead } from './read-queue.ts'
import type { Ready } from './ready.ts'
import type { Config, ReadState } from './state.ts'
import { MemoryStorage } from './storage.ts'
import type { TraceEvent } from './trace.ts'

export type NodeOptions = Partial<Omit<Config, 'storage' | 'trace'>> & {
  readonly voters?: readonly number[]
  readonly learners?: readonly number[]
  /** Terms of the stored entries, from index 1 on. */
  readonly terms?: readonly number[]
  readonly hardState?: Partial<HardState>
  /** Storage to start from instead of the above. */
  readonly storage?: MemoryStorage
}

/** A message with these fields; the rest is empty. */
export function message(fields: Partial<Message> & Pick<Message, 'type'>): Message {
  return { ...emptyMessage, to: 1, ...fields }
}

/** A normal entry. */
export function entry(term: number, index: number, text = ''): Entry {
  return { term, index, type: 'normal', data: encode(text), confChange: undefined }
}

export function encode(text: string): Uint8Array {
  return text === '' ? NO_BYTES : new TextEncoder().encode(text)
}

export function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

export class TestNode {
  readonly raw: RawNode
  readonly storage: MemoryStorage
  /** What it has said about its decisions. */
  readonly trace: TraceEvent[] = []
  /** Texts applied, empty ones left out. */
  readonly applied: string[] = []
  readonly reads: ReadState[] = []
  /** All that were carried out. */
  readonly readies: Ready[] = []

  constructor(options: NodeOptions = {}) {
    const { voters, learners, terms, hardState, storage, ...config } = options
    this.storage = storage ?? newStorage(options)
    this.raw = new RawNode({
      id: 1,
      electionTicks: 10,
      heartbeatTicks: 1,
      random: newSeededRandom(options.id ?? 1),
      ...config,
      storage: this.storage,
      trace: (event) => this.trace.push(event),
    })
  }

  get id(): number {
    return this.raw.basicStatus().id
  }

  /** Carries out all there is to do; the messages for other nodes. */
  work(): readonly Message[] {
    const messages: Message[] = []
    for (let ready = this.raw.ready(); ready !== undefined; ready = this.raw.ready()) {
      this.persist(ready)
      messages.push(...ready.messages)
      this.apply(ready.committedEntries)
      this.reads.push(...ready.readStates)
      this.readies.push(ready)
      this.raw.advance(ready)
    }
    return messages
  }

  persist({
    hardState,
    entries,
    snapshot,
  }: Pick<Ready, 'hardState' | 'entries' | 'snapshot'>): void {
    if (hardState !== undefined) this.storage.setHardState(hardState)
    if (snapshot !== undefined) {
      this.storage.applySnapshot(snapshot)
      this.applied.length = 0
      this.applied.push(decode(snapshot.data))
    }
    this.storage.append(entries)
  }

  apply(entries: readonly Entry[]): void {
    for (const { type, data, confChange, index, term } of entries) {
      if (type === 'normal') {
        if (data.length > 0) this.applied.push(decode(data))
        continue
      }
      // A snapshot from before a member was added is of no use to it.
      const confState = this.raw.applyConfChange(confChange)
      const state = encode(this.applied.join(','))
      this.storage.setSnapshot({ index, term, confState, data: state })
    }
  }

  /** Steps the message and carries out what follows; the messages for other nodes. */
  step(fields: Partial<Message> & Pick<Message, 'type'>): readonly Message[] {
    this.raw.step(message(fields))
    return this.work()
  }

  tick(count = 1): readonly Message[] {
    const messages: Message[] = []
    for (let i = 0; i < count; i++) {
      this.raw.tick()
      messages.push(...this.work())
    }
    return messages
  }

  /** Leads by the votes of all other voters, its first entry acknowledged by nobody else. */
  lead(): readonly Message[] {
    this.raw.campaign()
    this.work()
    for (const type of ['pre-vote-response', 'vote-response'] as const) {
      const { role, term } = this.raw.basicStatus()
      const answered = role === 'pre-candidate' ? term + 1 : term
      if (role === 'leader' || (role === 'pre-candidate') !== (type === 'pre-vote-response'))
        continue
      for (const from of this.raw.status().confState.voters) {
        if (from !== this.id) this.raw.step(message({ type, from, term: answered }))
      }
    }
    assert(this.raw.basicStatus().role === 'leader', 'the node leads')
    return this.work()
  }

  /** The stored log as `term` or `term:text`, from its first entry on. */
  log(): readonly string[] {
    const first = this.storage.firstIndex()
    const entries = this.storage.entries(first, this.storage.lastIndex() + 1, Infinity)
    if (typeof entries === 'string') return []
    return entries.map(({ term, data }) =>
      data.length > 0 ? `${term}:${decode(data)}` : `${term}`,
    )
  }

  /** The traced events of one kind. */
  traced<K extends TraceEvent['kind']>(kind: K): readonly Extract<TraceEvent, { kind: K }>[] {
    return this.trace.filter(
      (event): event is Extract<TraceEvent, { kind: K }> => event.kind === kind,
    )
  }
}

function newStorage({ voters, learners, terms = [], hardState }: NodeOptions): MemoryStorage {
  const storage = new MemoryStorage({
    ...emptyConfState,
    voters: voters ?? [1, 2, 3],
    learners: learners ?? [],
  })
  storage.setHardState({ ...emptyHardState, ...hardState })
  storage.append(terms.map((term, i) => entry(term, i + 1)))
  return storage
}

export class TestCluster {
  readonly nodes: Map<number, TestNode> = new Map()
  #flying: Message[] = []
  #isLost: (message: Message) => boolean = () => false

  /** Nodes 1 to `count`, all voters unless the options say otherwise. */
  constructor(count: number, options: NodeOptions = {}) {
    const ids = Array.from({ length: count }, (_, i) => i + 1)
    const learners = options.learners ?? []
    const voters = options.voters ?? ids.filter((id) => !learners.includes(id))
    for (const id of ids) this.nodes.set(id, new TestNode({ ...options, voters, learners, id }))
  }

  node(id: number): TestNode {
    return defined(this.nodes.get(id), `node ${id} exists`)
  }

  /** A node of its own making takes part from now on. */
  add(options: NodeOptions & { readonly id: number }): TestNode {
    const node = new TestNode(options)
    this.nodes.set(options.id, node)
    return node
  }

  /** The node starts again from its storage, with other options if given. */
  restart(id: number, options: NodeOptions = {}): TestNode {
    const { storage } = this.node(id)
    return this.add({ ...options, id, storage })
  }

  /** Messages for which this is true are lost from now on. */
  lose(isLost: (message: Message) => boolean): void {
    this.#isLost = isLost
  }

  /** Nothing reaches these nodes or comes from them. */
  isolate(...ids: readonly number[]): void {
    this.lose(({ from, to }) => ids.includes(from) || ids.includes(to))
  }

  loseType(...types: readonly MessageType[]): void {
    this.lose(({ type }) => types.includes(type))
  }

  heal(): void {
    this.lose(() => false)
  }

  /** All nodes work and all messages arrive, until nothing is left. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      for (const node of this.nodes.values()) this.#flying.push(...node.work())
      const next = this.#flying.shift()
      if (next === undefined) return
      if (!this.#isLost(next)) this.nodes.get(next.to)?.raw.step(next)
    }
    assert(false, 'the cluster comes to rest')
  }

  elect(id: number): void {
    this.node(id).raw.campaign()
    this.settle()
  }

  propose(id: number, text: string): void {
    this.node(id).raw.propose(encode(text))
    this.settle()
  }

  /** Ticks one node, or all, settling after each tick. */
  tick(count: number, id?: number): void {
    for (let i = 0; i < count; i++) {
      for (const node of id === undefined ? this.nodes.values() : [this.node(id)]) node.raw.tick()
      this.settle()
    }
  }

  /** The node that leads in the highest term; undefined if none does. */
  leader(): TestNode | undefined {
    const leaders = [...this.nodes.values()].filter(
      ({ raw }) => raw.basicStatus().role === 'leader',
    )
    return leaders.sort((a, b) => b.raw.basicStatus().term - a.raw.basicStatus().term)[0]
  }

  /** Role and term of each node, `leader@2 follower@2`. */
  roles(): string {
    const texts = [...this.nodes.values()].map(({ raw }) => {
      const { role, term } = raw.basicStatus()
      return `${role}@${term}`
    })
    return texts.join(' ')
  }
}

/** A storage that holds a snapshot of this text at this place and nothing after it. */
export function storageAt(
  index: number,
  term: number,
  confState: Partial<ConfState>,
): MemoryStorage {
  const storage = new MemoryStorage()
  storage.applySnapshot({
    ...emptySnapshot,
    index,
    term,
    confState: { ...emptyConfState, ...confState },
    data: encode(`snapshot@${index}`),
  })
  storage.setHardState({ ...emptyHardState, term, commit: index })
  return storage
}

/** A read that waits, told from others by its index. */
export function emptyRead(index: number): WaitingRead {
  return { request: emptyMessage, index }
}
