/**
 * The labels of a container's record: Swarm's, the user's, and how a container ended.
 */
import { expect, test } from 'vitest'
import { emptyTask, type Task } from '../../../proto/gen/objects.ts'
import { emptyContainerSpec, emptyTaskSpec } from '../../../proto/gen/specs.ts'
import { emptyPortConfig } from '../../../proto/gen/types.ts'
import type { Exit } from '../runtime.ts'
import {
  EXIT_LABEL,
  findExit,
  formatExit,
  formatPorts,
  newLabels,
  parsePorts,
  selectStorable,
} from './labels.ts'

const facts = { stopSignal: 'SIGINT', address: '10.1.2.3', volumes: ['a', 'b'] }

function newTask(labels: Readonly<Record<string, string>>, changes: Partial<Task> = {}): Task {
  const container = { ...emptyContainerSpec, labels: new Map(Object.entries(labels)) }
  return {
    ...emptyTask,
    ...{ id: 't1', slot: 3, nodeId: 'n1', serviceId: 's1' },
    serviceAnnotations: { name: 'web', labels: new Map([['of', 'the service']]) },
    spec: { ...emptyTaskSpec, container },
    ...changes,
  }
}

test('newLabels are Swarm’s and the user’s, who cannot change ours', () => {
  const labels = newLabels(newTask({ mine: 'x', 'com.docker.swarm.task.id': 'forged' }), facts)

  expect(Object.fromEntries(labels)).toMatchObject({
    mine: 'x',
    'com.docker.swarm.task': '',
    'com.docker.swarm.task.id': 't1',
    'com.docker.swarm.task.name': 'web.3.t1',
    'com.docker.swarm.node.id': 'n1',
    'com.docker.swarm.service.id': 's1',
    'com.docker.swarm.service.name': 'web',
    'io.tsswarm.volumes': 'a b',
  })
  expect(labels.has('of')).toBe(false)
})

test('a global service’s task is named by its node', () => {
  const labels = newLabels(newTask({}, { slot: 0 }), facts)

  expect(labels.get('com.docker.swarm.task.name')).toBe('web.n1.t1')
})

test('selectStorable leaves out what containerd refuses or drops', () => {
  const labels = new Map([
    ['empty', ''],
    ['fits', 'x'.repeat(4_092)],
    ['not', 'x'.repeat(4_094)],
    ['bytes', 'é'.repeat(2_047)],
  ])

  expect([...selectStorable(labels).keys()]).toEqual(['fits'])
})

test.each<Exit>([
  { taskId: 't', exitCode: 0, oomKilled: false, error: '', atMs: 1_763_000_000_000 },
  { taskId: 't', exitCode: 137, oomKilled: true, error: '', atMs: 5 },
  { taskId: 't', exitCode: -1, oomKilled: false, error: 'runtime lost', atMs: 5 },
])('an exit goes there and back: %j', (exit) => {
  expect(findExit('t', new Map([[EXIT_LABEL, formatExit(exit)]]))).toEqual(exit)
})

test('a container that has not ended has no exit, and a long error still fits', () => {
  const exit = { taskId: 't', exitCode: -1, oomKilled: false, error: 'e'.repeat(9_000), atMs: 5 }

  expect(findExit('t', new Map())).toBeUndefined()
  expect(formatExit(exit).length).toBeLessThan(2_000)
})

test('ports go there and back', () => {
  const ports = [
    {
      ...emptyPortConfig,
      ...{ name: 'http', targetPort: 80, publishedPort: 8080, publishMode: 'host' as const },
    },
    {
      ...emptyPortConfig,
      ...{ protocol: 'udp' as const, targetPort: 53, publishedPort: 5353 },
      publishMode: 'host' as const,
    },
  ]

  expect(parsePorts(formatPorts(ports))).toEqual(ports)
  expect(parsePorts('')).toEqual([])
})
