/**
 * Leader: the control loops and their one order (DESIGN section 6). It remembers for each
 * reconciler which objects changed since its last round and when it wants to look again, and runs
 * the next one that has a reason to, on the working view with the changes of those before it.
 * What they decide is theirs; who commits it is the writer. All of it can be lost with the
 * leadership: a new leader begins with a round over everything.
 */
import type { Random } from '../lib/random.ts'
import type { Change } from './store/change.ts'
import type { Changed, Outcome, Reconcile } from './store/round.ts'
import type { TableName, View } from './store/view.ts'

export type Loop = {
  readonly name: string
  readonly reconcile: Reconcile
  /** It has taken over what it returns itself, and is not told of it: for loops that change much. */
  readonly knowsOwn?: boolean
  /** It goes by these tables only, and is not run for changes of others; undefined: by all. */
  readonly tables?: readonly TableName[]
}

/** One reconciler and what it has not seen yet. */
type LoopState = {
  readonly loop: Loop
  all: boolean
  ids: Map<TableName, Set<string>>
  /** Cluster time, ms, at which it wants to look again; undefined: only when something changes. */
  nextMs: number | undefined
}

export type LoopRun = { readonly name: string; readonly outcome: Outcome }

export type RunOptions = {
  readonly view: View
  readonly now: number
  readonly wallMs: number
  readonly random: Random
}

export class Leader {
  #loops: readonly LoopState[]

  constructor(loops: readonly Loop[]) {
    this.#loops = loops.map((loop) => ({
      loop,
      all: true,
      ids: new Map(),
      nextMs: undefined,
    }))
  }

  /** Every loop will look at these objects, but for loop `by`, which made the changes and knows them. */
  noteChanges(changes: readonly Change[], by?: string): void {
    const told = this.#loops.filter(({ loop }) => loop.name !== by || loop.knowsOwn !== true)
    for (const change of changes) {
      const id = change.kind === 'remove' ? change.id : change.object.id
      for (const state of told)
        if (state.loop.tables?.includes(change.table) !== false) noteId(state, change.table, id)
    }
  }

  /** Every loop will look at everything: after a snapshot, or what was decided was lost. */
  noteAll(): void {
    for (const state of this.#loops) {
      state.all = true
      state.ids = new Map()
    }
  }

  /** The loop of this name will look at everything: what it rests on is not in the store. */
  wake(name: string): void {
    for (const state of this.#loops) if (state.loop.name === name) state.all = true
  }

  /** Whether a loop has a reason to run at cluster time `now`. */
  isDue(now: number): boolean {
    return this.#loops.some((state) => hasReason(state, now))
  }

  /** The earliest cluster time, ms, at which a loop wants to look again without a change. */
  nextMs(): number | undefined {
    let next: number | undefined
    for (const state of this.#loops)
      if (state.nextMs !== undefined && (next === undefined || state.nextMs < next))
        next = state.nextMs
    return next
  }

  /**
   * Runs the first loop, in order, that has a reason; undefined when none has. The caller applies
   * the outcome to the working view and notes its changes before the next call, so that those
   * after it see them, and those before it get another turn.
   */
  runNext(options: RunOptions): LoopRun | undefined {
    const state = this.#loops.find((candidate) => hasReason(candidate, options.now))
    if (state === undefined) return undefined
    const changed = takeChanged(state)
    state.nextMs = undefined
    const outcome = state.loop.reconcile({ ...options, changed })
    state.nextMs = outcome.nextMs
    return { name: state.loop.name, outcome }
  }
}

function hasReason(state: LoopState, now: number): boolean {
  return state.all || state.ids.size > 0 || (state.nextMs !== undefined && state.nextMs <= now)
}

function noteId(state: LoopState, table: TableName, id: string): void {
  if (state.all) return
  const ids = state.ids.get(table)
  if (ids === undefined) state.ids.set(table, new Set([id]))
  else ids.add(id)
}

function takeChanged(state: LoopState): Changed {
  const ids = state.ids
  const all = state.all
  state.all = false
  state.ids = new Map()
  const of = (table: TableName): ReadonlySet<string> => ids.get(table) ?? NO_IDS
  return {
    all,
    ids: {
      clusters: of('clusters'),
      nodes: of('nodes'),
      services: of('services'),
      tasks: of('tasks'),
      secrets: of('secrets'),
      configs: of('configs'),
    },
  }
}

const NO_IDS: ReadonlySet<string> = new Set()
