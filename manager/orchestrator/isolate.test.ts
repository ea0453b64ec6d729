/**
 * One object that trips an assertion harms no other one.
 */
import { expect, test } from 'vitest'
import { node, service, storeWith, task } from '../../test/build.ts'
import { lookAtAll } from '../../test/orchestration.ts'
import type { Change } from '../store/change.ts'
import { newGlobalReconciler } from './global.ts'
import { isolated } from './isolate.ts'

test('isolated() leaves out what threw and says why', () => {
  const removal = (id: string): Change => ({ kind: 'remove', table: 'tasks', id })

  const outcome = isolated(
    ['a', 'b', 'c'],
    (id) => ({ table: 'services', id }),
    (id) => {
      if (id === 'b') throw new Error('b is odd')
      return [removal(id)]
    },
  )

  expect(outcome.changes).toEqual([removal('a'), removal('c')])
  expect(outcome.problems).toEqual([{ table: 'services', id: 'b', reason: 'b is odd' }])
})

test('a service with a constraint that cannot be read is set aside, others are served', () => {
  const odd = { task: { placement: { constraints: ['odd'] } } } as const
  const mode = { kind: 'global', global: {} } as const
  const view = storeWith({
    nodes: [node({ id: 'n1' })],
    services: [
      service({ id: 'odd', spec: { ...odd, mode } }),
      service({ id: 'web', spec: { mode } }),
    ],
    tasks: [
      task({ id: 't1', serviceId: 'odd', slot: 0, nodeId: 'n1', status: { state: 'running' } }),
    ],
  }).view()
  const global = lookAtAll(newGlobalReconciler(), view)

  expect(global.problems).toMatchObject([{ table: 'services', id: 'odd' }])
  expect(global.changes).toMatchObject([
    { kind: 'create', table: 'tasks', object: { serviceId: 'web', nodeId: 'n1' } },
  ])
})
