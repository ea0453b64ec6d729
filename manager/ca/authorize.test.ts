/** Who may call: the lower of certificate and store, for the cluster's own nodes, in time. */
import { expect, test } from 'vitest'
import { cluster, node, storeWith } from '../../test/build.ts'
import { authorize } from './authorize.ts'
import type { CertificateClaims } from './signer.ts'

const NOW_MS = 1_700_000_000_000
const MINUTE_MS = 60_000
const member = { raftId: 1, nodeId: 'n1', raftAddr: 'a:7946', addr: 'a:2377' }
const view = storeWith({
  clusters: [cluster({ id: 'c1', revoked: new Map([['gone', NOW_MS + MINUTE_MS]]) })],
  nodes: [
    node({ id: 'worker', spec: { role: 'worker' } }),
    node({ id: 'manager', spec: { role: 'manager' }, member: { ...member, nodeId: 'manager' } }),
    node({ id: 'promoted', spec: { role: 'manager' } }),
    node({ id: 'demoted', spec: { role: 'worker' }, member: { ...member, nodeId: 'demoted' } }),
  ],
}).view()

function claims(part: Partial<CertificateClaims>): CertificateClaims {
  return {
    ...{ nodeId: 'worker', role: 'worker', clusterId: 'c1' },
    ...{ notBeforeMs: NOW_MS - 3_600_000, notAfterMs: NOW_MS + 3_600_000 },
    ...part,
  }
}

function call(part: Partial<CertificateClaims>, roles: readonly string[], wallMs = NOW_MS) {
  return authorize(view, claims(part), { roles, clusterId: 'c1', wallMs })
}

test.each([
  // node, certificate, the role that counts
  ['worker', 'worker', 'worker'],
  ['worker', 'manager', 'worker'],
  ['manager', 'manager', 'manager'],
  ['manager', 'worker', 'worker'],
  ['promoted', 'worker', 'worker'],
  ['promoted', 'manager', 'manager'],
  ['demoted', 'manager', 'manager'],
  ['demoted', 'worker', 'worker'],
  ['unheard of', 'worker', 'worker'],
  ['unheard of', 'manager', 'manager'],
] as const)('node %s with a certificate of a %s counts as a %s', (nodeId, role, counts) => {
  expect(call({ nodeId, role }, ['worker', 'manager'])).toEqual({ nodeId, role: counts })
  if (counts === 'manager') expect(call({ nodeId, role }, ['manager']).role).toBe('manager')
  else
    expect(() => call({ nodeId, role }, ['manager'])).toThrow('a worker may not call this method')
})

test('a method for workers alone is not for managers', () => {
  expect(() => call({ nodeId: 'manager', role: 'manager' }, ['worker'])).toThrow(
    /a manager may not/,
  )
})

test.each([
  ['another cluster', { clusterId: 'c2' }, 'permission-denied', /another cluster/],
  ['no cluster', { clusterId: '' }, 'permission-denied', /another cluster/],
  ['a removed node', { nodeId: 'gone' }, 'permission-denied', /node gone was removed/],
  ['the past', { notAfterMs: NOW_MS - 1 }, 'unauthenticated', /not valid at this time/],
  ['the future', { notBeforeMs: NOW_MS + 6 * MINUTE_MS }, 'unauthenticated', /not valid/],
] as const)('a certificate of %s is refused', (_, part, code, message) => {
  expect(() => call(part, ['worker'])).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message) }),
  )
})

test('a certificate holds to its last millisecond, and for clocks that are five minutes apart', () => {
  expect(call({ notAfterMs: NOW_MS }, ['worker']).nodeId).toBe('worker')
  expect(call({ notBeforeMs: NOW_MS + 5 * MINUTE_MS }, ['worker']).nodeId).toBe('worker')
})

test('before the cluster object is known, its members get in by their certificates', () => {
  const empty = storeWith().view()

  expect(
    authorize(empty, claims({}), { roles: ['worker'], clusterId: 'c1', wallMs: NOW_MS }).role,
  ).toBe('worker')
})
