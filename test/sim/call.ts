/**
 * A call from one simulated host to another, as gRPC between nodes is: lost on either way, it ends by
 * its deadline with an unknown outcome; a host without a process refuses it. Whether the caller still
 * lives when the answer comes is the caller's to know.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

export type Caller<T> = (outcome: T | SwarmError) => void

export function callNode<T>(
  world: World,
  way: { readonly from: SimNode; readonly to: SimNode; readonly deadlineMs: number },
  ask: (reply: Caller<T>) => void,
  done: Caller<T>,
): void {
  const { from, to } = way
  let isDone = false
  const finish: Caller<T> = (outcome) => {
    if (isDone) return
    isDone = true
    done(outcome)
  }
  const lost = (): void => undefined
  world.schedule.after(way.deadlineMs, () =>
    finish(new SwarmError('unavailable', 'no answer, outcome unknown')),
  )
  world.network.carry(
    from.id,
    to.id,
    () => {
      if (to.isUp)
        ask((outcome) => world.network.carry(to.id, from.id, () => finish(outcome), lost))
      else finish(new SwarmError('unavailable', 'connection refused', { retriable: true }))
    },
    lost,
  )
}
