/**
 * The joiner's and the renewer's side of the CA's calls (DESIGN section 10). A joiner first asks for
 * the root over TLS that it cannot check yet and compares its digest with the token's; only then it
 * says the token, over TLS that it can check. Nothing is written here.
 */
import { SwarmError } from '../lib/errors.ts'
import { isValidAt, newClockRefusal, Offers } from '../manager/ca/certificate-life.ts'
import { parseJoinToken } from '../manager/ca/join-token.ts'
import type { CertificateClaims, Signer } from '../manager/ca/signer.ts'
import {
  bootstrapService,
  type CertificateReply,
  caService,
  type JoinMembersReply,
} from '../proto/gen/ca.ts'
import type { Availability } from '../proto/gen/types.ts'
import { newChannel, newClient } from '../proto/grpc.ts'
import type { Client } from '../proto/rpc.ts'
import { digestOf, readClaims } from './io/certificate.ts'
import type { TransportIdentity } from './io/raft-transport.ts'

const CALL_MS = 5_000
/** Signing and committing may meet a change of leader. */
const ISSUE_MS = 15_000
const MEMBERS_MS = 20_000
/** Any manager may answer; its certificate names the role. */
const SERVER_NAME = 'swarm-manager'

export type Certified = { readonly keyPem: string; readonly reply: CertificateReply }

/** A certificate for a new node from the first manager that answers. */
export async function requestCertificate(options: {
  readonly remoteAddrs: readonly string[]
  readonly token: string
  readonly availability: Availability
  readonly signer: Signer
  /** Of this node. */
  readonly wallMs: () => number
}): Promise<Certified> {
  const { digest } = parseJoinToken(options.token)
  return firstOf(options.remoteAddrs, async (addr) => {
    const rootPem = await fetchRoot(addr, digest)
    const { keyPem, csrPem } = await options.signer.createRequest()
    const channel = newChannel(addr, {
      credentials: { kind: 'tls', ca: rootPem, identity: undefined, serverName: SERVER_NAME },
    })
    try {
      const reply = await newClient(channel, bootstrapService).issueCertificate(
        { token: options.token.trim(), csrPem, availability: options.availability },
        { deadlineMs: ISSUE_MS },
      )
      if (reply.rootCertificatePem !== rootPem)
        throw new SwarmError('aborted', 'the cluster’s root changed during the join, try again', {
          retriable: true,
        })
      const claims = readClaims(reply.certificatePem)
      const wallMs = options.wallMs()
      if (!isValidAt(claims, wallMs)) throw newClockRefusal(claims, wallMs)
      return { keyPem, reply }
    } finally {
      channel.close()
    }
  })
}

/**
 * A new certificate with the role that the cluster wants for this node: the first that is good by
 * this node's clock, or the best of all that the managers signed; refused when `held` is better.
 */
export async function renewCertificate(options: {
  readonly managers: readonly string[]
  readonly identity: TransportIdentity
  readonly held: CertificateClaims
  readonly signer: Signer
  readonly wallMs: () => number
}): Promise<Certified> {
  const { keyPem, csrPem } = await options.signer.createRequest()
  const offers = new Offers<CertificateReply>(options.held)
  const reply = await withCa(options.managers, options.identity, async (ca) => {
    const offer = await ca.renewCertificate({ csrPem }, { deadlineMs: ISSUE_MS })
    const claims = readClaims(offer.certificatePem)
    const wallMs = options.wallMs()
    if (!offers.add(offer, claims, wallMs)) throw newClockRefusal(claims, wallMs)
    return offer
  }).catch((error: unknown) => {
    if (offers.best === undefined) throw error
    return offers.best
  })
  return { keyPem, reply }
}

/** Membership of the Raft group; `raftId` is that of the data directory, 0 when it is empty. */
export function joinMembers(options: {
  readonly managers: readonly string[]
  readonly identity: TransportIdentity
  readonly raftAddr: string
  readonly addr: string
  readonly raftId: number
}): Promise<JoinMembersReply> {
  const { raftAddr, addr, raftId } = options
  return withCa(options.managers, options.identity, (ca) =>
    ca.joinMembers({ raftAddr, addr, raftId }, { deadlineMs: MEMBERS_MS }),
  )
}

/** The managers know that this node is gone for good. */
export async function sayLeave(
  managers: readonly string[],
  identity: TransportIdentity,
): Promise<void> {
  await withCa(managers, identity, (ca) => ca.leave({}, { deadlineMs: CALL_MS }))
}

async function fetchRoot(addr: string, digest: string): Promise<string> {
  const channel = newChannel(addr, {
    credentials: { kind: 'tls', ca: undefined, identity: undefined, serverName: SERVER_NAME },
  })
  try {
    const { certificatePem } = await newClient(channel, bootstrapService).getRootCertificate(
      {},
      { deadlineMs: CALL_MS },
    )
    if (digestOf(certificatePem) !== digest)
      throw new SwarmError(
        'invalid-argument',
        `remote CA does not match fingerprint: ${addr} is not a manager of the cluster that the join token belongs to`,
      )
    return certificatePem
  } finally {
    channel.close()
  }
}

function withCa<T>(
  managers: readonly string[],
  identity: TransportIdentity,
  call: (ca: Client<typeof caService>) => Promise<T>,
): Promise<T> {
  return firstOf(
    managers,
    async (addr) => {
      const channel = newChannel(addr, {
        credentials: {
          kind: 'tls',
          ca: identity.rootPem,
          identity: { cert: identity.certificatePem, key: identity.keyPem },
          serverName: SERVER_NAME,
        },
      })
      try {
        return await call(newClient(channel, caService))
      } finally {
        channel.close()
      }
    },
    neverFinal,
  )
}

/** A manager's state may be old, or it is none any more and does not know: another one is asked. */
function neverFinal(): boolean {
  return false
}

function isRefusal(error: unknown): boolean {
  if (error === undefined) return false
  const isUnreachable =
    error instanceof SwarmError &&
    (error.code === 'unavailable' || error.code === 'deadline-exceeded')
  return !isUnreachable
}

/** The first answer of a manager that can be reached; a refusal is final if it says so. */
async function firstOf<T>(
  addrs: readonly string[],
  ask: (addr: string) => Promise<T>,
  isFinal: (error: unknown) => boolean = isRefusal,
): Promise<T> {
  let last: unknown
  for (const addr of addrs) {
    try {
      return await ask(addr)
    } catch (error) {
      if (isFinal(error)) throw error
      // What a manager said is of more use than that another one was silent.
      if (last === undefined || isRefusal(error)) last = error
    }
  }
  if (isRefusal(last)) throw last
  if (last instanceof SwarmError)
    throw new SwarmError(
      'unavailable',
      `no manager could be reached at ${addrs.join(', ')}: ${last.message}`,
      { cause: last, retriable: true },
    )
  throw new SwarmError('invalid-argument', 'the address of a manager is needed')
}
