/**
 * The allocator: new tasks wait for a node.
 */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { storeWith, task } from '../../test/build.ts'
import { changedTasks, WALL_MS } from '../../test/orchestration.ts'
import { reconcileAllocator } from './allocator.ts'

const tasks = [
  task({ id: 't1' }),
  task({ id: 't2', slot: 2, desiredState: 'shutdown' }),
  task({ id: 't3', slot: 3, nodeId: 'n1', status: { state: 'running' } }),
  task({ id: 't4', slot: 4, desiredState: 'ready' }),
]

const round = (all: boolean, ids: readonly string[]) => ({
  view: storeWith({ tasks }).view(),
  now: 5_000,
  wallMs: WALL_MS,
  random: newSeededRandom(1),
  changed: { ...changedTasks(ids), all },
})

test.each([
  ['everything', true, [], ['t1', 't4']],
  ['what changed', false, ['t1', 't2', 't3', 'gone'], ['t1']],
  ['nothing', false, [], []],
] as const)(
  'allocator looks at %s and makes wanted new tasks pending',
  (_what, all, ids, expected) => {
    const { changes, nextMs } = reconcileAllocator(round(all, ids))

    expect(changes.map((change) => (change.kind === 'remove' ? '' : change.object.id))).toEqual(
      expected,
    )
    for (const change of changes)
      expect(change).toMatchObject({
        kind: 'update',
        object: { status: { state: 'pending', message: 'pending task scheduling' } },
      })
    expect(nextMs).toBeUndefined()
  },
)
