/**
 * Certificates for TLS tests of the HTTP API: whatever subject is asked for, of a CA of its own,
 * good for servers and clients on loopback.
 */
import { webcrypto } from 'node:crypto'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000

export type TestCertificate = { readonly cert: string; readonly key: string }

export class TestAuthority {
  readonly cert: string
  readonly #keys: webcrypto.CryptoKeyPair

  private constructor(cert: string, keys: webcrypto.CryptoKeyPair) {
    this.cert = cert
    this.#keys = keys
  }

  static async create(): Promise<TestAuthority> {
    const keys = await newKeys()
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=test-authority',
      ...life(),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
    })
    return new TestAuthority(certificate.toString('pem'), keys)
  }

  /** A certificate for `OU=swarm-worker, CN=n1` and such. */
  async issue(subject: string): Promise<TestCertificate> {
    const keys = await newKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: 'CN=test-authority',
      ...life(),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
    })
    const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
    return {
      cert: certificate.toString('pem'),
      key: `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`,
    }
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  x509.cryptoProvider.set(webcrypto)
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

function life(): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) }
}
