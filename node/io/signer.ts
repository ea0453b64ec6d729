/**
 * The real side of port Signer, over @peculiar/x509 and the platform's WebCrypto. Names and lives
 * are Swarm's (swarm-mode.md 2.15): root CN swarm-ca for 20 years; nodes CN = node id, OU = role,
 * O = cluster id, the same names as DNS alternatives, so that TLS clients can check the role.
 */
import { randomBytes, webcrypto } from 'node:crypto'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { SwarmError } from '../../lib/errors.ts'
import { BACKDATE_MS } from '../../manager/ca/certificate-life.ts'
import type { CertificateClaims, KeyAndCertificate, Signer } from '../../manager/ca/signer.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const ROOT_LIFE_MS = 20 * 365 * 24 * 3_600_000
const OU_PREFIX = 'swarm-'

x509.cryptoProvider.set(webcrypto)

export function newSigner(): Signer {
  return { createRoot, createRequest, sign }
}

async function createRoot(nowMs: number): Promise<KeyAndCertificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: 'CN=swarm-ca',
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + ROOT_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { keyPem: await exportKey(keys.privateKey), certificatePem: certificate.toString('pem') }
}

async function createRequest(): Promise<{ keyPem: string; csrPem: string }> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=tsswarm',
    keys,
    signingAlgorithm: ALGORITHM,
  })
  return { keyPem: await exportKey(keys.privateKey), csrPem: request.toString('pem') }
}

async function sign(
  csrPem: string,
  claims: CertificateClaims,
  root: KeyAndCertificate,
): Promise<string> {
  const request = await readRequest(csrPem)
  const issuer = new x509.X509Certificate(root.certificatePem)
  const names = [
    roleName(claims),
    claims.nodeId,
    ...(claims.role === 'manager' ? ['swarm-ca'] : []),
  ]
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ O: [claims.clusterId] }, { OU: [roleName(claims)] }, { CN: [claims.nodeId] }],
    issuer: issuer.subject,
    notBefore: new Date(claims.notBeforeMs),
    notAfter: new Date(claims.notAfterMs),
    signingAlgorithm: ALGORITHM,
    publicKey: request.publicKey,
    signingKey: await importKey(root.keyPem),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  })
  return certificate.toString('pem')
}

async function readRequest(csrPem: string): Promise<x509.Pkcs10CertificateRequest> {
  try {
    const request = new x509.Pkcs10CertificateRequest(csrPem)
    if (await request.verify()) return request
  } catch (cause) {
    throw new SwarmError('invalid-argument', 'the certificate request cannot be read', { cause })
  }
  throw new SwarmError('invalid-argument', 'the certificate request is not signed by its own key')
}

function roleName(claims: CertificateClaims): string {
  return `${OU_PREFIX}${claims.role}`
}

/** Positive and 16 bytes, as certificates want their serial numbers. */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}

async function importKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const base64 = keyPem.replaceAll(/-----[^-]+-----|\s/g, '')
  return webcrypto.subtle.importKey('pkcs8', Buffer.from(base64, 'base64'), ALGORITHM, false, [
    'sign',
  ])
}
