/**
 * What all orchestrators have in common: they turn changes into keys (of a service, a slot, a node, a
 * task), look at each key by itself, and are told when to look again. Here it is decided how many
 * keys are looked at in one round, so that a round stays short whatever happened; the others wait
 * for the next round, at the same cluster time. Keys that wait and times are an index: a new leader
 * begins with a round over everything.
 */
import { type Change, changedId } from '../store/change.ts'
import type { Outcome, Reconcile, Round } from '../store/round.ts'
import { isolated, type Subject } from './isolate.ts'
import { Timers } from './timers.ts'

export type Look = {
  readonly changes: readonly Change[]
  /** Cluster time, ms, at which the key is to be looked at again without a change. */
  readonly nextMs?: number | undefined
  /** Keys that are to be looked at because of this one. */
  readonly more?: Iterable<string>
}

export type Plan = {
  /** The keys of what these changes may concern; of everything where `changed.all`. */
  readonly listTouched: (round: Round) => Iterable<string>
  /** What must be done about a key, judged by the view and the time alone. */
  readonly lookAt: (round: Round, key: string) => Look
  /** Whom a key is about. */
  readonly subjectOf: (key: string) => Subject
  /** How many keys are looked at in a round of some milliseconds. */
  readonly keysPerRound: number
}

export const NOTHING: Look = { changes: [] }

/** A reconciler that looks at every key that is touched, or whose time has come, once. */
export function newReconciler(plan: Plan): Reconcile {
  const timers = new Timers()
  const waiting = new Set<string>()
  return (round: Round): Outcome => {
    if (round.changed.all) {
      timers.clear()
      waiting.clear()
    }
    addAll(waiting, timers.take(round.now))
    addAll(waiting, plan.listTouched(round))
    const changed = new Set<string>()
    const outcome = isolated(take(waiting, plan.keysPerRound), plan.subjectOf, (key) => {
      const { changes, nextMs, more } = plan.lookAt(round, key)
      const ids = changes.map(changedId)
      // An object changes once a round: this was decided without what another key has changed.
      if (ids.some((id) => changed.has(id))) {
        waiting.add(key)
        return []
      }
      addAll(changed, ids)
      timers.set(key, nextMs)
      if (more !== undefined) addAll(waiting, more)
      return changes
    })
    return { ...outcome, nextMs: waiting.size > 0 ? round.now : timers.nextMs() }
  }
}

/** The subject of a key `service` or `service/slot`. */
export function serviceOfKey(key: string): Subject {
  return { table: 'services', id: key.split('/', 1)[0] ?? key }
}

/** Whether the key is `service/slot`, and not a bare id. */
export function isSlotKey(key: string): boolean {
  return key.includes('/')
}

function addAll(keys: Set<string>, added: Iterable<string>): void {
  for (const key of added) keys.add(key)
}

function take(keys: Set<string>, count: number): readonly string[] {
  const taken: string[] = []
  for (const key of keys) {
    if (taken.length === count) break
    taken.push(key)
    keys.delete(key)
  }
  return taken
}
