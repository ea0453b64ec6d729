/**
 * Saved state: what the agent keeps on disk, as bytes. It is written at every change, and most of its
 * tasks are as they were: each is encoded once a change, and those that follow each other are joined
 * once as long as none of them changes. Messages put one behind the other are the message of all their
 * fields (protobuf, "Last One Wins"), so that pieces make a whole.
 */
import { joinBytes } from '../lib/bytes.ts'
import { type AgentState, emptyAgentState, encodeAgentState } from '../proto/gen/agent.ts'
import { type TaskRecord, toKnown } from './task.ts'

/** Tasks that are joined together. */
const BLOCK_TASKS = 16

type Block = { readonly records: readonly TaskRecord[]; readonly bytes: Uint8Array }

export class SavedState {
  readonly #pieces = new WeakMap<TaskRecord, Uint8Array>()
  /** Of the last time, in their order. */
  #blocks: readonly Block[] = []

  /** The bytes of an `AgentState`: `rest`, with what is known of these tasks. */
  encode(rest: Omit<AgentState, 'tasks'>, records: Iterable<TaskRecord>): Uint8Array {
    const all = [...records]
    const blocks: Block[] = []
    for (let at = 0; at < all.length; at += BLOCK_TASKS)
      blocks.push(this.#join(all.slice(at, at + BLOCK_TASKS), this.#blocks[blocks.length]))
    this.#blocks = blocks
    return joinBytes([
      encodeAgentState({ ...rest, tasks: [] }),
      ...blocks.map(({ bytes }) => bytes),
    ])
  }

  #join(records: readonly TaskRecord[], known: Block | undefined): Block {
    const isKnown =
      known?.records.length === records.length &&
      records.every((record, at) => record === known.records[at])
    if (known !== undefined && isKnown) return known
    return { records, bytes: joinBytes(records.map((record) => this.#encodeTask(record))) }
  }

  #encodeTask(record: TaskRecord): Uint8Array {
    const known = this.#pieces.get(record)
    if (known !== undefined) return known
    const piece = encodeAgentState({ ...emptyAgentState, tasks: [toKnown(record)] })
    this.#pieces.set(record, piece)
    return piece
  }
}
