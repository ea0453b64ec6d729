/**
 * What runs on the hosts against what is written of it. During faults two containers of one slot
 * cannot always be helped: the older one may be on a host that nobody reaches. It is bounded: once
 * that host is up, in session and has been for OVERLAP_MAX_MS, the older one has ended
 * (docs/simulator.md). And what an agent has reported as ended does not run.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import { slotOf } from './slots.ts'
import { stateOf } from './task-facts.ts'

/** How long a host that is reached may take to end the older container of a slot. */
export const OVERLAP_MAX_MS = 30_000

/** What is looked at of a host. */
export type Host = {
  readonly id: string
  /** It is up, and its agent in session. */
  readonly isReached: boolean
  /** Its agent has a twin that says of its tasks what is not so of these containers. */
  readonly isCloned: boolean
  /** Tasks whose containers run there. */
  readonly running: readonly Task[]
}

type Running = { readonly host: Host; readonly task: Task }

export class OverlapChecker {
  /** Task → since when its overlap has lasted on a host that is reached, ms. */
  #sinceMs: ReadonlyMap<string, number> = new Map();

  /** What is wrong with what runs now; `view` is the committed state. */
  *inspect(view: View, hosts: readonly Host[], nowMs: number): Iterable<string> {
    const slots = new Map<string, Running[]>()
    for (const host of hosts)
      for (const started of host.running) {
        const task = view.tasks.get(started.id)
        if (task !== undefined && !host.isCloned) yield* checkEnded(host, task)
        const running = slots.get(slotOf(started))
        if (running === undefined) slots.set(slotOf(started), [{ host, task: started }])
        else running.push({ host, task: started })
      }
    const before = this.#sinceMs
    const sinceMs = new Map<string, number>()
    this.#sinceMs = sinceMs
    for (const running of slots.values())
      for (const one of running.length > 1 ? running : []) {
        // Those that are still let run are two of a start-first update, or a problem of their slot.
        if (view.tasks.get(one.task.id)?.desiredState === 'running') continue
        const since = isReached(view, one.host) ? (before.get(one.task.id) ?? nowMs) : nowMs
        sinceMs.set(one.task.id, since)
        if (nowMs - since > OVERLAP_MAX_MS) yield describe(running, one, nowMs - since)
      }
  }
}

function isReached(view: View, host: Host): boolean {
  return host.isReached && view.nodes.get(host.id)?.status?.state === 'ready'
}

function describe(running: readonly Running[], { host, task }: Running, lastedMs: number): string {
  const other = running.find((one) => one.task.id !== task.id)
  return (
    `L2: slot ${slotOf(task)} runs twice: ${task.id} on ${host.id}, which is reached, for ` +
    `${Math.round(lastedMs)} ms beside ${other?.task.id} on ${other?.host.id}`
  )
}

/** An agent says so only when the container has been stopped; managers may, of any. */
function* checkEnded({ id }: Host, task: Task): Iterable<string> {
  const state = stateOf(task)
  const isManagers = state === 'rejected' || state === 'orphaned'
  if (TaskStateNumber[state] < TaskStateNumber.complete || isManagers) return
  if (task.nodeId === id) yield `T1: task ${task.id} is ${state} while its container runs on ${id}`
}
