/**
 * Round: what one run of a reconciler is given and gives back (STYLE section 4). The leader runs
 * the reconcilers in one written order (`manager/leader.ts`), each on the working view with the
 * changes of those before it. A reconciler is idempotent: on the result of its own changes it
 * returns none.
 */
import type { Random } from '../../lib/random.ts'
import type { Change } from './change.ts'
import type { TableName, View } from './view.ts'

export type Round = {
  readonly view: View
  /**
   * Ids of objects that were created, changed or removed since this reconciler's last round, its own
   * included unless it knows them (`Loop.knowsOwn`).
   */
  readonly changed: Changed
  /** Cluster time, ms. */
  readonly now: number
  /** Wall time, ms, for the times that are only displayed. */
  readonly wallMs: number
  readonly random: Random
}

export type Changed = {
  /** True in the first round of a leader: everything must be looked at. */
  readonly all: boolean
  readonly ids: { readonly [K in TableName]: ReadonlySet<string> }
}

export type Outcome = {
  readonly changes: readonly Change[]
  /** Cluster time, ms, at which this reconciler wants to look again without any change. */
  readonly nextMs: number | undefined
  /** Objects that tripped an assertion and were left as they are (DESIGN section 6). */
  readonly problems?: readonly Problem[]
}

export type Problem = {
  readonly table: TableName
  readonly id: string
  /** The assertion's message. */
  readonly reason: string
}

export type Reconcile = (round: Round) => Outcome
