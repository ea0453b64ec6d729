/**
 * What is rest and what is not: each table says what a small cluster holds, and the first thing that
 * must be said of it.
 */
import { describe, expect, test } from 'vitest'
import type { Node, Service, Task } from '../../../proto/gen/objects.ts'
import { cluster, node, type Part, service, storeWith, task } from '../../build.ts'
import { findPlace, surveyNodes } from './placeable.ts'
import { findUnrest } from './rest.ts'

type World = {
  readonly nodes?: readonly Node[]
  readonly services?: readonly Service[]
  readonly tasks?: readonly Task[]
}

function look({ nodes = [node({ id: 'n1' })], services = [], tasks = [] }: World) {
  return findUnrest(storeWith({ clusters: [cluster()], nodes, services, tasks }).view())
}

const web = (part: Part<Service> = {}): Service => service({ id: 'web', specVersion: 1, ...part })
const two: Part<Service> = { spec: { mode: { kind: 'replicated', replicated: { replicas: 2 } } } }
const everywhere: Part<Service> = { spec: { mode: { kind: 'global', global: {} } } }
const running = (id: string, part: Part<Task> = {}): Task =>
  task({
    id,
    serviceId: 'web',
    specVersion: 1,
    nodeId: 'n1',
    status: { state: 'running' },
    ...part,
  })
const waiting = (id: string, part: Part<Task> = {}): Task =>
  running(id, { nodeId: '', status: { state: 'pending', error: 'no suitable node' }, ...part })
const greedy: Part<Task> = { spec: { resources: { reservations: { nanoCpus: 9e9 } } } }
const dead = (id: string, part: Part<Task> = {}): Task =>
  running(id, { desiredState: 'shutdown', status: { state: 'failed' }, ...part })
const once: Part<Task> = { spec: { restart: { condition: 'none' } } }
const isDown: Part<Node> = { status: { state: 'down' } }
/** Its tasks on a node that is down go on when that is back. */
const kept: Part<Task> = { slot: 0, spec: { disconnect: { keep: 'original' } } }
const updated: Part<Service> = {
  specVersion: 2,
  spec: { task: { container: { image: 'nginx:2' } } },
  updateStatus: { state: 'completed' },
}
const updating: Part<Service> = { updateStatus: { state: 'updating' } }

describe('findUnrest()', () => {
  test.each<[string, World]>([
    ['what runs', { services: [web()], tasks: [running('t1')] }],
    ['what fits nowhere', { services: [web()], tasks: [waiting('t1', greedy)] }],
    ['what ended for good', { services: [web()], tasks: [dead('t1', once)] }],
    [
      'what was lost for good',
      {
        nodes: [node({ id: 'n1', ...isDown })],
        services: [web()],
        tasks: [dead('t1', { ...once, status: { state: 'running' } })],
      },
    ],
    ['a global service', { services: [web(everywhere)], tasks: [running('t1', { slot: 0 })] }],
    [
      'an update that a node is away from',
      {
        nodes: [node({ id: 'n1', ...isDown })],
        services: [web({ ...updated, spec: { ...updated.spec, ...everywhere.spec } })],
        tasks: [running('t1', kept)],
      },
    ],
    [
      'an update that waits for room',
      {
        services: [web({ ...updating, specVersion: 2 })],
        tasks: [running('t1'), waiting('t2', { ...greedy, specVersion: 2, createdClusterMs: 9 })],
      },
    ],
    [
      'an update left to its user',
      { services: [web({ ...two, updateStatus: { state: 'paused' } })], tasks: [running('t1')] },
    ],
  ])('finds rest in %s', (_what, world) => {
    expect(look(world)).toBeUndefined()
  })

  test.each<[string, string, World]>([
    ['L1', 'a missing replica', { services: [web(two)], tasks: [running('t1')] }],
    [
      'L1',
      'one too many',
      { services: [web()], tasks: [running('t1'), running('t2', { slot: 2 })] },
    ],
    ['L1', 'a node without its task', { services: [web(everywhere)], tasks: [] }],
    ['L2', 'a slot that runs twice', { services: [web()], tasks: [running('t1'), running('t2')] }],
    [
      'L2',
      'a task on its way',
      { services: [web()], tasks: [running('t1', { status: { state: 'preparing' } })] },
    ],
    ['L3', 'an update without end', { services: [web(updating)], tasks: [running('t1')] }],
    [
      'L3',
      'an update that claims to be complete',
      {
        services: [web(updated)],
        tasks: [running('t1')],
      },
    ],
    [
      'L3',
      'one that passes a node by that is there',
      {
        services: [web({ ...updated, spec: { ...updated.spec, ...everywhere.spec } })],
        tasks: [running('t1', kept)],
      },
    ],
    ['L4', 'a task that could be placed', { services: [web()], tasks: [waiting('t1')] }],
    [
      'L4',
      'a task that does not say why it waits',
      { services: [web()], tasks: [waiting('t1', { ...greedy, status: { state: 'pending' } })] },
    ],
    [
      'L5',
      'a long history',
      {
        services: [web()],
        tasks: [running('t1'), ...[1, 2, 3, 4, 5, 6].map((at) => dead(`dead${at}`))],
      },
    ],
    ['L7', 'what outlives its service', { tasks: [running('t1')] }],
    [
      'L7',
      'what was told to end and runs on',
      {
        services: [web()],
        tasks: [
          running('t1'),
          dead('t2', { slot: 2, status: { state: 'running' }, desiredState: 'remove' }),
        ],
      },
    ],
  ])('%s: finds %s', (rule, _what, world) => {
    expect(look(world)).toMatch(new RegExp(`^${rule}: `))
  })
})

describe('findPlace()', () => {
  const port = {
    name: '',
    protocol: 'tcp',
    targetPort: 80,
    publishedPort: 80,
    publishMode: 'host',
  } as const
  const on80: Part<Task> = { endpoint: { ports: [port] } }
  const half: Part<Task> = { spec: { resources: { reservations: { nanoCpus: 2e9 } } } }
  const single: Part<Task> = { spec: { placement: { maxReplicas: 1 } } }

  test.each<[string, boolean, readonly Task[], Part<Task>]>([
    ['an empty node', true, [], half],
    ['half a node', true, [running('t1', half)], half],
    ['a full node', false, [running('t1', half), running('t2', half)], half],
    ['a taken port', false, [running('t1', on80)], on80],
    ['another port', true, [running('t1', on80)], {}],
    ['a node with one already', false, [running('t1', single)], single],
    [
      'a node where one ends',
      true,
      [running('t1', { ...single, desiredState: 'shutdown' })],
      single,
    ],
    [
      'a role it has not',
      false,
      [],
      { spec: { placement: { constraints: ['node.role==manager'] } } },
    ],
  ])('%s is a place: %s', (_what, isOne, tasks, wanted) => {
    const view = storeWith({ nodes: [node({ id: 'n1' })], services: [web()], tasks }).view()

    const place = findPlace(view, surveyNodes(view), waiting('new', wanted))

    expect(place?.id).toBe(isOne ? 'n1' : undefined)
  })
})
