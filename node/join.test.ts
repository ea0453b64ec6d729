/**
 * What a node asks of managers over real TLS on loopback, where the clocks of some of them are wrong:
 * which certificate it takes, and that it joins with none that is over.
 */
import { afterEach, expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import { certificateLife, NODE_CERT_EXPIRY_MS } from '../manager/ca/certificate-life.ts'
import { newJoinToken } from '../manager/ca/join-token.ts'
import type { CertificateClaims, KeyAndCertificate } from '../manager/ca/signer.ts'
import { bootstrapService, type CertificateReply, caService } from '../proto/gen/ca.ts'
import { addService } from '../proto/grpc.ts'
import { cluster } from '../test/build.ts'
import { digestOf, readClaims } from './io/certificate.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { newSigner } from './io/signer.ts'
import { renewCertificate, requestCertificate } from './join.ts'
import { Listener } from './listener.ts'

const DAY_MS = 24 * 3_600_000
/** Certificates hold whole seconds. */
const nowMs = Math.floor(Date.now() / 1_000) * 1_000
const signer = newSigner()
const root: KeyAndCertificate = await signer.createRoot(nowMs)
const manager = await identityOf(claimsAt(0, 'manager'))
const open: Listener[] = []

afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close()
})

/** What is signed for the node by a clock that is so many days ahead. */
function claimsAt(
  aheadDays: number,
  role: CertificateClaims['role'] = 'worker',
): CertificateClaims {
  const authority = cluster({ spec: { nodeCertExpiryMs: NODE_CERT_EXPIRY_MS } })
  const life = certificateLife(authority, nowMs + aheadDays * DAY_MS)
  return { nodeId: 'n1', clusterId: 'c1', role, ...life }
}

async function identityOf(claims: CertificateClaims): Promise<TransportIdentity> {
  const { keyPem, csrPem } = await signer.createRequest()
  const certificatePem = await signer.sign(csrPem, claims, root)
  return { certificatePem, keyPem, rootPem: root.certificatePem }
}

/** The address of a manager that signs whatever it is asked to, by a clock so many days ahead. */
async function managerAt(aheadDays: number): Promise<string> {
  const listener = new Listener({
    listen: '127.0.0.1:0',
    identity: () => manager,
    readClaims,
    findRole: ({ role }) => role,
    log: silentLog,
  })
  open.push(listener)
  const sign = async ({ csrPem }: { readonly csrPem: string }): Promise<CertificateReply> => ({
    nodeId: 'n1',
    clusterId: 'c1',
    role: 'worker',
    certificatePem: await signer.sign(csrPem, claimsAt(aheadDays), root),
    rootCertificatePem: root.certificatePem,
    expiresMs: claimsAt(aheadDays).notAfterMs,
    managerAddrs: [],
  })
  const unused = async (): Promise<never> => {
    throw new SwarmError('unimplemented', 'not asked for')
  }
  const options = { admit: () => undefined, onError: () => undefined }
  const bootstrap = {
    getRootCertificate: async () => ({ certificatePem: root.certificatePem }),
    issueCertificate: sign,
  }
  addService(listener.strangers, bootstrapService, bootstrap, options)
  const ca = { renewCertificate: sign, joinMembers: unused, leave: unused }
  addService(listener.members, caService, ca, options)
  return `127.0.0.1:${await listener.listen()}`
}

/** Which clock the certificate was signed by, days ahead, or the refusal. */
async function renewedAt(heldDays: number, clocksDays: readonly number[]): Promise<unknown> {
  const held = claimsAt(heldDays)
  const managers: string[] = []
  for (const days of clocksDays) managers.push(await managerAt(days))
  const options = { managers, identity: await identityOf(held), held, signer, wallMs: () => nowMs }
  try {
    const { reply } = await renewCertificate(options)
    return (readClaims(reply.certificatePem).notAfterMs - nowMs - NODE_CERT_EXPIRY_MS) / DAY_MS
  } catch (error) {
    return error instanceof SwarmError ? error.code : error
  }
}

test.each([
  ['the first that is good', -60, [5, 0], 5],
  ['that of another manager where one is over', -60, [-100, 0], 0],
  ['that of another manager where one ends early', -80, [-60, 0], 0],
  ['the best that there is', -80, [-70, -60, -100], -60],
  ['none that ends before the one it has', -50, [-60, -100], 'failed-precondition'],
] as const)('a node that renews takes %s', async (_, heldDays, clocksDays, taken) => {
  expect(await renewedAt(heldDays, clocksDays)).toBe(taken)
})

test('a node does not join with a certificate that is over by its clock', async () => {
  const random = newSeededRandom('join')
  const joining = requestCertificate({
    remoteAddrs: [await managerAt(-100)],
    token: newJoinToken(digestOf(root.certificatePem), random),
    availability: 'active',
    signer,
    wallMs: () => nowMs,
  })

  await expect(joining).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringContaining('compare the clocks'),
  })
})
