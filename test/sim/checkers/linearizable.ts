/**
 * Whether a history of one object could have come from operations that happened one after another,
 * each at some moment between its invocation and its answer (Herlihy and Wing). The search is Lowe's
 * just-in-time one: events are gone through in their order, with all configurations the object may
 * be in; operations are put into an order only when an answer demands it, and configurations that
 * are equal are one. An operation without an answer may happen at any later moment, or never: of two
 * configurations that differ in nothing else, the one in which fewer of those have happened can do
 * all that the other can, so the other is left out.
 */
export type Operation<S extends string> = {
  readonly invokedAt: number
  /** Undefined: there never was an answer. */
  readonly answeredAt: number | undefined
  /** What the object may be after it; nothing where it cannot have happened. */
  readonly next: (state: S) => readonly S[]
}

export type Verdict =
  | { readonly kind: 'linearizable' }
  /** No order allows the answer of the operation at this place of the list. */
  | { readonly kind: 'violated'; readonly at: number }
  /** Too many configurations to go through. */
  | { readonly kind: 'undecided' }

/** What the object may be, and which of the pending operations have happened for that. */
type Configuration<S> = {
  readonly state: S
  /** Those whose answer is still to come, in the order of their places. */
  readonly early: readonly number[]
  /** Those that never have one. */
  readonly lost: readonly number[]
}

const CONFIGURATIONS_MAX = 1_000_000

/** The verdict on a history; times are unique, and order the events. */
export function judge<S extends string>(
  operations: readonly Operation<S>[],
  initial: S,
  configurationsMax: number = CONFIGURATIONS_MAX,
): Verdict {
  const events = operations
    .flatMap(({ invokedAt, answeredAt }, at) => [
      { time: invokedAt, at, isAnswer: false },
      ...(answeredAt === undefined ? [] : [{ time: answeredAt, at, isAnswer: true }]),
    ])
    .sort((left, right) => left.time - right.time)
  const pending = new Set<number>()
  let configurations: readonly Configuration<S>[] = [{ state: initial, early: [], lost: [] }]
  for (const { at, isAnswer } of events) {
    if (!isAnswer) {
      pending.add(at)
      continue
    }
    const reached = demand(at, { operations, pending, configurations, configurationsMax })
    if (reached === undefined) return { kind: 'undecided' }
    if (reached.length === 0) return { kind: 'violated', at }
    pending.delete(at)
    configurations = reached
  }
  return { kind: 'linearizable' }
}

/**
 * The configurations in which the operation has happened, but those that need more than another one;
 * undefined when there are too many.
 */
function demand<S extends string>(
  wanted: number,
  search: {
    readonly operations: readonly Operation<S>[]
    readonly pending: ReadonlySet<number>
    readonly configurations: readonly Configuration<S>[]
    readonly configurationsMax: number
  },
): readonly Configuration<S>[] | undefined {
  const { operations, pending, configurationsMax } = search
  const seen = new Least<S>()
  const reached: Configuration<S>[] = []
  // By how many lost ones they need, so that whoever makes another one superfluous comes first.
  const open: Configuration<S>[][] = []
  const push = (one: Configuration<S>): void => {
    const alike = open[one.lost.length] ?? []
    open[one.lost.length] = alike
    alike.push(one)
  }
  for (const one of search.configurations) push(one)
  for (let lostCount = 0; lostCount < open.length; lostCount++) {
    const alike = open[lostCount] ?? []
    for (let one = alike.pop(); one !== undefined; one = alike.pop()) {
      if (!seen.add(one)) continue
      if (seen.size > configurationsMax) return undefined
      if (one.early.includes(wanted)) {
        reached.push({ ...one, early: one.early.filter((at) => at !== wanted) })
        continue
      }
      for (const at of pending) for (const next of after(one, at, operations[at])) push(next)
    }
  }
  return reached
}

/** What becomes of the configuration when the operation happens now; nothing where it cannot. */
function after<S extends string>(
  { state, early, lost }: Configuration<S>,
  at: number,
  operation: Operation<S> | undefined,
): readonly Configuration<S>[] {
  if (operation === undefined || early.includes(at) || lost.includes(at)) return []
  return operation
    .next(state)
    .map((next) =>
      operation.answeredAt === undefined
        ? { state: next, early, lost: [...lost, at] }
        : { state: next, early: [...early, at].sort((left, right) => left - right), lost },
    )
}

/** Configurations none of which can do all that another one can. */
class Least<S extends string> {
  size = 0
  /** What they need lost ones for: by state and early ones, the sets that are enough. */
  #lost = new Map<string, (readonly number[])[]>()

  /** False where one that is here needs no more; to be called in the order of what they need. */
  add({ state, early, lost }: Configuration<S>): boolean {
    const key = `${early.join(',')} ${state}`
    const enough = this.#lost.get(key) ?? []
    if (enough.some((fewer) => fewer.every((at) => lost.includes(at)))) return false
    if (enough.length === 0) this.#lost.set(key, enough)
    enough.push(lost)
    this.size++
    return true
  }
}
