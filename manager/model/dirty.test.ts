/**
 * What makes a task out of date; cases of SwarmKit's task and updater tests.
 */
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service, task } from '../../test/build.ts'
import { isTaskDirty, newDirtyTest } from './dirty.ts'

const n1 = node({ id: 'n1', spec: { annotations: { labels: new Map([['zone', 'a']]) } } })
const old = (part: Part<Task> = {}) => task({ nodeId: 'n1', specVersion: 1, ...part })
const changed = (spec: Part<ServiceSpec>) => service({ specVersion: 2, spec })
const zone = (value: string): Part<ServiceSpec> => ({
  task: { placement: { constraints: [`node.labels.zone==${value}`] } },
})

test.each<[string, Part<ServiceSpec>, boolean]>([
  [
    'nothing that concerns tasks',
    { mode: { kind: 'replicated', replicated: { replicas: 9 } } },
    false,
  ],
  ['a label of the service', { annotations: { labels: new Map([['a', 'b']]) } }, false],
  ['the update config', { update: { parallelism: 3 } }, false],
  ['the image', { task: { container: { image: 'nginx:2' } } }, true],
  ['the force counter', { task: { forceUpdate: 1 } }, true],
  ['a limit', { task: { resources: { pidsLimit: 5 } } }, true],
  ['the restart policy', { task: { restart: { maxAttempts: 5 } } }, true],
  ['the endpoint', { endpoint: { mode: 'dnsrr' } }, true],
  ['a placement that the node satisfies', zone('a'), false],
  ['a placement that the node does not satisfy', zone('b'), true],
  ['max replicas', { task: { placement: { maxReplicas: 1 } } }, false],
  ['placement and force counter', { task: { ...zone('a').task, forceUpdate: 1 } }, true],
])('a task is dirty when the spec changed in %s: %s', (_what, spec, expected) => {
  expect(isTaskDirty(old(), changed(spec), n1)).toBe(expected)
})

test('a task of the present spec version is clean, whatever it was made of', () => {
  const same = old({ specVersion: 2, spec: { forceUpdate: 7 } })

  expect(isTaskDirty(same, changed({}), n1)).toBe(false)
})

test('a changed placement makes a task dirty that has no node, or none any more', () => {
  expect(isTaskDirty(old({ nodeId: '' }), changed(zone('a')), undefined)).toBe(true)
})

test.each([
  ['preparing', true],
  ['ready', false],
  ['running', false],
  ['failed', true],
] as const)('changed registry credentials make a task that is %s dirty: %s', (state, expected) => {
  const credentials = changed({ task: { container: { registryAuth: 'e30' } } })

  expect(isTaskDirty(old({ status: { state } }), credentials, n1)).toBe(expected)
})

test('changed credentials and image make a running task dirty', () => {
  const both = changed({ task: { container: { image: 'nginx:2', registryAuth: 'e30' } } })

  expect(isTaskDirty(old({ status: { state: 'running' } }), both, n1)).toBe(true)
})

test('newDirtyTest() judges each task by its own version and node', () => {
  const isDirty = newDirtyTest(changed(zone('a')), (id) => (id === 'n1' ? n1 : undefined))

  expect(
    [old(), old({ nodeId: 'n2' }), old({ specVersion: 2, nodeId: 'n2' })].map(isDirty),
  ).toEqual([false, true, false])
})
