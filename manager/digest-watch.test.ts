/** What follows when this manager's state differs from another's. The counting is DigestVote's. */
import { expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { DigestWatch } from './digest-watch.ts'

const OWN = Uint8Array.of(1)
const OTHER = Uint8Array.of(2)
const members = [1, 2, 3].map((raftId) => ({
  ...{ raftId, nodeId: `n${raftId}`, raftAddr: '', addr: '' },
}))
const follower = { raftId: 1, members, isRaftLeader: false, nowMs: 1_000 }
const leader = { ...follower, isRaftLeader: true }

function newWatch(): DigestWatch {
  return new DigestWatch(silentLog, (index) => (index === 7 ? OWN : undefined))
}

test('all others are asked, once for each index, and only of what is known here', () => {
  const watch = newWatch()

  const asked = watch.suspect(7, follower)

  expect(asked).toMatchObject([
    { kind: 'ask-digest', to: { raftId: 2 }, index: 7 },
    { kind: 'ask-digest', to: { raftId: 3 }, index: 7 },
  ])
  expect([watch.suspect(7, follower), watch.suspect(8, follower)]).toEqual([[], []])
})

test('who is asked answers, and asks all others itself', () => {
  const [effect, ...asks] = newWatch().asked(5, 7, follower)

  expect(effect).toEqual({ kind: 'digest-answer', id: 5, digest: OWN })
  expect(asks).toHaveLength(2)
})

test('who differs from a majority ends, a leader only after it had time to hand over', () => {
  const ends = [follower, leader].map((situation) => {
    const watch = newWatch()
    watch.suspect(7, situation)
    const effects = [2, 3].flatMap((raftId) => watch.answer({ raftId, index: 7 }, OTHER, situation))
    const at = [1_000, 2_999, 3_000].map((nowMs) => watch.takeEnd(nowMs) !== undefined)
    return { effects, at }
  })

  expect(ends).toEqual([
    { effects: [], at: [true, false, false] },
    { effects: [{ kind: 'hand-over' }], at: [false, false, true] },
  ])
})

test('who agrees with a majority goes on, and so does everybody when there is none', () => {
  const [right, undecided] = [newWatch(), newWatch()]
  for (const watch of [right, undecided]) watch.suspect(7, follower)

  right.answer({ raftId: 2, index: 7 }, OWN, follower)
  undecided.answer({ raftId: 2, index: 7 }, OTHER, follower)
  undecided.answer({ raftId: 3, index: 7 }, undefined, follower)

  expect([right.takeEnd(9_999), undecided.takeEnd(9_999)]).toEqual([undefined, undefined])
})
