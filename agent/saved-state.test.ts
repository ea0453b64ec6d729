/** The agent's state as bytes: what was put together from pieces is read as the whole. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeAgentState, emptyAgentState } from '../proto/gen/agent.ts'
import { task } from '../test/build.ts'
import { SavedState } from './saved-state.ts'
import { newRecord, type TaskRecord, toKnown } from './task.ts'

const record = (id: string): TaskRecord =>
  newRecord(task({ id, serviceId: 'web' }), undefined, 1_000)

test('pieces are read as one state, whatever was encoded before', () => {
  const saved = new SavedState()
  const [first, second] = [record('a'), record('b')]
  const rest = { ...emptyAgentState, mark: { epoch: 1, index: 9 }, formerManagers: [] }
  const read = (records: readonly TaskRecord[]): unknown =>
    decodeAgentState(saved.encode(rest, records))

  expect(read([])).toEqual({ ...rest, tasks: [] })
  expect(read([first, second])).toEqual({ ...rest, tasks: [first, second].map(toKnown) })
  const changed = { ...first, isForgotten: true }
  expect(read([changed, second])).toEqual({ ...rest, tasks: [changed, second].map(toKnown) })
})

test('many tasks that come, change and go are at any time what they are by themselves', () => {
  const ids = fc.integer({ min: 0, max: 60 }).map((number) => `t${number}`)
  const edit = fc.record({ kind: fc.constantFrom('add', 'change', 'remove'), ids: fc.array(ids) })
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 30 }), (edits) => {
      const saved = new SavedState()
      const records = new Map<string, TaskRecord>()
      for (const { kind, ids } of edits) {
        for (const id of ids) {
          const known = records.get(id)
          if (kind === 'remove') records.delete(id)
          else if (known === undefined) records.set(id, record(id))
          else records.set(id, { ...known, isForgotten: !known.isForgotten })
        }
        const { tasks } = decodeAgentState(saved.encode(emptyAgentState, records.values()))
        expect(tasks).toEqual([...records.values()].map(toKnown))
      }
    }),
  )
})
