/**
 * Reading certificates, without the library that makes them: names, life, digest, and whether a
 * key belongs to one. `signer.ts` makes them; this file is all that a worker and the consensus
 * thread need.
 */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { SwarmError } from '../../lib/errors.ts'
import type { CertificateClaims } from '../../manager/ca/signer.ts'

const DIGEST_LENGTH = 50

/** What was read last, by the certificate's bytes: each call over a connection shows the same one. */
const known = new Map<string, CertificateClaims>()
const KNOWN_MAX = 256

/** What a certificate says; `invalid-argument` when it is no node's. */
export function readClaims(certificate: Uint8Array | string): CertificateClaims {
  const bytes =
    typeof certificate === 'string' ? certificate : Buffer.from(certificate).toString('latin1')
  const before = known.get(bytes)
  if (before !== undefined) return before
  const claims = claimsOf(parse(certificate))
  if (known.size >= KNOWN_MAX) known.clear()
  known.set(bytes, claims)
  return claims
}

function claimsOf(parsed: X509Certificate): CertificateClaims {
  const names = new Map(
    parsed.subject.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
  const nodeId = names.get('CN')
  const clusterId = names.get('O')
  const unit = names.get('OU')
  if (
    nodeId === undefined ||
    clusterId === undefined ||
    (unit !== 'swarm-manager' && unit !== 'swarm-worker')
  )
    throw new SwarmError(
      'invalid-argument',
      'the certificate is not that of a node: CN, O or OU is missing',
    )
  return {
    nodeId,
    clusterId,
    role: unit === 'swarm-manager' ? 'manager' : 'worker',
    notBeforeMs: parsed.validFromDate.getTime(),
    notAfterMs: parsed.validToDate.getTime(),
  }
}

/** Base 36 SHA-256 of a certificate, 50 characters, as in join tokens. */
export function digestOf(certificate: Uint8Array | string): string {
  const hash = createHash('sha256').update(parse(certificate).raw).digest('hex')
  return BigInt(`0x${hash}`).toString(36).padStart(DIGEST_LENGTH, '0')
}

/** Whether a private key belongs to a certificate: refused at load, not in every handshake. */
export function isKeyOf(keyPem: string, certificatePem: string): boolean {
  try {
    const key = createPublicKey(keyPem).export({ type: 'spki', format: 'der' })
    return key.equals(parse(certificatePem).publicKey.export({ type: 'spki', format: 'der' }))
  } catch {
    return false
  }
}

/** Whether the certificate was signed by this root. */
export function isIssuedBy(certificatePem: string, rootPem: string): boolean {
  return parse(certificatePem).verify(parse(rootPem).publicKey)
}

function parse(certificate: Uint8Array | string): X509Certificate {
  try {
    return new X509Certificate(certificate)
  } catch (cause) {
    throw new SwarmError('invalid-argument', 'the certificate cannot be read', { cause })
  }
}
