/** For how long an agent may end a task whose assignment was lost with a quorum. */
import { expect, test } from 'vitest'
import { newEntry } from '../../../manager/store/entry.ts'
import type { Store } from '../../../manager/store/store.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { storeWith, task } from '../../build.ts'
import { LostAssignments } from './lost-assignments.ts'
import { newStep } from './step.ts'

const of = (state: TaskState) => task({ id: 't1', nodeId: 'n1', status: { state } })

function survivor(state: TaskState): { readonly store: Store; readonly lost: LostAssignments } {
  const store = storeWith({ tasks: [of(state)] })
  const lost = new LostAssignments()
  lost.restored(store.view())
  return { store, lost }
}

test('an agent has lost a task that waits until it sees it assigned anew', () => {
  const { store, lost } = survivor('pending')
  const before = store.view()
  const waiting = lost.isLost('t1', { index: before.index })
  const object = of('assigned')
  const entry = newEntry([{ kind: 'update', table: 'tasks', object }], { timeMs: 1_000, wallMs: 0 })
  store.apply(before.index + 1, entry)

  expect([...lost.check(newStep(before, store.view(), entry))]).toEqual([])

  expect(waiting).toBe(true)
  expect(lost.isLost('t1', { index: before.index })).toBe(true)
  expect(lost.isLost('t1', { index: before.index + 1 })).toBe(false)
})

test('what the survivor has as assigned, or made later, is not lost', () => {
  const { store, lost } = survivor('assigned')
  const { index } = store.view()

  expect(lost.isLost('t1', { index })).toBe(false)
  expect(lost.isLost('t2', { index })).toBe(false)
})
