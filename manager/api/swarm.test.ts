/** Handlers of the cluster's own requests: its first write, its settings, its tokens. */
import { describe, expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyCaller, emptyClusterUpdate } from '../../proto/gen/control.ts'
import type { Cluster } from '../../proto/gen/objects.ts'
import type { ClusterSpec } from '../../proto/gen/specs.ts'
import { cluster, node, service, storeWith } from '../../test/build.ts'
import { defaultClusterSpec } from '../ca/ca.ts'
import type { HandlerContext } from '../store/handler.ts'
import { handleClusterCreate, handleClusterUpdate } from './swarm.ts'

const CONTEXT: HandlerContext = {
  now: 0,
  wallMs: 1_700_000_000_000,
  random: newSeededRandom(1),
  caller: emptyCaller,
  managers: [],
}
const ROOT = { digest: 'd'.repeat(50), workerToken: 'old-worker', managerToken: 'old-manager' }

describe('handleClusterCreate()', () => {
  test('makes the cluster and its first node', () => {
    const request = { cluster: cluster(), node: node({ id: 'n1' }) }

    const { changes, reply } = handleClusterCreate(storeWith().view(), request, CONTEXT)

    expect(changes).toEqual([
      { kind: 'create', table: 'clusters', object: request.cluster },
      { kind: 'create', table: 'nodes', object: request.node },
    ])
    expect(reply.id).toBe('cluster1')
  })

  test('refuses a second cluster and half a request', () => {
    const request = { cluster: cluster(), node: node() }
    const empty = storeWith().view()

    expect(() =>
      handleClusterCreate(storeWith({ clusters: [cluster()] }).view(), request, CONTEXT),
    ).toThrow('already part of a swarm')
    expect(() => handleClusterCreate(empty, { ...request, node: undefined }, CONTEXT)).toThrow(
      'needs its spec and its first node',
    )
  })
})

describe('handleClusterUpdate()', () => {
  test('stores the spec and leaves the tokens', () => {
    const spec = { ...defaultClusterSpec, taskHistoryLimit: -1 }

    expect(update({ spec })).toMatchObject({ spec, rootCa: ROOT })
  })

  test('rotates the tokens that it is asked to', () => {
    const { rootCa } = update({ spec: defaultClusterSpec, rotateWorkerToken: true })

    expect(rootCa?.workerToken).toMatch(/^SWMTKN-1-d{50}-[0-9a-z]{25}$/)
    expect(rootCa?.managerToken).toBe('old-manager')
  })

  const refused: readonly (readonly [string, Partial<ClusterSpec>, string])[] = [
    [
      'another name',
      { annotations: { name: 'x', labels: new Map() } },
      'modification of cluster name',
    ],
    ['no heartbeat', { heartbeatPeriodMs: 0 }, 'Dispatcher.HeartbeatPeriod: 0 ms'],
    ['too many snapshots', { keepOldSnapshots: 101 }, 'Raft.KeepOldSnapshots: 101 snapshots'],
    ['a slow heartbeat', { heartbeatPeriodMs: 60_001 }, 'Dispatcher.HeartbeatPeriod: 60001 ms'],
    ['short certificates', { nodeCertExpiryMs: 3_599_999 }, 'minimum certificate expiry time'],
    ['long certificates', { nodeCertExpiryMs: 1e12 }, 'maximum certificate expiry time'],
  ]
  test.each(refused)('refuses %s', (_name, part, message) => {
    expect(() => update({ spec: { ...defaultClusterSpec, ...part } })).toThrow(message)
  })

  test('refuses an old version and a missing spec', () => {
    expect(() => update({ spec: defaultClusterSpec, version: 8 })).toThrow('update out of sequence')
    expect(() => update({})).toThrow('the spec of the swarm is missing')
  })
})

function update(part: Partial<typeof emptyClusterUpdate>): Cluster {
  const view = storeWith({ clusters: [cluster({ rootCa: ROOT })], index: 9 }).view()
  const { changes } = handleClusterUpdate(
    view,
    { ...emptyClusterUpdate, version: 9, ...part },
    CONTEXT,
  )
  const [change] = changes
  if (change?.kind !== 'update' || change.table !== 'clusters') throw new Error('no update')
  return change.object
}

test('a heartbeat period by which nodes that are well would stop tasks is refused', () => {
  const db = service({ id: 'db', spec: { task: { disconnect: { stopAfterMs: 15_000 } } } })
  const clusters = [cluster({ rootCa: ROOT })]
  const view = storeWith({ clusters, services: [db] }).view()
  const [present] = [...view.clusters.list()]
  const set = (heartbeatPeriodMs: number): unknown => {
    const spec = { ...defaultClusterSpec, heartbeatPeriodMs }
    const request = { ...emptyClusterUpdate, version: present?.meta?.version ?? 0, spec }
    return handleClusterUpdate(view, request, CONTEXT)
  }

  expect(() => set(3_001)).toThrow(
    'HeartbeatPeriod: five periods of 3.001s are longer than Disconnect.StopAfter of service "db" (15s)',
  )
  expect(() => set(3_000)).not.toThrow()
})
