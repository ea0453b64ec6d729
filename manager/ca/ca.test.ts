/** The CA's rules: joins, renewals, tokens, lives of certificates, and nodes that were removed. */
import { describe, expect, test } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import {
  type CertificateIssue,
  emptyCaller,
  emptyCertificateIssue,
} from '../../proto/gen/control.ts'
import { cluster, node, storeWith } from '../../test/build.ts'
import { CLUSTER_VERSION } from '../model/cluster-version.ts'
import type { View } from '../store/view.ts'
import {
  defaultClusterSpec,
  getCluster,
  getRootCa,
  handleCertificateIssue,
  newCluster,
  planJoin,
  planRenewal,
  REVOKED_KEEP_MS,
  revoke,
  rotateTokens,
} from './ca.ts'

const WALL_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const random = newSeededRandom('ca')
const root = { certificatePem: 'CERTIFICATE', keyPem: 'KEY', digest: 'd'.repeat(50) }
const fresh = newCluster(root, defaultClusterSpec, random)
const tokens = fresh.rootCa
const member = { raftId: 1, nodeId: 'demoted', raftAddr: 'a:7946', addr: 'a:2377' }
const view = storeWith({
  clusters: [{ ...fresh, revoked: new Map([['removed', WALL_MS + REVOKED_KEEP_MS]]) }],
  nodes: [
    node({ id: 'worker', spec: { role: 'worker' }, status: { addr: '10.0.0.9' } }),
    node({ id: 'promoted', spec: { role: 'manager' }, certificateRole: 'worker' }),
    node({ id: 'demoted', spec: { role: 'worker' }, certificateRole: 'manager', member }),
  ],
}).view()

function issue(part: Partial<CertificateIssue>, caller = part.nodeId ?? '', at: View = view) {
  return handleCertificateIssue(
    at,
    { ...emptyCertificateIssue, certificatePem: 'NEW', expiresMs: WALL_MS + DAY_MS, ...part },
    {
      ...{ now: 1, wallMs: WALL_MS, random, managers: [] },
      caller: { ...emptyCaller, nodeId: caller },
    },
  )
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof SwarmError) return `${error.code}${error.retriable ? ', again' : ''}`
  }
  return 'allowed'
}

describe('a new cluster', () => {
  test('has its root, two different tokens of it, and Swarm’s defaults', () => {
    expect(fresh.rootCa).toMatchObject(root)
    expect(tokens?.workerToken).toContain(root.digest)
    expect(tokens?.managerToken).toContain(root.digest)
    expect(tokens?.workerToken).not.toBe(tokens?.managerToken)
    expect(fresh.spec?.nodeCertExpiryMs).toBe(90 * DAY_MS)
    expect(fresh.id).toMatch(/^[0-9a-z]{25}$/)
    expect(fresh).toMatchObject({ epoch: 1, clusterVersion: CLUSTER_VERSION })
  })

  test.each([
    [true, false],
    [false, true],
    [true, true],
    [false, false],
  ])('rotates the tokens that it is told to (worker %s, manager %s)', (worker, manager) => {
    const before = getRootCa(view)

    const after = rotateTokens(before, { worker, manager }, random)

    expect(after.workerToken !== before.workerToken).toBe(worker)
    expect(after.managerToken !== before.managerToken).toBe(manager)
    expect({ ...after, workerToken: '', managerToken: '' }).toEqual({
      ...before,
      workerToken: '',
      managerToken: '',
    })
  })
})

describe('a join', () => {
  test.each([
    ['worker', tokens?.workerToken ?? ''],
    ['manager', tokens?.managerToken ?? ''],
  ] as const)('with the token of a %s makes such a node', (role, token) => {
    expect(planJoin(view, token)).toBe(role)

    const { changes, reply } = issue({ token, nodeId: 'new', role, availability: 'drain' }, '')

    expect(reply).toEqual({ id: 'new' })
    expect(changes).toMatchObject([
      {
        kind: 'create',
        table: 'nodes',
        object: {
          id: 'new',
          spec: { role, availability: 'drain' },
          certificateRole: role,
          certificatePem: 'NEW',
          certificateExpiresMs: WALL_MS + DAY_MS,
        },
      },
    ])
  })

  test('with a token that was rotated while the certificate was made leaves nothing', () => {
    const rotated = rotateTokens(getRootCa(view), { worker: true, manager: true }, random)
    const later = storeWith({ clusters: [{ ...fresh, rootCa: rotated }] }).view()
    const token = tokens?.workerToken ?? ''

    expect(codeOf(() => issue({ token, nodeId: 'new', role: 'worker' }, '', later))).toBe(
      'invalid-argument',
    )
  })

  test.each([
    ['a role that the token is not for', { role: 'manager' as const }, 'aborted, again'],
    ['an id that is taken', { nodeId: 'worker' }, 'already-exists'],
    ['the id of a node that was removed', { nodeId: 'removed' }, 'already-exists'],
    ['a wrong token', { token: 'SWMTKN-1-x' }, 'invalid-argument'],
  ])('with %s is refused', (_, part, code) => {
    const token = tokens?.workerToken ?? ''

    expect(codeOf(() => issue({ token, nodeId: 'new', role: 'worker', ...part }, ''))).toBe(code)
  })
})

describe('a renewal', () => {
  test('gives the role that is wanted, and keeps the rest of the node', () => {
    expect(planRenewal(view, 'promoted')).toBe('manager')

    const { changes } = issue({ nodeId: 'worker', role: 'worker' })

    const before = view.nodes.get('worker')
    expect(changes).toEqual([
      {
        kind: 'update',
        table: 'nodes',
        object: {
          ...before,
          certificateRole: 'worker',
          certificatePem: 'NEW',
          certificateExpiresMs: WALL_MS + DAY_MS,
        },
      },
    ])
  })

  test.each([
    [
      'a node that has not left the Raft group yet',
      'demoted',
      'worker',
      'failed-precondition, again',
    ],
    ['a node that is not there', 'gone', 'worker', 'permission-denied'],
    ['a role that is not wanted any more', 'promoted', 'worker', 'aborted, again'],
    ['a role that was never given', 'worker', 'manager', 'aborted, again'],
  ] as const)('is refused to %s', (_, nodeId, role, code) => {
    expect(codeOf(() => issue({ nodeId, role }))).toBe(code)
  })

  test('is refused where the certificate is over by the leader’s clock', () => {
    const wanted = { nodeId: 'worker', role: 'worker' } as const

    expect(codeOf(() => issue({ ...wanted, expiresMs: WALL_MS }))).toBe(
      'failed-precondition, again',
    )
    expect(codeOf(() => issue({ ...wanted, expiresMs: WALL_MS + 1 }))).toBe('allowed')
  })

  test('that ends sooner does not end the time that the node stays refused once it is removed', () => {
    const held = node({ id: 'worker', spec: { role: 'worker' }, certificateExpiresMs: 9 * WALL_MS })
    const at = storeWith({ clusters: [fresh], nodes: [held] }).view()

    const { changes } = issue({ nodeId: 'worker', role: 'worker' }, 'worker', at)

    expect(changes).toMatchObject([{ object: { certificateExpiresMs: 9 * WALL_MS } }])
  })

  test('is for the caller’s own certificate', () => {
    expect(codeOf(() => issue({ nodeId: 'worker', role: 'worker' }, 'promoted'))).toBe(
      'permission-denied',
    )
  })
})

describe('removed nodes', () => {
  test('stay refused until long after their certificate ended', () => {
    const removed = node({ id: 'removed', certificateExpiresMs: WALL_MS + DAY_MS })

    const { revoked } = revoke(fresh, removed, WALL_MS)

    expect([...revoked]).toEqual([['removed', WALL_MS + DAY_MS + REVOKED_KEEP_MS]])
  })

  test('are forgotten after that, and one whose certificate has ended is kept a while', () => {
    const old = new Map([
      ['long gone', WALL_MS],
      ['gone', WALL_MS + 1],
    ])
    const expired = node({ id: 'expired', certificateExpiresMs: 5 })

    const { revoked } = revoke({ ...fresh, revoked: old }, expired, WALL_MS)

    expect([...revoked]).toEqual([
      ['gone', WALL_MS + 1],
      ['expired', WALL_MS + REVOKED_KEEP_MS],
    ])
  })
})

test('a manager that does not know the cluster yet says so, to be asked again', () => {
  const empty = storeWith().view()
  const unfinished = storeWith({ clusters: [cluster({ rootCa: undefined })] }).view()

  expect(codeOf(() => getCluster(empty))).toBe('unavailable, again')
  expect(codeOf(() => getRootCa(unfinished))).toBe('unavailable, again')
})
