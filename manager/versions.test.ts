/**
 * The cluster's version rises with its last manager and never falls.
 */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { emptyCaller, emptyServiceCreate, emptyServiceUpdate } from '../proto/gen/control.ts'
import type { Cluster, Node } from '../proto/gen/objects.ts'
import { cluster, node, service, storeWith } from '../test/build.ts'
import { handleWrite } from './handle.ts'
import type { Changed } from './store/round.ts'
import { findDowngrade, reconcileVersions, refuseOldVersion } from './versions.ts'

const NONE: ReadonlySet<string> = new Set()
const CHANGED: Changed = {
  all: true,
  ids: { clusters: NONE, nodes: NONE, services: NONE, tasks: NONE, secrets: NONE, configs: NONE },
}

function manager(id: string, version: number): Node {
  return node({ id, member: { raftId: id.charCodeAt(1), nodeId: id }, description: { version } })
}

function raisedTo(of: Cluster, nodes: readonly Node[]): number | undefined {
  const view = storeWith({ clusters: [of], nodes }).view()
  const { changes } = reconcileVersions({
    view,
    changed: CHANGED,
    now: 0,
    wallMs: 0,
    random: newSeededRandom(1),
  })
  const [change] = changes
  return change?.kind === 'update' && change.table === 'clusters'
    ? change.object.clusterVersion
    : undefined
}

test('cluster version rises to the lowest that all managers report', () => {
  const before = cluster({ clusterVersion: 1 })

  expect(raisedTo(before, [manager('m1', 2), manager('m2', 3)])).toBe(2)
  expect(raisedTo(before, [manager('m1', 1), manager('m2', 3)])).toBeUndefined()
})

test('cluster version waits for managers that have not described themselves', () => {
  expect(raisedTo(cluster({ clusterVersion: 1 }), [manager('m1', 2), manager('m2', 0)])).toBe(
    undefined,
  )
})

test('cluster version does not look at workers, and never falls', () => {
  const worker = node({ id: 'w1', description: { version: 1 } })

  expect(raisedTo(cluster({ clusterVersion: 1 }), [manager('m1', 2), worker])).toBe(2)
  expect(raisedTo(cluster({ clusterVersion: 3 }), [manager('m1', 2)])).toBeUndefined()
})

test('a manager of an older version than the cluster is refused', () => {
  const view = storeWith({
    clusters: [cluster({ clusterVersion: 2 })],
    nodes: [manager('m1', 1), manager('m2', 2)],
  }).view()

  expect(() => refuseOldVersion(view, 'm1')).toThrow(/upgrade it first/)
  expect(() => refuseOldVersion(view, 'm2')).not.toThrow()
})

test('a manager that was put back to an older program than the cluster is not to go on', () => {
  const view = storeWith({ clusters: [cluster({ clusterVersion: 2 })] }).view()

  expect(findDowngrade(view, 1)).toMatch(/version 1 and the cluster version 2: upgrade it/)
  expect(findDowngrade(view, 2)).toBeUndefined()
  expect(findDowngrade(view, 3)).toBeUndefined()
  expect(findDowngrade(storeWith({}).view(), 1)).toBeUndefined()
})

test.each(['serviceCreate', 'serviceUpdate'] as const)(
  'a leader takes no %s with what an older manager does not know',
  (kind) => {
    const { spec } = service({ spec: { disruptionBudget: { maxUnavailable: 1 } } })
    const created = { ...emptyServiceCreate, spec }
    const updated = { ...emptyServiceUpdate, id: 'web', spec }
    const body =
      kind === 'serviceCreate' ? { kind, serviceCreate: created } : { kind, serviceUpdate: updated }
    const ask = (clusterVersion: number): unknown => {
      const clusters = [cluster({ clusterVersion })]
      const view = storeWith({ clusters, services: [service({ id: 'web' })] }).view()
      const random = newSeededRandom(1)
      const context = { now: 0, wallMs: 0, random, caller: emptyCaller, managers: [] }
      return handleWrite(view, { caller: emptyCaller, body }, context)
    }

    expect(() => ask(1)).toThrow('DisruptionBudget needs cluster version 2')
    expect(() => ask(2)).not.toThrow('DisruptionBudget')
  },
)
