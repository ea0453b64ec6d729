/**
 * Making and reading certificates: names, life, who issued, and that TLS agrees with both. The
 * library that makes them and the platform that reads them check each other.
 */
import { createPublicKey, X509Certificate } from 'node:crypto'
import { connect, createServer } from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import type { CertificateClaims, KeyAndCertificate } from '../../manager/ca/signer.ts'
import { digestOf, isIssuedBy, isKeyOf, readClaims } from './certificate.ts'
import { newSigner } from './signer.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const claims: CertificateClaims = {
  nodeId: 'n0de0000000000000000000id',
  role: 'manager',
  clusterId: 'c1uster00000000000000000i',
  notBeforeMs: NOW_MS - 3_600_000,
  notAfterMs: NOW_MS + 7_776_000_000,
}
const signer = newSigner()
let root: KeyAndCertificate
let foreignRoot: KeyAndCertificate
let request: { readonly keyPem: string; readonly csrPem: string }
let manager: string
let worker: string

beforeAll(async () => {
  root = await signer.createRoot(NOW_MS)
  foreignRoot = await signer.createRoot(NOW_MS)
  request = await signer.createRequest()
  manager = await signer.sign(request.csrPem, claims, root)
  worker = await signer.sign(request.csrPem, { ...claims, role: 'worker' }, root)
})

describe('root', () => {
  test('is a certificate authority for 20 years under Swarm’s name', () => {
    const certificate = new X509Certificate(root.certificatePem)

    expect(certificate.subject).toBe('CN=swarm-ca')
    expect(certificate.ca).toBe(true)
    expect(certificate.validToDate.getTime() - NOW_MS).toBe(20 * 365 * 24 * 3_600_000)
    expect(isKeyOf(root.keyPem, root.certificatePem)).toBe(true)
  })

  test('has a digest of 50 characters as in join tokens, of its own', () => {
    expect(digestOf(root.certificatePem)).toMatch(/^[0-9a-z]{50}$/)
    expect(digestOf(root.certificatePem)).toBe(
      digestOf(new X509Certificate(root.certificatePem).raw),
    )
    expect(digestOf(root.certificatePem)).not.toBe(digestOf(foreignRoot.certificatePem))
  })
})

describe('certificate of a node', () => {
  test('says what was asked for, whatever the request says', () => {
    expect(readClaims(manager)).toEqual(claims)
    expect(readClaims(worker)).toEqual({ ...claims, role: 'worker' })
  })

  test('names its role for TLS, and the CA for managers only', () => {
    const names = (pem: string): string => new X509Certificate(pem).subjectAltName ?? ''

    expect(names(manager)).toBe(`DNS:swarm-manager, DNS:${claims.nodeId}, DNS:swarm-ca`)
    expect(names(worker)).toBe(`DNS:swarm-worker, DNS:${claims.nodeId}`)
  })

  test('is no authority', () => {
    expect(new X509Certificate(manager).ca).toBe(false)
  })

  test('belongs to the key of the request and to the root that issued it', () => {
    expect(isKeyOf(request.keyPem, manager)).toBe(true)
    expect(isKeyOf(root.keyPem, manager)).toBe(false)
    expect(isKeyOf('nonsense', manager)).toBe(false)
    expect(isIssuedBy(manager, root.certificatePem)).toBe(true)
    expect(isIssuedBy(manager, foreignRoot.certificatePem)).toBe(false)
  })

  test('has a serial number of its own, positive and of 16 bytes', () => {
    const numbers = [manager, worker].map((pem) => new X509Certificate(pem).serialNumber)

    expect(new Set(numbers).size).toBe(2)
    for (const number of numbers) expect(number).toMatch(/^[4-7][0-9A-F]{31}$/)
  })
})

describe('refusals', () => {
  test.each([
    ['text', 'nonsense'],
    ['a certificate', () => manager],
    ['an empty text', ''],
  ])('sign() refuses %s as a request', async (_, csr) => {
    const pem = typeof csr === 'string' ? csr : csr()

    await expect(signer.sign(pem, claims, root)).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  test('sign() refuses a request that another key signed', async () => {
    const der = Buffer.from(request.csrPem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
    // In the signature, which stands last.
    der[der.length - 4] = (der[der.length - 4] ?? 0) ^ 1
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`

    await expect(signer.sign(forged, claims, root)).rejects.toMatchObject({
      code: 'invalid-argument',
    })
  })

  test('readClaims() refuses what is no node’s certificate', () => {
    expect(() => readClaims(root.certificatePem)).toThrow(/not that of a node/)
    expect(() => readClaims('nonsense')).toThrow(/cannot be read/)
  })
})

test('two nodes speak mutual TLS 1.3 over these certificates, by the role’s name', async () => {
  const server = createServer({
    ...{ key: request.keyPem, cert: manager, ca: root.certificatePem },
    ...{ requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
  })
  const seen = new Promise<string>((resolve, reject) => {
    server.on('tlsClientError', reject)
    server.on('secureConnection', (socket) => {
      const certificate = socket.getPeerX509Certificate()
      resolve(certificate === undefined ? '' : readClaims(certificate.raw).role)
      socket.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const client = connect({
    ...{ host: '127.0.0.1', port: typeof address === 'object' ? (address?.port ?? 0) : 0 },
    ...{ key: request.keyPem, cert: worker, ca: root.certificatePem, servername: 'swarm-manager' },
  })
  client.on('error', () => undefined)

  expect(await seen).toBe('worker')
  client.destroy()
  server.close()
})

test('a public key can be read from each private key that is made', () => {
  expect(createPublicKey(request.keyPem).asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
})
