/**
 * Play: what a checker of steps says of a short history, written down entry by entry. For the tests of
 * such checkers.
 */
import type { Change } from '../../../manager/store/change.ts'
import { newEntry } from '../../../manager/store/entry.ts'
import type { Node, Service, Task } from '../../../proto/gen/objects.ts'
import { node, service, storeWith } from '../../build.ts'
import { newStep, type StepChecker } from './step.ts'

/** What one entry writes: objects are created where they are new. */
export type Entry = {
  readonly tasks?: readonly Task[]
  readonly services?: readonly Service[]
  readonly nodes?: readonly Node[]
  readonly removed?: readonly string[]
  readonly atMs?: number
}

/** What the checker says of the entries, one after another, on two nodes and a service. */
export function play(checker: StepChecker, entries: readonly Entry[]): readonly string[] {
  const store = storeWith({
    nodes: [node({ id: 'n1' }), node({ id: 'n2', spec: { role: 'manager' } })],
    services: [service({ id: 'web' })],
  })
  const problems: string[] = []
  for (const [at, entry] of entries.entries()) {
    const before = store.view()
    const put = <K extends 'tasks' | 'services' | 'nodes'>(table: K, id: string) =>
      before[table].get(id) === undefined ? ('create' as const) : ('update' as const)
    const changes: Change[] = [
      ...(entry.nodes ?? []).map(
        (object): Change => ({ kind: put('nodes', object.id), table: 'nodes', object }),
      ),
      ...(entry.services ?? []).map(
        (object): Change => ({ kind: put('services', object.id), table: 'services', object }),
      ),
      ...(entry.tasks ?? []).map(
        (object): Change => ({ kind: put('tasks', object.id), table: 'tasks', object }),
      ),
      ...(entry.removed ?? []).map((id): Change => ({ kind: 'remove', table: 'tasks', id })),
    ]
    const written = newEntry(changes, { timeMs: entry.atMs ?? 1_000 + at, wallMs: 0 })
    store.apply(2 + at, written)
    problems.push(...checker.check(newStep(before, store.view(), written)))
  }
  return problems
}
