/**
 * Fences (docs/disconnect.md), looked at from outside. D3: beside a container whose agent is to stop it
 * when it is cut off no other one of its slot runs, unless nobody could stop it: its daemon was dead,
 * stopped or stalled, its runtime hung, or its agent's memory was replaced. And no agent stops one that
 * is in contact: when it last was is told by what was sent and delivered.
 */
import type { AgentMessage, SessionMessage } from '../../../proto/gen/dispatcher.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { slotOf } from './slots.ts'
import { isFenced } from './task-facts.ts'

/** A daemon that can act again has stopped what is due within this time: the grace, and some more. */
const STOP_MAX_MS = 15_000
/** Clocks are a tenth too fast at most. */
const RATE_MIN = 0.9

export type FencedHost = {
  readonly id: string
  /** Its daemon is up and gets on, and its runtime answers. */
  readonly isAble: boolean
  readonly isCloned: boolean
  readonly running: readonly Task[]
}

/** What one process of an agent was told. */
type Contact = {
  readonly instance: string
  readonly sent: Map<number, number>
  isTold: boolean
  /** The hello, or heartbeats that were answered, before a set and after it: when the last was sent. */
  pendingMs: number | undefined
  lastMs: number | undefined
}

type Process = { readonly id: string; readonly instance: string }

export class FenceChecker {
  /** Host → since when it is able. */
  readonly #ableMs: Map<string, number> = new Map()
  /** Containers that their agents may not know of. */
  readonly #exempt: Set<string> = new Set()
  /** Containers that the managers do not know of. */
  readonly #forgotten: Set<string> = new Set()
  readonly #contacts: Map<string, Contact> = new Map()
  /** `node task`: what an agent began to stop it goes on to stop, whoever it reaches meanwhile. */
  readonly #stopped: Set<string> = new Set();

  /** What runs now. */
  *inspect(hosts: readonly FencedHost[], nowMs: number): Iterable<string> {
    const slots = new Map<string, { readonly host: FencedHost; readonly task: Task }[]>()
    for (const host of hosts) {
      if (!host.isAble) this.#ableMs.delete(host.id)
      else if (!this.#ableMs.has(host.id)) this.#ableMs.set(host.id, nowMs)
      for (const task of host.running.filter(({ id }) => !this.#forgotten.has(id)))
        slots.set(slotOf(task), [...(slots.get(slotOf(task)) ?? []), { host, task }])
    }
    for (const running of slots.values()) {
      const newest = Math.max(...running.map(({ task }) => task.createdClusterMs))
      for (const { host, task } of running.length > 1 ? running : []) {
        const isJudged = isFenced(task) && task.createdClusterMs < newest && !host.isCloned
        const ableMs = this.#ableMs.get(host.id) ?? nowMs
        if (isJudged && nowMs - ableMs > STOP_MAX_MS && !this.#exempt.has(task.id))
          yield `D3: slot ${slotOf(task)} runs twice, and ${task.id} on ${host.id} is fenced`
      }
    }
  }

  /** Whatever runs there is not judged: nobody can know of it what is needed. */
  exempt(running: readonly Task[]): void {
    for (const { id } of running) this.#exempt.add(id)
  }

  /** Their managers know nothing of them any more, so that nothing is to end for their sake. */
  forget(running: readonly Task[]): void {
    for (const { id } of running) this.#forgotten.add(id)
  }

  /** The agent sends this. */
  said(process: Process, body: AgentMessage['body'], nowMs: number): void {
    if (body?.kind === 'hello') {
      const before = this.#contacts.get(process.id)
      const lastMs = before?.instance === process.instance ? before.lastMs : undefined
      const { instance } = process
      this.#contacts.set(process.id, {
        ...{ instance, sent: new Map(), isTold: false, pendingMs: nowMs, lastMs },
      })
    }
    if (body?.kind === 'heartbeat')
      this.#contacts.get(process.id)?.sent.set(body.heartbeat.sequence, nowMs)
  }

  /** The agent, in a session that runs, was told this. */
  told({ id }: Process, body: SessionMessage['body']): void {
    const contact = this.#contacts.get(id)
    if (contact === undefined) return
    if (body?.kind === 'assignments' && body.assignments.full) contact.isTold = true
    if (body?.kind === 'heartbeatAck' && body.heartbeatAck.ready) {
      const sentMs = contact.sent.get(body.heartbeatAck.sequence) ?? 0
      contact.pendingMs = Math.max(contact.pendingMs ?? 0, sentMs)
    }
    if (contact.isTold && contact.pendingMs !== undefined)
      contact.lastMs = Math.max(contact.lastMs ?? 0, contact.pendingMs)
  }

  /** The agent stops it; whether it may by itself. Of what an earlier process was told nobody knows here. */
  stops(process: Process, task: Task, nowMs: number): boolean {
    if (!isFenced(task)) return false
    const key = `${process.id} ${task.id}`
    if (this.#isDue(process, task, nowMs)) this.#stopped.add(key)
    return this.#stopped.has(key)
  }

  #isDue({ id, instance }: Process, task: Task, nowMs: number): boolean {
    const contact = this.#contacts.get(id)
    if (contact?.instance !== instance || contact.lastMs === undefined) return true
    return nowMs - contact.lastMs >= (task.spec?.disconnect?.stopAfterMs ?? 0) * RATE_MIN
  }
}
