/**
 * Port Signer: making keys, requests and certificates. All of it is random or slow, so it stays
 * outside of the machines (STYLE section 4); the rules about who gets which certificate are in
 * `ca.ts`. Real side: `node/io/signer.ts`; reading certificates is `node/io/certificate.ts`.
 */
import type { NodeRole } from '../../proto/gen/types.ts'

/** What a node's certificate says, in Swarm's names: CN, OU and O (swarm-mode.md 2.15). */
export type CertificateClaims = {
  readonly nodeId: string
  readonly role: NodeRole
  readonly clusterId: string
  /** Wall time, ms. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export type KeyAndCertificate = { readonly keyPem: string; readonly certificatePem: string }

export interface Signer {
  /** A new root: ECDSA P-256, CN swarm-ca, 20 years. */
  createRoot(nowMs: number): Promise<KeyAndCertificate>
  /** A new key and a request to certify it. What the request says of names is ignored. */
  createRequest(): Promise<{ readonly keyPem: string; readonly csrPem: string }>
  /**
   * A certificate for the request's key with exactly these claims. Refuses with
   * `invalid-argument` what is no request or is not signed by its own key.
   */
  sign(csrPem: string, claims: CertificateClaims, root: KeyAndCertificate): Promise<string>
}
