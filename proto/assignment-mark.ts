/**
 * The order of assignment messages (DESIGN section 7, no step back): first by epoch, which only
 * force-new-cluster and restore change, then by the log index that the set was computed at. The
 * manager stamps by it, the agent refuses by it.
 */
import type { AssignmentMark } from './gen/dispatcher.ts'

/** Before every mark that a manager gives. */
export const ZERO_MARK: AssignmentMark = { epoch: 0, index: 0 }

/** Negative when `a` is older than `b`, 0 when they are the same, positive when it is newer. */
export function compareMarks(a: AssignmentMark, b: AssignmentMark): number {
  return a.epoch === b.epoch ? a.index - b.index : a.epoch - b.epoch
}
