/**
 * TLSInfo: which root a node or the cluster trusts, in the three forms that Docker shows
 * (swarm-mode.md 1.1). Clients compare a node's with the cluster's to see whether it needs rotation,
 * so both come from here. Node's own X.509 reader gives the key; the subject's bytes it does not.
 */
import { X509Certificate } from 'node:crypto'

const SEQUENCE = 0x30
const VERSION = 0xa0
/** Fields of a certificate between its version and its subject: serial, algorithm, issuer, validity. */
const FIELDS_BEFORE_SUBJECT = 4

/** Undefined where there is no certificate, or none that can be read. */
export function tlsInfo(
  rootPem: string,
): { TrustRoot: string; CertIssuerSubject: string; CertIssuerPublicKey: string } | undefined {
  if (rootPem === '') return undefined
  try {
    const certificate = new X509Certificate(rootPem)
    const key = certificate.publicKey.export({ type: 'spki', format: 'der' })
    return {
      TrustRoot: rootPem,
      CertIssuerSubject: subjectOf(certificate.raw).toString('base64'),
      CertIssuerPublicKey: key.toString('base64'),
    }
  } catch {
    // An agent said so of itself: shown as unknown, as of a node that never registered.
    return undefined
  }
}

/** The subject's DER, found by walking over the fields before it (RFC 5280, 4.1). */
function subjectOf(certificate: Buffer): Buffer {
  const signed = enter(certificate, 0)
  let at = enter(certificate, signed)
  if (certificate[at] === VERSION) at = endOf(certificate, at)
  for (let field = 0; field < FIELDS_BEFORE_SUBJECT; field++) at = endOf(certificate, at)
  return certificate.subarray(at, endOf(certificate, at))
}

/** Where the contents of the sequence at `at` begin. */
function enter(der: Buffer, at: number): number {
  if (der[at] !== SEQUENCE) throw new RangeError('no sequence where a certificate has one')
  return at + headerOf(der, at).length
}

function endOf(der: Buffer, at: number): number {
  const { length, contentLength } = headerOf(der, at)
  return at + length + contentLength
}

function headerOf(
  der: Buffer,
  at: number,
): { readonly length: number; readonly contentLength: number } {
  const first = der.readUInt8(at + 1)
  if (first < 0x80) return { length: 2, contentLength: first }
  const size = first & 0x7f
  return { length: 2 + size, contentLength: der.readUIntBE(at + 2, size) }
}
