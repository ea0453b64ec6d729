/** The identity folder: kept whole, refused when damaged, and gone for good; crashes in between. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { KeyAndCertificate } from '../manager/ca/signer.ts'
import { type Identity, loadIdentity, removeIdentity, saveIdentity } from './identity.ts'
import { readClaims } from './io/certificate.ts'
import { newSigner } from './io/signer.ts'

const signer = newSigner()
let root: KeyAndCertificate
let first: Identity
let renewed: Identity
let state: string

beforeAll(async () => {
  root = await signer.createRoot(Date.now())
  first = await newIdentity(root)
  renewed = await newIdentity(root)
})

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'tsswarm-identity-'))
})

afterEach(() => {
  rmSync(state, { recursive: true, force: true })
})

async function newIdentity(issuer: KeyAndCertificate): Promise<Identity> {
  const { keyPem, csrPem } = await signer.createRequest()
  // Certificates count whole seconds.
  const nowMs = Math.floor(Date.now() / 1000) * 1000
  const claims = {
    ...{ nodeId: 'node1', role: 'manager' as const, clusterId: 'cluster1' },
    ...{ notBeforeMs: nowMs - 3_600_000, notAfterMs: nowMs + 7_776_000_000 },
  }
  const certificatePem = await signer.sign(csrPem, claims, issuer)
  return {
    keyPem,
    certificatePem,
    rootPem: issuer.certificatePem,
    claims: readClaims(certificatePem),
    place: {
      raftId: 2 ** 52 + 1,
      epoch: 3,
      shutOutBy: 4,
      listenAddr: '0.0.0.0:2377',
      raftListenAddr: '0.0.0.0:7946',
      advertiseAddr: '[fd00::1]:2377',
      managers: ['10.0.0.1:2377', '[fd00::1]:2377'],
    },
  }
}

function file(name: string): string {
  return join(state, 'identity', name)
}

test('there is no identity before a join', () => {
  expect(loadIdentity(state)).toBeUndefined()
})

test('an identity comes back as it was saved, from files closed to others', () => {
  saveIdentity(state, first)

  const loaded = loadIdentity(state)
  expect(loaded?.claims).toEqual(first.claims)
  expect(loaded?.place).toEqual(first.place)
  expect(loaded?.keyPem.trim()).toBe(first.keyPem.trim())
  expect(loaded?.certificatePem.trim()).toBe(first.certificatePem.trim())
  for (const name of readdirSync(join(state, 'identity')))
    expect(statSync(file(name)).mode & 0o777).toBe(0o600)
})

test('a crash at any write of a renewal leaves a whole identity', () => {
  saveIdentity(state, first)
  const before = new Map(
    readdirSync(join(state, 'identity')).map((name) => [name, readFileSync(file(name))]),
  )
  saveIdentity(state, renewed)

  // Of the files of the new identity, those written before the crash are there.
  const written = ['root.crt', 'node.pem', 'node.json']
  for (let count = 0; count <= written.length; count++) {
    for (const name of written.slice(count)) writeFileSync(file(name), before.get(name) ?? '')
    expect([first.certificatePem.trim(), renewed.certificatePem.trim()]).toContain(
      loadIdentity(state)?.certificatePem.trim(),
    )
    saveIdentity(state, renewed)
  }
})

test('a crash at any write of a join leaves a node that is in no cluster, or in it', () => {
  saveIdentity(state, first)
  rmSync(file('node.json'))

  expect(loadIdentity(state)).toBeUndefined()
})

test('a key that does not belong to the certificate is refused', () => {
  saveIdentity(state, first)
  writeFileSync(file('node.pem'), `${first.certificatePem}\n${renewed.keyPem}`)

  expect(() => loadIdentity(state)).toThrow(/do not belong together/)
})

test('a certificate of another root is refused', async () => {
  const foreign = await newIdentity(await signer.createRoot(Date.now()))
  saveIdentity(state, { ...first, rootPem: foreign.rootPem })

  expect(() => loadIdentity(state)).toThrow(/was not issued by root\.crt/)
})

test.each([
  ['node.pem', ''],
  ['node.pem', 'nonsense'],
  ['node.json', ''],
  ['node.json', '[]'],
  ['node.json', '{"raftId":"1"}'],
  [
    'node.json',
    '{"raftId":1.5,"listenAddr":"","raftListenAddr":"","advertiseAddr":"","managers":[]}',
  ],
  [
    'node.json',
    '{"raftId":1,"listenAddr":"","raftListenAddr":"","advertiseAddr":"","managers":[1]}',
  ],
])('a damaged %s is refused with its path (%j)', (name, content) => {
  saveIdentity(state, first)
  writeFileSync(file(name), content)

  expect(() => loadIdentity(state)).toThrow(file(name))
})

test('a missing file is refused with its path', () => {
  saveIdentity(state, first)
  rmSync(file('root.crt'))

  expect(() => loadIdentity(state)).toThrow(file('root.crt'))
})

test('removeIdentity() leaves nothing of a life in a cluster, and the rest alone', () => {
  saveIdentity(state, first)
  for (const folder of ['raft', 'agent', 'containerd']) mkdirSync(join(state, folder))
  copyFileSync(file('node.pem'), join(state, 'raft', '1.segment'))

  removeIdentity(state)
  removeIdentity(state)

  expect(readdirSync(state)).toEqual(['containerd'])
  expect(existsSync(join(state, 'identity'))).toBe(false)
})

test('a node.json from before there were epochs is of the first one', () => {
  saveIdentity(state, first)
  const { epoch: _, shutOutBy: __, ...older } = first.place
  writeFileSync(file('node.json'), JSON.stringify(older))

  expect(loadIdentity(state)?.place).toEqual({ ...older, epoch: 1, shutOutBy: 0 })
})
