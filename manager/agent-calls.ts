/**
 * Agent calls: what the sessions held here need of other managers, and what others need of them.
 * Heartbeats go to the leader, to this manager itself when it leads; a command goes to whoever holds
 * the node's session: the leader knows, so the asked manager passes to the leader and that one to the
 * holder, at most two hops, as the holder may change meanwhile. Sessions are the dispatcher's.
 */
import { SwarmError } from '../lib/errors.ts'
import type { RelayReply, WriteReply } from '../proto/gen/control.ts'
import type { Member } from '../proto/gen/types.ts'
import { Dispatcher, type DispatcherInput, type DispatcherOutput } from './dispatcher/dispatcher.ts'
import type { Leadership } from './leadership.ts'
import type { ManagerConfig, ManagerInput, ManagerOutput } from './manager-interface.ts'
import type { View } from './store/view.ts'

/** From the asked manager to the leader to the holder of the session. */
const HOPS_MAX = 2

type Command = Extract<ManagerInput, { readonly kind: 'command' }>

/** What this manager knows of the others. */
export type Reach = {
  readonly raftId: number
  readonly members: readonly Member[]
  /** The leader, when it is another member. */
  readonly leader: Member | undefined
  /** While this manager leads. */
  readonly leadership: Leadership | undefined
  readonly view: View
}

/** What the dispatcher wants of the manager it is part of, or the manager's shell of others. */
export type AgentEffect =
  | Extract<DispatcherOutput, { readonly kind: 'write' | 'read-index' }>
  | Extract<
      ManagerOutput,
      { readonly kind: 'send' | 'close' | 'relay' | 'pass' | 'command-answer' }
    >

type CommandAnswer = Extract<ManagerOutput, { readonly kind: 'command-answer' }>

export class AgentCalls {
  readonly #dispatcher: Dispatcher
  /** On their way, by the number that dispatcher and other managers know them by. */
  #commands = new Map<number, Command>()
  #lastCommand = 0

  constructor({ raftId, log, now }: ManagerConfig, view: View) {
    this.#dispatcher = new Dispatcher({ raftId, view, nowMs: now.monotonicMs, log })
  }

  get sessions(): number {
    return this.#dispatcher.status().sessions
  }

  tick(monotonicMs: number): void {
    this.#dispatcher.tick(monotonicMs)
  }

  /** Of a session, or an answer to one of the dispatcher's effects. */
  step(input: DispatcherInput): void {
    this.#dispatcher.step(input)
  }

  /** The dispatcher goes on; whether it had anything to say. */
  run(reach: Reach, carryOut: (effect: AgentEffect) => void): boolean {
    const outputs = this.#dispatcher.ready()
    if (outputs === undefined) return false
    for (const output of outputs) {
      const effect = this.#translate(output, reach)
      if (effect !== undefined) carryOut(effect)
    }
    this.#dispatcher.advance(outputs)
    return true
  }

  /** The leader's answer to heartbeats; one of an older leader says nothing about the present one. */
  relayDone(id: number, reply: RelayReply | undefined, term: number): void {
    const isCurrent = reply !== undefined && reply.term === term
    this.#dispatcher.step({ kind: 'relay-done', id, reply: isCurrent ? reply : undefined })
  }

  /** A session held here is given the command at once, if there is one. */
  command(command: Command): void {
    const id = ++this.#lastCommand
    this.#commands.set(id, command)
    this.#dispatcher.step({ ...command, id })
  }

  /** A write of the dispatcher's has come to this. */
  writeDone(id: number, outcome: WriteReply | SwarmError): void {
    const isRefused = outcome instanceof SwarmError
    this.#dispatcher.step({
      ...{ kind: 'write-done', id },
      outcome: isRefused
        ? { kind: 'refused', error: outcome }
        : { kind: 'committed', reply: outcome },
    })
  }

  /** The dispatcher's store has reached the index it asked for, or never will. */
  readDone(id: number, outcome: number | SwarmError): void {
    const index = outcome instanceof SwarmError ? undefined : outcome
    this.#dispatcher.step({ kind: 'read-index-done', id, index })
  }

  /** The command arrived, or will not: whoever asked is answered. */
  commandDone(id: number, isDelivered: boolean): CommandAnswer | undefined {
    const command = this.#commands.get(id)
    this.#commands.delete(id)
    return command && { kind: 'command-answer', id: command.id, isDelivered }
  }

  #translate(output: DispatcherOutput, reach: Reach): AgentEffect | undefined {
    switch (output.kind) {
      case 'send':
      case 'close':
      case 'write':
      case 'read-index':
        return output
      case 'relay':
        return this.#relay(output, reach)
      case 'command-done':
        return this.#commandTried(output, reach)
      default:
        return output satisfies never
    }
  }

  #relay(
    { id, request }: Extract<DispatcherOutput, { readonly kind: 'relay' }>,
    { leadership, leader, view }: Reach,
  ): AgentEffect | undefined {
    if (leadership === undefined && leader !== undefined)
      return { kind: 'relay', id, to: leader, request }
    const reply = leadership?.relay(view, request)
    this.#dispatcher.step({ kind: 'relay-done', id, reply })
    return undefined
  }

  #commandTried(
    { id, isDelivered }: Extract<DispatcherOutput, { readonly kind: 'command-done' }>,
    reach: Reach,
  ): AgentEffect | undefined {
    const command = this.#commands.get(id)
    if (command === undefined) return undefined
    const to = isDelivered ? undefined : findNextHop(command, reach)
    if (to === undefined) return this.commandDone(id, isDelivered)
    const { nodeId, hops } = command
    return { kind: 'pass', id, to, nodeId, command: command.command, hops: hops + 1 }
  }
}

/** Whom to pass a command to that no session here took; undefined when there is nobody. */
function findNextHop(command: Command, reach: Reach): Member | undefined {
  if (command.hops >= HOPS_MAX) return undefined
  if (reach.leadership === undefined) return reach.leader
  const holder = reach.leadership.findHolder(command.nodeId)
  if (holder === reach.raftId) return undefined
  return reach.members.find((member) => member.raftId === holder)
}
