/**
 * The checker of updates fires on bad histories, and on nothing else.
 */
import { describe, expect, test } from 'vitest'
import type { Node, Service, Task, UpdateStatus } from '../../../proto/gen/objects.ts'
import type { ServiceSpec, UpdateConfig } from '../../../proto/gen/specs.ts'
import { node, type Part, service, task } from '../../build.ts'
import { type Entry, play } from './play.ts'
import { UpdateChecker } from './updates.ts'

const image = (name: string): Part<ServiceSpec> => ({ task: { container: { image: name } } })
const spec = (part: Part<ServiceSpec>): ServiceSpec => {
  const made = service({ id: 'web', spec: part }).spec
  if (made === undefined) throw new Error('a service has a spec')
  return made
}
const BEFORE = spec(image('v1'))

/** At version 2 and on the way there, by this config. */
function web(
  state: UpdateStatus['state'],
  update: Part<UpdateConfig> = {},
  part: Part<Service> = {},
): Service {
  const { updateStatus, ...rest } = part
  return service({
    id: 'web',
    specVersion: 2,
    previousSpec: BEFORE,
    ...rest,
    spec: { ...image('v2'), update: { monitorMs: 1_000, parallelism: 1, ...update }, ...rest.spec },
    updateStatus: { state, targetSpecVersion: rest.specVersion ?? 2, ...updateStatus },
  })
}
const made = (slot: number, part: Part<Task> = {}): Task =>
  task({
    id: `new${slot}`,
    serviceId: 'web',
    slot,
    madeByUpdate: true,
    specVersion: 2,
    nodeId: 'n1',
    ...part,
  })
const up = (atMs: number): Part<Task> => ({
  runningClusterMs: atMs,
  status: { state: 'running' },
})
const failed = (atMs: number): Part<Task> => ({
  runningClusterMs: 1_000,
  endedClusterMs: atMs,
  status: { state: 'failed' },
})
const ofEarlier: Part<Task> = { specVersion: 1, spec: { container: { image: 'v2' } } }
const ofOther: Part<Task> = { specVersion: 1, spec: { container: { image: 'v3' } } }
const old = (slot: number): Task =>
  made(slot, { id: `old${slot}`, madeByUpdate: false, specVersion: 1 })
const told: Part<Task> = { desiredState: 'shutdown' }
/** The cluster rolls it back by itself. */
const back = (part: Part<Service> = {}): Service =>
  service({
    id: 'web',
    specVersion: 3,
    previousSpec: undefined,
    spec: BEFORE,
    updateStatus: {
      state: 'rollback-started',
      targetSpecVersion: 3,
      message: 'update rolled back due to failure or early termination of task new1',
    },
    ...part,
  })
const rollsBack = { failureAction: 'rollback' } as const

describe('the checker of updates', () => {
  test.each<[string, readonly Entry[]]>([
    [
      'one that was watched to its end',
      [
        { services: [web('updating')], tasks: [made(1, up(1_000))], atMs: 1_000 },
        { services: [web('completed')], atMs: 2_000 },
      ],
    ],
    [
      'a failure that is counted',
      [
        { services: [web('updating')], tasks: [made(1, failed(1_500))] },
        {
          services: [web('paused', {}, { updateStatus: { failedTaskIds: ['new1'] } })],
          tasks: [made(1, { ...failed(1_500), ...told })],
          atMs: 1_500,
        },
      ],
    ],
    [
      'an end after the monitor time',
      [
        { services: [web('updating')], tasks: [made(1, failed(2_001))] },
        { tasks: [made(1, { ...failed(2_001), ...told })], atMs: 2_001 },
      ],
    ],
    [
      'what went with its daemon',
      [
        { services: [web('updating')], tasks: [made(1, failed(1_500))] },
        {
          tasks: [
            made(1, { ...failed(1_500), ...told, status: { state: 'failed', unseen: true } }),
          ],
        },
      ],
    ],
    [
      'a slot that is taken after the delay',
      [
        { services: [web('updating', { delayMs: 500 })], tasks: [made(1, up(1_000))] },
        { tasks: [made(2)], atMs: 1_500 },
      ],
    ],
    [
      'slots that move at once, begun by an earlier update to the same spec (seed 260577)',
      [
        {
          services: [web('updating', { delayMs: 500 })],
          tasks: [1, 2].map((slot) => made(slot, ofEarlier)),
        },
        {
          tasks: [1, 2].flatMap((slot) => [
            made(slot, { ...ofEarlier, ...told }),
            made(slot, { id: `moved${slot}`, replaces: `new${slot}` }),
          ]),
        },
      ],
    ],
    [
      'slots that are begun anew beside an old task, as an earlier update had to the same spec',
      [
        {
          services: [web('updating', { delayMs: 500 })],
          tasks: [1, 2].flatMap((slot) => [old(slot), made(slot, ofEarlier)]),
        },
        {
          tasks: [1, 2].flatMap((slot) => [
            made(slot, { ...ofEarlier, ...told }),
            made(slot, { id: `anew${slot}`, replaces: `old${slot}` }),
          ]),
        },
      ],
    ],
    [
      'a rollback that is completed, and an update that begins, in one entry',
      [
        { services: [web('rollback-started', {}, { updateStatus: { convergedClusterMs: 500 } })] },
        { services: [web('updating')] },
      ],
    ],
    [
      'an update that goes back',
      [{ services: [web('updating', rollsBack)] }, { services: [back()] }],
    ],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new UpdateChecker(), entries)).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    [
      'U1: the update of service web is completed 999 ms after new1 came up',
      'an end before the monitor time',
      [
        { services: [web('updating')], tasks: [made(1, up(1_000))], atMs: 1_000 },
        { services: [web('completed')], atMs: 1_999 },
      ],
    ],
    [
      'and its monitor time is 3000 ms',
      'an end before the delay and a second, where that is longer',
      [
        { services: [web('updating', { delayMs: 2_000 })], tasks: [made(1, up(1_000))] },
        { services: [web('completed', { delayMs: 2_000 })], atMs: 3_999 },
      ],
    ],
    [
      'U1: the update of service web is completed before new1 ran',
      'an end before all is done',
      [
        { services: [web('updating')], tasks: [made(1)] },
        { services: [web('completed')], atMs: 9_000 },
      ],
    ],
    [
      'U2: task new1 ended 500 ms after it ran, and the update of service web did not count it',
      'a failure that nobody counts',
      [
        { services: [web('updating')], tasks: [made(1, failed(1_500))] },
        { tasks: [made(1, { ...failed(1_500), ...told })], atMs: 1_500 },
      ],
    ],
    [
      'U2: the update of service web goes on with 1 failures in 2 slots',
      'too many failures',
      [
        { services: [web('updating')], tasks: [made(1), made(2)] },
        { services: [web('updating', {}, { updateStatus: { failedTaskIds: ['new1'] } })] },
      ],
    ],
    [
      'U3: the update of service web takes 2 slots',
      'a slot that is taken within the delay',
      [
        { services: [web('updating', { delayMs: 500 })], tasks: [made(1, up(1_000))] },
        { tasks: [made(2)], atMs: 1_499 },
      ],
    ],
    [
      'U3: the update of service web takes 2 slots',
      'slots that an earlier update had begun to another spec',
      [
        {
          services: [web('updating', { delayMs: 500 })],
          tasks: [1, 2].flatMap((slot) => [old(slot), made(slot, ofOther)]),
        },
        {
          tasks: [1, 2].flatMap((slot) => [
            made(slot, { ...ofOther, ...told }),
            made(slot, { id: `anew${slot}`, replaces: `old${slot}` }),
          ]),
        },
      ],
    ],
    [
      'U4: the update of service web was paused and is updating',
      'an update that goes on by itself',
      [{ services: [web('paused')] }, { services: [web('updating')] }],
    ],
    [
      'U4: the update of service web was rollback-started and is updating',
      'a rollback that becomes an update before it has converged',
      [{ services: [web('rollback-started')] }, { services: [web('updating')] }],
    ],
    [
      'U4: a rollback of service web was rolled back',
      'a rollback of a rollback',
      [{ services: [web('rollback-started', rollsBack)] }, { services: [back()] }],
    ],
    [
      'U4: the update of service web was rolled back, which nobody asked for',
      'a rollback that nobody asked for',
      [{ services: [web('updating')] }, { services: [back()] }],
    ],
    [
      'U4: service web was rolled back, and not to the spec before',
      'a rollback to another spec',
      [
        { services: [web('updating', rollsBack)] },
        { services: [back({ spec: spec(image('v2')) })] },
      ],
    ],
    [
      'U4: the specs of service web changed, and its version did not',
      'a spec that changes under its tasks',
      [{ services: [web('updating')] }, { services: [web('updating', {}, { spec: image('v3') })] }],
    ],
  ])('finds "%s" for %s', (says, _what, entries) => {
    expect(play(new UpdateChecker(), entries).join('\n')).toContain(says)
  })

  test.each<[string, Part<Node>, Part<ServiceSpec>]>([
    ['takes nothing new', { spec: { availability: 'pause' } }, {}],
    ["is none of the service's", {}, { task: { placement: { constraints: ['node.id!=n1'] } } }],
  ])('a node that %s is reason enough to end what a global service has there', (_what, on, of) => {
    const there = node({ id: 'n1', ...on } as Part<Node>)
    const service = web('updating', {}, { spec: { ...image('v2'), ...of } })
    const ended = (part: Part<Task> = {}) => made(0, { ...failed(1_500), ...part })

    const problems = play(new UpdateChecker(), [
      { nodes: [there], services: [service], tasks: [ended()] },
      { tasks: [ended(told)] },
    ])

    expect(problems).toEqual([])
  })
})
