/**
 * Since when specs may say what: the table holds everything that a spec is made of, and a spec that says
 * more than the cluster speaks is refused by name.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readTree } from '../../proto/generate.ts'
import type { MessageType, ValueType } from '../../proto/proto-file.ts'
import { cluster, node, service, storeWith } from '../../test/build.ts'
import { CLUSTER_VERSION } from './cluster-version.ts'
import { findTooNew, findUnspoken, SPEC_FIELDS, SPEC_VALUES } from './spec-versions.ts'

const ROOTS = ['ServiceSpec', 'NodeSpec', 'ClusterSpec']
const { files } = readTree(join(import.meta.dirname, '..', '..', 'proto'))
const messages = new Map(
  files.flatMap((file) => file.messages).map((message) => [message.name, message]),
)
const enums = new Map(files.flatMap((file) => file.enums).map((each) => [each.name, each]))

/** Of each field, as TypeScript names them, what it holds; the members of a oneof are fields. */
function fieldsOf(message: MessageType): readonly (readonly [string, ValueType])[] {
  return message.fields.flatMap(({ name, type, shape }) =>
    shape.kind === 'choice'
      ? shape.oneof.choices.map((choice) => [choice.name, choice.type] as const)
      : [[name, type] as const],
  )
}

/** Names of all messages and enums of which the specs are made. */
function reachable(): ReadonlySet<string> {
  const found = new Set<string>(ROOTS)
  for (const name of found) {
    const message = messages.get(name)
    for (const [, type] of message === undefined ? [] : fieldsOf(message))
      if (type.kind !== 'scalar') found.add(type.name)
  }
  return found
}

test('every field of every message of a spec says since which version it is known', () => {
  const expected = [...reachable()].filter((name) => messages.has(name))

  expect(Object.keys(SPEC_FIELDS).sort()).toEqual(expected.sort())
  for (const name of expected) {
    const message = messages.get(name)
    const fields = message === undefined ? [] : fieldsOf(message)
    const types = fields.map(([field, type]) => [
      field,
      type.kind === 'scalar' ? undefined : type.name,
    ])
    const table = Object.entries(SPEC_FIELDS[name] ?? {}).map(([field, { type }]) => [field, type])
    expect(Object.fromEntries(table), name).toEqual(Object.fromEntries(types))
  }
})

test('every value of every enum of a spec says since which version it is known', () => {
  const expected = [...reachable()].filter((name) => enums.has(name))

  expect(Object.keys(SPEC_VALUES).sort()).toEqual(expected.sort())
  for (const name of expected) {
    const values = enums.get(name)?.values.map(({ text }) => text) ?? []
    expect(Object.keys(SPEC_VALUES[name] ?? {}).sort(), name).toEqual(values.sort())
  }
})

test('nothing is younger than what this program speaks', () => {
  const fields = Object.values(SPEC_FIELDS).flatMap((each) => Object.values(each))
  const versions = [
    ...fields.map((field) => field.since),
    ...Object.values(SPEC_VALUES).flatMap((each) => Object.values(each)),
  ]

  expect(Math.max(...versions)).toBeLessThanOrEqual(CLUSTER_VERSION)
})

test.each<[string | undefined, NonNullable<Parameters<typeof service>[0]>['spec']]>([
  [undefined, {}],
  [undefined, { task: { placement: { constraints: ['node.role==worker'] } } }],
  [undefined, { update: { order: 'start-first', failureAction: 'continue' } }],
  ['UpdateConfig.FailureAction rollback', { update: { failureAction: 'rollback' } }],
  ['RollbackConfig', { rollback: { parallelism: 1 } }],
  ['DisruptionBudget', { disruptionBudget: { maxUnavailable: 1 } }],
  ['Mode.GlobalJob', { mode: { kind: 'globalJob', globalJob: {} } }],
  ['Placement.Strategy', { task: { placement: { strategy: 'binpack' } } }],
  ['RestartPolicy.MaxDelay', { task: { restart: { maxDelayMs: 1 } } }],
  ['ContainerSpec.Healthcheck', { task: { container: { healthcheck: { test: ['NONE'] } } } }],
  [
    'Resources.Reservations.GenericResources',
    { task: { resources: { reservations: { generic: [{ kind: 'GPU', name: '', count: 1 }] } } } },
  ],
])('the first version of the cluster does not know: %s', (name, spec) => {
  const asked = service(spec === undefined ? {} : { spec }).spec ?? {}

  expect(findTooNew('ServiceSpec', asked, 1)?.name).toBe(name)
  expect(findTooNew('ServiceSpec', asked, 2)).toBeUndefined()
})

test('the refusal names the field, both versions, and who is to be upgraded', () => {
  const member = { raftId: 1 }
  const view = storeWith({
    clusters: [cluster({ clusterVersion: 1 })],
    nodes: [
      node({ id: 'm1', member, description: { hostname: 'old', version: 1 } }),
      node({ id: 'm2', member, description: { hostname: 'new', version: 2 } }),
      node({ id: 'w1', description: { hostname: 'worker', version: 1 } }),
    ],
  }).view()
  const { spec } = service({ spec: { disruptionBudget: { maxUnavailable: 1 } } })
  if (spec === undefined) throw new Error('a service has a spec')

  const refusal = findUnspoken(view, { kind: 'ServiceSpec', spec })

  expect(refusal?.code).toBe('failed-precondition')
  expect(refusal?.message).toBe(
    'DisruptionBudget needs cluster version 2, and this cluster speaks 1 until all managers are upgraded: ' +
      'upgrade the managers old first, or leave it out',
  )
})
