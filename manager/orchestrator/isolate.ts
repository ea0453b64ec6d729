/**
 * Isolation of objects from one another: where one trips an assertion, it alone is left as it is,
 * and the round goes on with the others (DESIGN section 6). What is done about the one, its status,
 * the alarm and the metric, is the leader's. A reconciler has no expected errors, so that whatever
 * is thrown here is a bug.
 */
import type { Change } from '../store/change.ts'
import type { Problem } from '../store/round.ts'
import type { TableName } from '../store/view.ts'

/** The object that is set aside when the work on it throws. */
export type Subject = { readonly table: TableName; readonly id: string }

export type Isolated = {
  readonly changes: readonly Change[]
  readonly problems: readonly Problem[]
}

/** What `reconcileOne` changes for each object; nothing of an object for which it threw. */
export function isolated<T>(
  objects: Iterable<T>,
  subjectOf: (object: T) => Subject,
  reconcileOne: (object: T) => readonly Change[],
): Isolated {
  const changes: Change[] = []
  const problems: Problem[] = []
  for (const object of objects) {
    try {
      for (const change of reconcileOne(object)) changes.push(change)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      problems.push({ ...subjectOf(object), reason })
    }
  }
  return { changes, problems }
}
