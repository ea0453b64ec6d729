/**
 * Changes of a configuration as pure functions; the tables are etcd's data files, here are the
 * properties: one step after the other ends where the joint way does, and what is stored is restored.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  changeSimply,
  enterJoint,
  leaveJoint,
  listVoters,
  type Membership,
  type MembershipRefusal,
  restoreMembership,
  type Tracking,
} from './configuration.ts'
import { type ConfChangeSingle, type ConfState, emptyConfState } from './message.ts'
import { voteResult } from './quorum.ts'

const TRACKING: Tracking = { lastIndex: 10, window: { messagesMax: 10, bytesMax: Infinity } }

const change: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom('add-voter', 'add-learner', 'remove-node', 'update-node'),
  nodeId: fc.integer({ min: 1, max: 9 }),
})

/** Changes that leave at least one voter: node 1 is never touched but at the start. */
const setup = fc.record({
  before: fc.array(change, { maxLength: 8 }),
  changes: fc.array(change, { maxLength: 12 }),
})

function must(result: Membership | MembershipRefusal): Membership {
  if (typeof result === 'string') throw new Error(result)
  return result
}

function stepByStep(start: Membership, changes: readonly ConfChangeSingle[]): Membership {
  let membership = start
  for (const next of changes) membership = must(changeSimply(membership, [next], TRACKING))
  return membership
}

function withFirst(changes: readonly ConfChangeSingle[]): readonly ConfChangeSingle[] {
  return [{ type: 'add-voter', nodeId: 100 }, ...changes.filter(({ nodeId }) => nodeId !== 100)]
}

/** Few nodes, so that all sets of them can be tried; none is spared. */
const narrowChange: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom('add-voter', 'add-learner', 'remove-node', 'update-node'),
  nodeId: fc.integer({ min: 1, max: 5 }),
})

function carryOut(
  membership: Membership,
  kind: 'simple' | 'enter' | 'leave',
  changes: readonly ConfChangeSingle[],
): Membership | MembershipRefusal {
  if (kind === 'simple') return changeSimply(membership, changes, TRACKING)
  if (kind === 'leave') return leaveJoint(membership)
  return enterJoint(membership, changes, { autoLeave: false, tracking: TRACKING })
}

/** By trying: every set of nodes, as bits, whose consent decides. */
function listQuorums({ voters, votersOutgoing }: ConfState): readonly number[] {
  return Array.from({ length: 2 ** 6 }, (_, set) => set).filter((set) => {
    const votes = new Map(
      [...voters, ...votersOutgoing].map((id) => [id, (set & (1 << id)) !== 0] as const),
    )
    return voteResult({ voters, votersOutgoing }, votes) === 'won'
  })
}

const empty: Membership = { confState: emptyConfState, progress: new Map() }

describe('configuration', () => {
  test('step by step and jointly end the same', () => {
    fc.assert(
      fc.property(setup, fc.boolean(), ({ before, changes }, autoLeave) => {
        const start = stepByStep(empty, withFirst(before))
        const joint = must(enterJoint(start, changes, { autoLeave, tracking: TRACKING }))

        const simple = stepByStep(start, changes)
        const left = must(leaveJoint(joint))

        expect(left.confState).toEqual(simple.confState)
        expect([...left.progress.keys()]).toEqual([...simple.progress.keys()])
        for (const [id, { isLearner }] of left.progress) {
          expect(simple.progress.get(id)?.isLearner).toBe(isLearner)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('a joint configuration cannot be entered twice, and is restored as it was', () => {
    fc.assert(
      fc.property(setup, ({ before, changes }) => {
        const start = stepByStep(empty, withFirst(before))
        const joint = must(enterJoint(start, changes, { autoLeave: true, tracking: TRACKING }))

        const restored = restoreMembership(joint.confState, TRACKING)

        expect(restored.confState).toEqual(joint.confState)
        expect([...restored.progress.keys()]).toEqual([...joint.progress.keys()])
        expect(enterJoint(joint, [], { autoLeave: true, tracking: TRACKING })).toBe('already-joint')
        expect(changeSimply(joint, [], TRACKING)).toBe('simple-in-joint')
      }),
    )
  })

  test('two overlapping configurations of one change always share a voter in their majorities', () => {
    fc.assert(
      fc.property(setup, ({ before, changes }) => {
        let membership = stepByStep(empty, withFirst(before))
        for (const next of changes) {
          const after = changeSimply(membership, [next], TRACKING)
          if (typeof after === 'string') continue
          const kept = after.confState.voters.filter((id) =>
            membership.confState.voters.includes(id),
          ).length
          const both = new Set([...after.confState.voters, ...membership.confState.voters]).size
          expect(both - kept).toBeLessThanOrEqual(1)
          membership = after
        }
      }),
    )
  })

  test('consecutive configurations share a voter in every two quorums, whatever is done', () => {
    const action = fc.record({
      kind: fc.constantFrom('simple', 'enter', 'leave'),
      changes: fc.array(narrowChange, { minLength: 1, maxLength: 4 }),
    })
    fc.assert(
      fc.property(fc.array(action, { maxLength: 10 }), (actions) => {
        let membership = stepByStep(empty, [{ type: 'add-voter', nodeId: 1 }])
        for (const { kind, changes } of actions) {
          const after = carryOut(membership, kind, changes)
          // Refused: what was there stays in force.
          if (typeof after === 'string') continue
          const quorums = [membership, after].map(({ confState }) => listQuorums(confState))
          for (const one of quorums[0] ?? [])
            for (const other of quorums[1] ?? []) expect(one & other).not.toBe(0)
          membership = after
        }
      }),
    )
  })

  test('every quorum of a joint configuration holds one of each half', () => {
    fc.assert(
      fc.property(fc.array(narrowChange, { minLength: 1, maxLength: 6 }), (changes) => {
        const start = stepByStep(
          empty,
          [1, 2, 3].map((nodeId) => ({ type: 'add-voter', nodeId })),
        )
        const joint = enterJoint(start, changes, { autoLeave: false, tracking: TRACKING })
        if (typeof joint === 'string') return
        const { voters, votersOutgoing } = joint.confState
        const halves = [voters, votersOutgoing].map((half) =>
          listQuorums({ ...emptyConfState, voters: half }),
        )

        for (const quorum of listQuorums(joint.confState))
          for (const half of halves) expect(half.some((of) => (of & quorum) === of)).toBe(true)
      }),
    )
  })

  test('the original is left alone', () => {
    const start = stepByStep(empty, withFirst([]))
    const demoted: ConfChangeSingle = { type: 'add-learner', nodeId: 100 }
    changeSimply(start, [{ type: 'add-voter', nodeId: 2 }, demoted], TRACKING)
    expect(start.confState.voters).toEqual([100])
    expect(start.progress.get(100)?.isLearner).toBe(false)
  })

  test('voters of both halves are listed once, ascending', () => {
    expect(listVoters({ ...emptyConfState, voters: [3, 7], votersOutgoing: [1, 3, 10] })).toEqual([
      1, 3, 7, 10,
    ])
  })
})
