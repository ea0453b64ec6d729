/**
 * Handler: how a request becomes changes. Handlers run on the leader, in the writer's queue, on the
 * working view, one after another (DESIGN section 5, group commit); they are pure and refuse by
 * throwing a SwarmError, after which nothing of them remains. The reply is given when the changes
 * are committed, with the log index filled in.
 */
import type { Random } from '../../lib/random.ts'
import type { Caller, WriteReply } from '../../proto/gen/control.ts'
import type { Change } from './change.ts'
import type { View } from './view.ts'

export type HandlerContext = {
  /** Cluster time, ms. */
  readonly now: number
  /** Wall time, ms: certificates and display only. */
  readonly wallMs: number
  readonly random: Random
  /** For whom the request is made. */
  readonly caller: Caller
  /** The Raft group as this manager sees it now. */
  readonly managers: readonly ManagerReach[]
}

export type ManagerReach = {
  readonly nodeId: string
  readonly isVoter: boolean
  readonly isReachable: boolean
}

export type Handled = {
  readonly changes: readonly Change[]
  /** Everything but `index`. */
  readonly reply: Partial<Omit<WriteReply, 'index'>>
}

export type Handle<Request> = (view: View, request: Request, context: HandlerContext) => Handled
