/**
 * The nodes of an interaction file with all around them: their storage, the messages in flight
 * (one queue, in order) and the work of the local storage threads. The state machine of a node
 * concatenates what it applies and remembers the result after each entry; "the snapshot" is always
 * the newest. What is done is printed as etcd prints it.
 */
import { defined } from '../../../lib/assert.ts'
import { newSeededRandom } from '../../../lib/random.ts'
import {
  type Entry,
  emptySnapshot,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type MessageType,
  NONE,
  type Snapshot,
} from '../../../manager/raft/message.ts'
import { RawNode, type StepOutcome } from '../../../manager/raft/raw-node.ts'
import type { Config } from '../../../manager/raft/state.ts'
import { type Absence, MemoryStorage, type Storage } from '../../../manager/raft/storage.ts'
import { describeEntry, describeMessage, describeReady } from './describe.ts'
import { formatLogLine } from './log-lines.ts'
import { Output } from './output.ts'

/** An error that etcd reports in the output, with its text. */
export class ReportedError extends Error {}

/** What `add-nodes` may set. */
export type NodeOptions = Omit<Config, 'id' | 'storage' | 'random' | 'trace'>

const outcomeTexts: Readonly<Record<Exclude<StepOutcome, 'ok'>, string>> = {
  'proposal-dropped': 'raft proposal dropped',
  'local-message': 'raft: cannot step raft local message',
  'peer-unknown': 'raft: cannot step as peer not found',
}

/** The text etcd has for an outcome that is an error there. */
export function findOutcomeText(outcome: StepOutcome): string | undefined {
  return outcome === 'ok' ? undefined : outcomeTexts[outcome]
}

/** Messages to a node, or the loss of them; of one type only, if it is given. */
export type Delivery = {
  readonly to: number
  readonly isDropped: boolean
  readonly type: MessageType | undefined
}

/** Storage whose snapshot is the newest state of the node's state machine. */
class LiveStorage implements Storage {
  readonly memory: MemoryStorage = new MemoryStorage()
  /** The state after each applied entry, oldest first; never empty. */
  readonly history: Snapshot[]

  constructor(first: Snapshot) {
    this.history = [first]
    this.memory.applySnapshot(first)
  }

  initialState(): ReturnType<Storage['initialState']> {
    return this.memory.initialState()
  }

  entries(low: number, high: number, bytesMax: number): readonly Entry[] | Absence {
    return this.memory.entries(low, high, bytesMax)
  }

  term(index: number): number | Absence {
    return this.memory.term(index)
  }

  firstIndex(): number {
    return this.memory.firstIndex()
  }

  lastIndex(): number {
    return this.memory.lastIndex()
  }

  snapshot(): Snapshot {
    return defined(this.history.at(-1), 'the history is never empty')
  }
}

class Member {
  readonly id: number
  readonly raw: RawNode
  readonly storage: LiveStorage
  readonly isAsync: boolean
  readonly appendWork: Message[] = []
  readonly applyWork: Message[] = []

  constructor(config: Config, storage: LiveStorage) {
    this.id = config.id
    this.storage = storage
    this.isAsync = config.asyncStorageWrites ?? false
    this.raw = new RawNode(config)
  }

  persist(
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
  ): void {
    const { memory } = this.storage
    if (hardState !== undefined) memory.setHardState(hardState)
    if (snapshot === undefined) {
      memory.append(entries)
    } else if (entries.length > 0) {
      throw new ReportedError("can't apply snapshot and entries at the same time")
    } else if (!memory.applySnapshot(snapshot)) {
      throw new ReportedError('requested index is older than the existing snapshot')
    }
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const before = this.storage.snapshot()
      const isNormal = entry.type === 'normal'
      const update = isNormal ? entry.data : (entry.confChange?.context ?? new Uint8Array(0))
      this.storage.history.push({
        index: entry.index,
        term: entry.term,
        confState: isNormal ? before.confState : this.raw.applyConfChange(entry.confChange),
        data: new Uint8Array([...before.data, ...update]),
      })
    }
  }
}

export class Environment {
  readonly output: Output = new Output()
  readonly #members: Member[] = []
  #messages: Message[] = []

  /** How many nodes there are; their ids are 1 to this. */
  get count(): number {
    return this.#members.length
  }

  /** The node's core; throws if there is none with this id. */
  node(id: number): RawNode {
    return this.#member(id).raw
  }

  /** The storage that the node reads; throws if there is none with this id. */
  storage(id: number): LiveStorage {
    return this.#member(id).storage
  }

  /** `count` further nodes, each beginning with the snapshot. */
  addNodes(count: number, options: NodeOptions, snapshot: Snapshot | undefined): void {
    for (let i = 0; i < count; i++) {
      if (snapshot !== undefined && snapshot.index <= 1) {
        throw new ReportedError('index must be specified as > 1 due to bootstrap')
      }
      const id = this.#members.length + 1
      const storage = new LiveStorage(snapshot ?? emptySnapshot)
      const config: Config = {
        ...options,
        id,
        storage,
        random: newSeededRandom(id),
        trace: (event) => {
          const line = formatLogLine(id, event)
          if (line !== undefined) this.output.log(line)
        },
      }
      this.#members.push(new Member(config, storage))
    }
  }

  /** The node's Ready is printed and carried out, or handed to its threads. */
  processReady(id: number): void {
    const member = this.#member(id)
    const ready = member.raw.ready()
    this.output.write(describeReady(ready))
    if (ready === undefined) return
    if (!member.isAsync) {
      member.persist(ready.hardState, ready.entries, ready.snapshot)
      member.apply(ready.committedEntries)
    }
    for (const message of ready.messages) {
      if (message.to === LOCAL_APPEND_THREAD) member.appendWork.push(message)
      else if (message.to === LOCAL_APPLY_THREAD) member.applyWork.push(message)
      else this.#messages.push(message)
    }
    if (!member.isAsync) member.raw.advance(ready)
  }

  /** One message to the append thread is carried out, its responses are on their way. */
  processAppendThread(id: number): void {
    const member = this.#member(id)
    const message = member.appendWork.shift()
    if (message === undefined) {
      this.output.write('no append work to perform')
      return
    }
    const { term, vote, commit, entries, snapshot } = message
    const isSet = term !== 0 || vote !== NONE || commit !== 0
    this.#processStorageMessage(message, () => {
      member.persist(isSet ? { term, vote, commit } : undefined, entries, snapshot)
    })
  }

  /** One message to the apply thread is carried out, its responses are on their way. */
  processApplyThread(id: number): void {
    const member = this.#member(id)
    const message = member.applyWork.shift()
    if (message === undefined) {
      this.output.write('no apply work to perform')
      return
    }
    this.#processStorageMessage(message, () => member.apply(message.entries))
  }

  /** The messages are stepped or lost, each printed; how many there were. */
  deliver({ to, isDropped, type }: Delivery): number {
    const isMeant = (message: Message): boolean =>
      message.to === to &&
      !(isDropped && isLocal(message)) &&
      (type === undefined || message.type === type)
    const meant = this.#messages.filter(isMeant)
    this.#messages = this.#messages.filter((message) => !isMeant(message))
    for (const message of meant) {
      this.output.write(`${isDropped ? 'dropped: ' : ''}${describeMessage(message)}\n`)
      if (isDropped) continue
      const text = findOutcomeText(this.node(to).step(message))
      if (text !== undefined) this.output.write(`${text}\n`)
    }
    return meant.length
  }

  /** The message is in flight, as if its sender had sent it. */
  send(message: Message): void {
    this.#messages.push(message)
  }

  /** Readies, messages and threads of these nodes are dealt with until nothing is left. */
  stabilize(ids: readonly number[]): void {
    const members = ids.map((id) => this.#member(id))
    for (let isDone = false; !isDone; ) {
      isDone = true
      const section = (title: string, body: () => void): void => {
        isDone = false
        this.output.write(`> ${title}\n`)
        this.output.indent(body)
      }
      for (const { id, raw } of members) {
        if (raw.hasReady()) section(`${id} handling Ready`, () => this.processReady(id))
      }
      for (const { id } of members) {
        if (!this.#messages.some(({ to }) => to === id)) continue
        section(`${id} receiving messages`, () => {
          this.deliver({ to: id, isDropped: false, type: undefined })
        })
      }
      for (const { id, appendWork } of members) {
        if (appendWork.length === 0) continue
        section(`${id} processing append thread`, () => {
          while (appendWork.length > 0) this.processAppendThread(id)
        })
      }
      for (const { id, applyWork } of members) {
        if (applyWork.length === 0) continue
        section(`${id} processing apply thread`, () => {
          while (applyWork.length > 0) this.processApplyThread(id)
        })
      }
    }
  }

  #processStorageMessage(message: Message, carryOut: () => void): void {
    this.output.write(`Processing:\n${describeMessage({ ...message, responses: [] })}\n`)
    carryOut()
    this.output.write('Responses:\n')
    for (const response of message.responses) this.output.write(`${describeMessage(response)}\n`)
    this.#messages.push(...message.responses)
  }

  #member(id: number): Member {
    return defined(this.#members[id - 1], `node ${id} exists`)
  }
}

/** Messages within a node are never lost. */
function isLocal({ from, to }: Message): boolean {
  return from === to || from === LOCAL_APPEND_THREAD || from === LOCAL_APPLY_THREAD
}

/** The stored log, one line for each entry. */
export function describeLog(storage: Storage): string {
  const first = storage.firstIndex()
  const last = storage.lastIndex()
  if (last < first) return `log is empty: first index=${first}, last index=${last}`
  const entries = storage.entries(first, last + 1, Number.POSITIVE_INFINITY)
  if (typeof entries === 'string') throw new ReportedError(entries)
  return entries.map((entry) => `${describeEntry(entry)}\n`).join('')
}
