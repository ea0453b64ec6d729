/**
 * The checkers of generic resources and of affinities fire on bad histories, and on nothing else.
 */
import { describe, expect, test } from 'vitest'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import type { GenericResource } from '../../../proto/gen/types.ts'
import { node, type Part, service, storeWith, task } from '../../build.ts'
import { GenericChecker, hasGeneric } from './generic.ts'
import { mayBeBeside, NeighbourChecker } from './neighbours.ts'
import { type Entry, play } from './play.ts'

const gpu = (name: string, count = 1): GenericResource => ({ kind: 'gpu', name, count })
const disks = (count: number): GenericResource => ({ kind: 'disk', name: '', count })
const host = (id: string) =>
  node({ id, description: { resources: { generic: [gpu('a'), gpu('b'), disks(2)] } } })
const wants = (...generic: readonly GenericResource[]): Part<Task> => ({
  spec: { resources: { reservations: { generic } } },
})
const on1 = (id: string, part: Part<Task> = {}): Task =>
  task({ id, serviceId: 'web', nodeId: 'n1', status: { state: 'assigned' }, ...part })
const given = (id: string, wanted: readonly GenericResource[], got: readonly GenericResource[]) =>
  on1(id, { ...wants(...wanted), assignedGeneric: got })
const both = [gpu('', 2)]

describe('the checker of generic resources', () => {
  test.each<[string, readonly Entry[]]>([
    ['names that differ', [{ tasks: [given('t1', [gpu('')], [gpu('a')])] }]],
    [
      'a name that is free again',
      [
        { tasks: [given('t1', both, [gpu('a'), gpu('b')])] },
        {
          tasks: [
            on1('t1', {
              ...wants(...both),
              assignedGeneric: [gpu('a'), gpu('b')],
              status: { state: 'failed' },
            }),
            given('t2', [gpu('')], [gpu('a')]),
          ],
        },
      ],
    ],
    ['all that is counted', [{ tasks: [given('t1', [disks(2)], [disks(2)])] }]],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new GenericChecker(), [{ nodes: [host('n1')] }, ...entries])).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    [
      'T4: gpu a of node n1 is given to task t2 and held by t1',
      'a name that is given twice',
      [
        { tasks: [given('t1', [gpu('')], [gpu('a')])] },
        { tasks: [given('t2', [gpu('')], [gpu('a')])] },
      ],
    ],
    [
      'T4: task t1 asks for 2 gpu and was given 1',
      'too few',
      [{ tasks: [given('t1', both, [gpu('a')])] }],
    ],
    [
      'T4: task t1 was given gpu c, which node n1 does not have',
      'what is not there',
      [{ tasks: [given('t1', [gpu('')], [gpu('c')])] }],
    ],
    [
      'T4: node n1 has 3 disk given of 2 with task t2',
      'more than there are',
      [
        { tasks: [given('t1', [disks(1)], [disks(1)])] },
        { tasks: [given('t2', [disks(2)], [disks(2)])] },
      ],
    ],
    [
      'T4: what task t1 was given of node n1 changed',
      'another name under a running task',
      [
        { tasks: [given('t1', [gpu('')], [gpu('a')])] },
        { tasks: [given('t1', [gpu('')], [gpu('b')])] },
      ],
    ],
  ])('finds "%s" for %s', (says, _what, entries) => {
    const problems = play(new GenericChecker(), [{ nodes: [host('n1')] }, ...entries])

    expect(problems.join('\n')).toContain(says)
  })

  test.each([
    [1, true],
    [2, false],
  ])('%i more of two is room: %s', (count, expected) => {
    const view = storeWith({
      nodes: [host('n1')],
      tasks: [given('t1', [gpu('')], [gpu('a')])],
    }).view()

    expect(hasGeneric(view, host('n1'), on1('t2', wants(gpu('', count))))).toBe(expected)
  })
})

describe('the checker of affinities', () => {
  const named = (id: string): Service => service({ id })
  const services = [named('web'), named('db')]
  const db = on1('db1', { serviceId: 'db' })
  const wishes = (name: string, isAnti: boolean): Part<Task> => ({
    spec: { placement: { affinities: [{ service: name, isAnti }] } },
  })
  const near = on1('t1', wishes('db', false))
  const far = on1('t1', wishes('db', true))
  const elsewhere: Part<Task> = { nodeId: 'n2' }
  const ending: Part<Task> = { desiredState: 'shutdown' }

  test.each<[string, readonly Entry[]]>([
    ['what is near', [{ tasks: [db] }, { tasks: [near] }]],
    ['what is near from the same entry on', [{ tasks: [near, db] }]],
    ['what is far', [{ tasks: [on1('db1', { serviceId: 'db', ...elsewhere })] }, { tasks: [far] }]],
    [
      'a place that the other one leaves',
      [{ tasks: [db] }, { tasks: [far, on1('db1', { serviceId: 'db', ...ending })] }],
    ],
    ['the first one that is to be near itself', [{ tasks: [on1('t1', wishes('web', false))] }]],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new NeighbourChecker(), [{ services }, ...entries])).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    [
      'T7: task t1 was placed on n1, where no task of service db is',
      'a task alone that is to be near',
      [{ tasks: [near] }],
    ],
    [
      'T7: task t1 was placed on n1 beside db1',
      'a task near what it is to be far from',
      [{ tasks: [db] }, { tasks: [far] }],
    ],
    [
      'T7: task db1 was placed on n1 beside t1',
      'a task near what is to be far from it',
      [{ tasks: [far] }, { tasks: [db] }],
    ],
    [
      'T7: task t2 was placed on n1, where no task of service web is',
      'a second one elsewhere that is to be near itself',
      [
        { tasks: [on1('t1', { ...wishes('web', false), ...elsewhere })] },
        { tasks: [on1('t2', wishes('web', false))] },
      ],
    ],
  ])('finds "%s" for %s', (says, _what, entries) => {
    expect(play(new NeighbourChecker(), [{ services }, ...entries]).join('\n')).toContain(says)
  })

  test.each([
    ['n1', false],
    ['n2', true],
  ])('a task that is to be far may be on %s: %s', (nodeId, expected) => {
    const view = storeWith({ services, tasks: [db] }).view()

    expect(mayBeBeside(view, far, nodeId)).toBe(expected)
  })
})
