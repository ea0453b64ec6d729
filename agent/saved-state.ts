/**
 * Saved state: what the agent keeps on disk, as bytes. It is written at every change, and most of its
 * tasks are as they were: each is encoded once a change. Messages put one behind the other are the
 * message of all their fields (protobuf, "Last One Wins"), so that pieces make a whole.
 */
import { joinBytes } from '../lib/bytes.ts'
import { type AgentState, emptyAgentState, encodeAgentState } from '../proto/gen/agent.ts'
import { type TaskRecord, toKnown } from './task.ts'

export class SavedState {
  readonly #pieces = new WeakMap<TaskRecord, Uint8Array>()

  /** The bytes of an `AgentState`: `rest`, with what is known of these tasks. */
  encode(rest: Omit<AgentState, 'tasks'>, records: Iterable<TaskRecord>): Uint8Array {
    const pieces = [encodeAgentState({ ...rest, tasks: [] })]
    for (const record of records) pieces.push(this.#encodeTask(record))
    return joinBytes(pieces)
  }

  #encodeTask(record: TaskRecord): Uint8Array {
    const known = this.#pieces.get(record)
    if (known !== undefined) return known
    const piece = encodeAgentState({ ...emptyAgentState, tasks: [toKnown(record)] })
    this.#pieces.set(record, piece)
    return piece
  }
}
