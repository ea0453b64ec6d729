/**
 * Whether a history of one object could have come from operations that happened one after another,
 * each at some moment between its invocation and its answer (Herlihy and Wing). The search is Lowe's
 * just-in-time one: events are gone through in their order, with all configurations the object may
 * be in; operations are put into an order only when an answer demands it, and configurations that
 * are equal are one. An operation without an answer may happen at any later moment, or never.
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

/** What the object may be, and which operations without an answer so far have happened. */
type Configuration<S> = { readonly state: S; readonly happened: readonly number[] }

const CONFIGURATIONS_MAX = 100_000

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
  let configurations: readonly Configuration<S>[] = [{ state: initial, happened: [] }]
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

/** All configurations in which the operation has happened; undefined when there are too many. */
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
  const seen = new Set<string>()
  const reached = new Map<string, Configuration<S>>()
  const open = [...search.configurations]
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (one.happened.includes(wanted)) {
      const without = { ...one, happened: one.happened.filter((at) => at !== wanted) }
      reached.set(keyOf(without), without)
      continue
    }
    if (seen.has(keyOf(one))) continue
    seen.add(keyOf(one))
    if (seen.size > configurationsMax) return undefined
    for (const at of pending) {
      if (one.happened.includes(at)) continue
      const happened = [...one.happened, at].sort((left, right) => left - right)
      for (const state of operations[at]?.next(one.state) ?? []) open.push({ state, happened })
    }
  }
  return [...reached.values()]
}

function keyOf<S extends string>({ state, happened }: Configuration<S>): string {
  return `${happened.join(',')} ${state}`
}
