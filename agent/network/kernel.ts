/**
 * Port Kernel: what the host's network holds, and carrying out changes of it. Real side
 * `node/keeper/kernel.ts`, twin `test/sim/kernel.ts`. It owns the meaning of "carried out"; what
 * should be there is `plan.ts`, what must change `diff.ts`.
 */
import type { NetworkChange, RemovedLink } from './diff.ts'
import type { TaskLink } from './plan.ts'

export interface Kernel {
  /** What there is now, also from an earlier daemon. */
  read(): Promise<KernelView>
  /**
   * All changes are made, in order where they touch the same thing. Throws SwarmError with the
   * tool's words at the first that fails; the others may be made or not, and `read` tells.
   */
  apply(changes: readonly NetworkChange[]): Promise<void>
}

export type KernelView = {
  /** The host's links that are whole: namespace, link and route. */
  readonly links: readonly TaskLink[]
  /** Namespaces and links of this host that are only a part of one, left by somebody's death. */
  readonly remains: readonly RemovedLink[]
  /** Every subnet that the host has a route to or an address in, its own tasks' left out. */
  readonly routes: readonly string[]
  /** Of the link with the default route; 1500 where there is none. */
  readonly mtu: number
  /** The FORWARD policy is drop and Docker's user chain is there. */
  readonly isDockerInTheWay: boolean
}
