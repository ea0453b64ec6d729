/**
 * A node's identity on disk, `STATE/identity/`: its key and certificate, the root it trusts, and
 * what it needs to find its way back into the cluster. Files are written whole, synced and renamed,
 * mode 0600. It decides nothing; joining and renewal are in `join.ts` and `renewal.ts`.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SwarmError } from '../lib/errors.ts'
import type { CertificateClaims } from '../manager/ca/signer.ts'
import { isIssuedBy, isKeyOf, readClaims } from './io/certificate.ts'
import { writeFileSafely } from './io/safe-file.ts'

export type Identity = {
  readonly keyPem: string
  readonly certificatePem: string
  readonly rootPem: string
  readonly claims: CertificateClaims
  readonly place: Place
}

/** What a restart needs beside keys. */
export type Place = {
  /** Of the data directory `raft/`; 0 where there is none. */
  readonly raftId: number
  readonly listenAddr: string
  readonly raftListenAddr: string
  readonly advertiseAddr: string
  /** Control addresses of managers, host:port. */
  readonly managers: readonly string[]
}

const FOLDER = 'identity'

/** The identity of this state directory, or undefined when the node is in no cluster. */
export function loadIdentity(stateDirectory: string): Identity | undefined {
  const folder = join(stateDirectory, FOLDER)
  if (!existsSync(join(folder, 'node.json'))) return undefined
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const keyPem = read('node.key')
  const certificatePem = read('node.crt')
  const rootPem = read('root.crt')
  if (!isKeyOf(keyPem, certificatePem))
    throw new SwarmError(
      'data-loss',
      `${folder}/node.key does not belong to node.crt: restore both or leave and join again`,
    )
  if (!isIssuedBy(certificatePem, rootPem))
    throw new SwarmError(
      'data-loss',
      `${folder}/node.crt was not issued by root.crt: restore both or leave and join again`,
    )
  return {
    keyPem,
    certificatePem,
    rootPem,
    claims: readClaims(certificatePem),
    place: parsePlace(read('node.json'), folder),
  }
}

/** Key first, then certificate, then what makes them count: a crash leaves the old or the new. */
export function saveIdentity(stateDirectory: string, identity: Identity): void {
  const folder = join(stateDirectory, FOLDER)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSafely(join(folder, 'root.crt'), identity.rootPem)
  writeFileSafely(join(folder, 'node.key'), identity.keyPem)
  writeFileSafely(join(folder, 'node.crt'), identity.certificatePem)
  writeFileSafely(join(folder, 'node.json'), `${JSON.stringify(identity.place, undefined, 2)}\n`)
}

/** The node is in no cluster any more: nothing of keys, log or tasks is left. */
export function removeIdentity(stateDirectory: string): void {
  // The identity goes last but one: a crash in between leaves a node that can leave again.
  rmSync(join(stateDirectory, 'raft'), { recursive: true, force: true })
  rmSync(join(stateDirectory, 'agent'), { recursive: true, force: true })
  rmSync(join(stateDirectory, FOLDER), { recursive: true, force: true })
}

function parsePlace(text: string, folder: string): Place {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) {
      const found = new Map<string, unknown>(Object.entries(parsed))
      const textOf = (key: string): string => String(found.get(key) ?? '')
      const managers = found.get('managers')
      return {
        raftId: Number(found.get('raftId') ?? 0),
        listenAddr: textOf('listenAddr'),
        raftListenAddr: textOf('raftListenAddr'),
        advertiseAddr: textOf('advertiseAddr'),
        managers: Array.isArray(managers) ? managers.map(String) : [],
      }
    }
  } catch (cause) {
    throw new SwarmError('data-loss', `${folder}/node.json cannot be read`, { cause })
  }
  throw new SwarmError('data-loss', `${folder}/node.json cannot be read`)
}
