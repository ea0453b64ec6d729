/**
 * What a membership change makes of a configuration and of the progress of its members. Pure:
 * each function returns the new pair, or why the change is not possible; when a change is made,
 * and what the leader does then, is decided in `conf-change.ts`. Thesis chapter 4; the joint form
 * is section 4.3, learners are 4.2.1.
 *
 *   (1 2 3) ── enterJoint ──> (1 4 5)&&(1 2 3) ── leaveJoint ──> (1 4 5)
 *
 * Invariants of a configuration:
 * - A learner is in neither half. A voter of the outgoing half that is to become a learner waits
 *   in `learnersNext` until that half is left.
 * - Every member has a progress, and nobody else.
 */
import { assert, defined, unreachable } from '../../lib/assert.ts'
import type { ConfChangeSingle, ConfState } from './message.ts'
import { newProgress, type Progress, type Window } from './progress.ts'

/** Members and their progress, both ascending by id. */
export type Membership = {
  readonly confState: ConfState
  readonly progress: ReadonlyMap<number, Progress>
}

/** What is needed to track a new member. */
export type Tracking = {
  /** The end of the leader's log: where a new member is probed first. */
  readonly lastIndex: number
  readonly window: Window
}

export type MembershipRefusal =
  | 'already-joint'
  | 'not-joint'
  | 'simple-in-joint'
  | 'no-voters'
  | 'all-voters-removed'
  | 'several-voters'

/** A configuration as it was stored, with fresh progress for each member. */
export function restoreMembership(confState: ConfState, tracking: Tracking): Membership {
  const draft = newDraft({ confState, progress: new Map() })
  for (const id of [...draft.voters, ...draft.votersOutgoing]) track(draft, id, false, tracking)
  for (const id of draft.learners) track(draft, id, true, tracking)
  return finish(draft)
}

/** The change of at most one voter, and any learners, in one step. */
export function changeSimply(
  membership: Membership,
  changes: readonly ConfChangeSingle[],
  tracking: Tracking,
): Membership | MembershipRefusal {
  if (isJoint(membership.confState)) return 'simple-in-joint'
  const draft = newDraft(membership)
  applyChanges(draft, changes, tracking)
  if (draft.voters.size === 0) return 'all-voters-removed'
  const before = membership.confState.voters
  const removed = before.filter((id) => !draft.voters.has(id)).length
  const added = draft.voters.size + removed - before.length
  return added + removed > 1 ? 'several-voters' : finish(draft)
}

/** The old voters become the outgoing half, and the changes are made to the incoming one. */
export function enterJoint(
  membership: Membership,
  changes: readonly ConfChangeSingle[],
  options: { readonly autoLeave: boolean; readonly tracking: Tracking },
): Membership | MembershipRefusal {
  if (isJoint(membership.confState)) return 'already-joint'
  if (membership.confState.voters.length === 0) return 'no-voters'
  const draft = newDraft(membership)
  draft.votersOutgoing = new Set(draft.voters)
  applyChanges(draft, changes, options.tracking)
  if (draft.voters.size === 0) return 'all-voters-removed'
  draft.autoLeave = options.autoLeave
  return finish(draft)
}

/** The incoming half decides alone; who is in it no more becomes a learner or leaves. */
export function leaveJoint(membership: Membership): Membership | MembershipRefusal {
  if (!isJoint(membership.confState)) return 'not-joint'
  const draft = newDraft(membership)
  for (const id of draft.learnersNext) {
    draft.learners.add(id)
    draftProgress(draft, id).isLearner = true
  }
  draft.learnersNext.clear()
  for (const id of draft.votersOutgoing) {
    if (!draft.voters.has(id) && !draft.learners.has(id)) draft.progress.delete(id)
  }
  draft.votersOutgoing.clear()
  draft.autoLeave = false
  return finish(draft)
}

export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0
}

/** The voters of both halves, ascending. */
export function listVoters(confState: ConfState): readonly number[] {
  return isJoint(confState)
    ? ascending(new Set([...confState.voters, ...confState.votersOutgoing]))
    : confState.voters
}

type Draft = {
  voters: Set<number>
  votersOutgoing: Set<number>
  learners: Set<number>
  learnersNext: Set<number>
  autoLeave: boolean
  progress: Map<number, Progress>
}

/** A copy to change. Progress is copied only as deep as `isLearner`: the windows stay shared. */
function newDraft(membership: Membership): Draft {
  const { confState } = membership
  return {
    voters: new Set(confState.voters),
    votersOutgoing: new Set(confState.votersOutgoing),
    learners: new Set(confState.learners),
    learnersNext: new Set(confState.learnersNext),
    autoLeave: confState.autoLeave,
    progress: new Map(Array.from(membership.progress, ([id, progress]) => [id, { ...progress }])),
  }
}

function applyChanges(
  draft: Draft,
  changes: readonly ConfChangeSingle[],
  tracking: Tracking,
): void {
  for (const { type, nodeId } of changes) {
    // An application may void a change that it refuses by clearing the node.
    if (nodeId === 0) continue
    switch (type) {
      case 'add-voter':
        makeVoter(draft, nodeId, tracking)
        break
      case 'add-learner':
        makeLearner(draft, nodeId, tracking)
        break
      case 'remove-node':
        remove(draft, nodeId)
        break
      case 'update-node':
        break
      default:
        unreachable(type)
    }
  }
}

function makeVoter(draft: Draft, id: number, tracking: Tracking): void {
  track(draft, id, false, tracking)
  draftProgress(draft, id).isLearner = false
  draft.learners.delete(id)
  draft.learnersNext.delete(id)
  draft.voters.add(id)
}

function makeLearner(draft: Draft, id: number, tracking: Tracking): void {
  const known = draft.progress.get(id)
  if (known === undefined) {
    track(draft, id, true, tracking)
    draft.learners.add(id)
    return
  }
  if (known.isLearner) return
  remove(draft, id)
  draft.progress.set(id, known)
  if (draft.votersOutgoing.has(id)) {
    draft.learnersNext.add(id)
  } else {
    known.isLearner = true
    draft.learners.add(id)
  }
}

function remove(draft: Draft, id: number): void {
  draft.voters.delete(id)
  draft.learners.delete(id)
  draft.learnersNext.delete(id)
  // It still has a say in the outgoing half, so the log must still reach it.
  if (!draft.votersOutgoing.has(id)) draft.progress.delete(id)
}

/** A new member is tracked from the end of the log; a known one is left alone. */
function track(draft: Draft, id: number, isLearner: boolean, tracking: Tracking): void {
  if (draft.progress.has(id)) return
  const progress = newProgress(Math.max(tracking.lastIndex, 1), isLearner, tracking.window)
  // Otherwise CheckQuorum might depose the leader before the new member could answer.
  progress.recentActive = true
  draft.progress.set(id, progress)
}

function draftProgress(draft: Draft, id: number): Progress {
  return defined(draft.progress.get(id), `member ${id} has a progress`)
}

function finish(draft: Draft): Membership {
  const confState: ConfState = {
    voters: ascending(draft.voters),
    learners: ascending(draft.learners),
    votersOutgoing: ascending(draft.votersOutgoing),
    learnersNext: ascending(draft.learnersNext),
    autoLeave: draft.autoLeave,
  }
  const progress = new Map(
    ascending(draft.progress.keys()).map((id) => [id, draftProgress(draft, id)]),
  )
  checkInvariants(confState, progress)
  return { confState, progress }
}

function checkInvariants(confState: ConfState, progress: ReadonlyMap<number, Progress>): void {
  const voters = listVoters(confState)
  assert(voters.length + confState.learners.length === progress.size, 'members have a progress', {
    voters,
    learners: confState.learners,
    tracked: [...progress.keys()],
  })
  for (const id of voters) {
    assert(progress.get(id)?.isLearner === false, 'a voter is no learner', { id })
  }
  for (const id of confState.learners) {
    assert(progress.get(id)?.isLearner === true, 'a learner is marked as one', { id })
    assert(!voters.includes(id), 'a learner is no voter', { id })
  }
  for (const id of confState.learnersNext) {
    assert(confState.votersOutgoing.includes(id), 'only an outgoing voter waits to learn', { id })
  }
  assert(isJoint(confState) || !confState.autoLeave, 'only a joint configuration is left')
}

function ascending(ids: Iterable<number>): readonly number[] {
  return [...ids].sort((a, b) => a - b)
}
