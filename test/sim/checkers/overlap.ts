/**
 * What runs on the hosts against what is written of it. During faults two containers of one slot
 * cannot always be helped: the older one may be on a host that nobody reaches. It is bounded: once
 * that host is up, in session and has been for OVERLAP_MAX_MS, the older one has ended
 * (docs/simulator.md). And what an agent has reported as ended does not run.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import { slotOf } from './slots.ts'
import { stateOf } from './task-facts.ts'

/** How long a host that is reached may take to end the older container of a slot. */
export const OVERLAP_MAX_MS = 30_000

type Running = { readonly node: SimNode; readonly task: Task }

export class OverlapChecker {
  readonly #world: World
  /** Task → since when its overlap has lasted on a host that is reached. */
  #sinceMs = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** What is wrong with what runs now; `view` is the committed state. */
  *inspect(view: View): Iterable<string> {
    const slots = new Map<string, Running[]>()
    for (const node of this.#world.nodes.values())
      for (const started of node.runtime.listRunning()) {
        const task = view.tasks.get(started.id)
        // A clone says of its tasks what is not so of the other's containers.
        const isCloned = this.#world.cloned.has(node.id)
        if (task !== undefined && !isCloned) yield* checkEnded(node, task)
        const slot = slotOf(started)
        const running = slots.get(slot)
        if (running === undefined) slots.set(slot, [{ node, task: started }])
        else running.push({ node, task: started })
      }
    const sinceMs = new Map<string, number>()
    for (const [slot, running] of slots)
      if (running.length > 1) yield* this.#checkSlot(view, slot, { running, sinceMs })
    this.#sinceMs = sinceMs
  }

  *#checkSlot(
    view: View,
    slot: string,
    {
      running,
      sinceMs,
    }: { readonly running: readonly Running[]; readonly sinceMs: Map<string, number> },
  ): Iterable<string> {
    const { nowMs } = this.#world.schedule
    for (const { node, task } of running) {
      // Those that are still let run are two of a start-first update, or a problem of their slot.
      if (view.tasks.get(task.id)?.desiredState === 'running') continue
      const since = isReached(view, node, nowMs) ? (this.#sinceMs.get(task.id) ?? nowMs) : nowMs
      sinceMs.set(task.id, since)
      if (nowMs - since > OVERLAP_MAX_MS)
        yield `L2: slot ${slot} runs twice: ${task.id} has been on ${node.id}, which is reached, for ${Math.round(nowMs - since)} ms beside ${otherOf(running, task)}`
    }
  }
}

/** The host is up and its agent in session with a manager that counts it as ready. */
function isReached(view: View, node: SimNode, nowMs: number): boolean {
  return (
    node.isUp &&
    !node.isPaused &&
    nowMs >= node.mainStalledUntilMs &&
    node.agent?.status().session === 'running' &&
    view.nodes.get(node.id)?.status?.state === 'ready'
  )
}

/** An agent says so only when the container has been stopped; managers may, of any. */
function* checkEnded(node: SimNode, task: Task): Iterable<string> {
  const state = stateOf(task)
  const isManagers = state === 'rejected' || state === 'orphaned'
  if (TaskStateNumber[state] < TaskStateNumber.complete || isManagers) return
  if (task.nodeId === node.id)
    yield `T1: task ${task.id} is ${state} while its container runs on ${node.id}`
}

function otherOf(running: readonly Running[], task: Task): string {
  const other = running.find((one) => one.task.id !== task.id)
  return `${other?.task.id} on ${other?.node.id}`
}
