/**
 * A node's identity on disk, `STATE/identity/`: its key and certificate, the root it trusts, and
 * what it needs to find its way back into the cluster. Files are written whole, synced and renamed,
 * mode 0600. `node.json` makes the others count: it comes last and goes first. Key and certificate
 * share a file, so that a crash in a renewal leaves the old pair or the new one. It decides nothing;
 * joining and renewal are in `join.ts` and `node.ts`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SwarmError } from '../lib/errors.ts'
import type { CertificateClaims } from '../manager/ca/signer.ts'
import { isIssuedBy, isKeyOf, readClaims } from './io/certificate.ts'
import { removeFileSafely, writeFileSafely } from './io/safe-file.ts'

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
  /** Of the group that it belongs to, or belonged to last: force-new-cluster begins the next one. */
  readonly epoch: number
  /** A later epoch, in which this member has no part: its log must not be used. 0: there is none. */
  readonly shutOutBy: number
  readonly listenAddr: string
  readonly raftListenAddr: string
  readonly advertiseAddr: string
  /** Control addresses of managers, host:port. */
  readonly managers: readonly string[]
}

/** In the state directory: how far this member's log was safe (`manager/wal/mark.ts`). */
export const LOG_MARK = 'identity/log.mark'

/** Of every cluster until its first force-new-cluster. */
export const EPOCH_FIRST = 1

/** Folders of logs that are kept but not used any more. */
export const SET_ASIDE_PREFIX = 'raft.set-aside-'

const FOLDER = 'identity'
const PLACE_FILE = 'node.json'
const REMEDY =
  'restore the folder, or remove it and join again (on a manager: remove the node from the cluster first)'

/** The identity of this state directory, or undefined when the node is in no cluster. */
export function loadIdentity(stateDirectory: string): Identity | undefined {
  const folder = join(stateDirectory, FOLDER)
  if (!existsSync(join(folder, PLACE_FILE))) return undefined
  const { keyPem, certificatePem } = splitPair(read(folder, 'node.pem'), folder)
  const rootPem = read(folder, 'root.crt')
  if (!isKeyOf(keyPem, certificatePem))
    throw new SwarmError(
      'data-loss',
      `the key and the certificate in ${folder}/node.pem do not belong together: ${REMEDY}`,
    )
  if (!isIssuedBy(certificatePem, rootPem))
    throw new SwarmError(
      'data-loss',
      `${folder}/node.pem was not issued by root.crt beside it: ${REMEDY}`,
    )
  return {
    keyPem,
    certificatePem,
    rootPem,
    claims: readClaims(certificatePem),
    place: parsePlace(read(folder, PLACE_FILE), folder),
  }
}

/** The identity is on disk, whole: a crash on the way leaves the old one or this one. */
export function saveIdentity(stateDirectory: string, identity: Identity): void {
  const folder = join(stateDirectory, FOLDER)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSafely(join(folder, 'root.crt'), identity.rootPem)
  writeFileSafely(join(folder, 'node.pem'), `${identity.certificatePem.trim()}\n${identity.keyPem}`)
  writeFileSafely(join(folder, PLACE_FILE), `${JSON.stringify(identity.place, undefined, 2)}\n`)
}

/** Nothing of keys, log or tasks is left of a life in a cluster, also where a crash had begun this. */
export function removeIdentity(stateDirectory: string): void {
  // A manager must never come back as itself with a log that is gone: it might vote twice.
  removeFileSafely(join(stateDirectory, FOLDER, PLACE_FILE))
  // Logs that were set aside go too: their key does.
  for (const name of existsSync(stateDirectory) ? readdirSync(stateDirectory) : [])
    if (name === 'raft' || name.startsWith(SET_ASIDE_PREFIX))
      rmSync(join(stateDirectory, name), { recursive: true, force: true })
  rmSync(join(stateDirectory, 'agent'), { recursive: true, force: true })
  rmSync(join(stateDirectory, FOLDER), { recursive: true, force: true })
}

function read(folder: string, name: string): string {
  try {
    return readFileSync(join(folder, name), 'utf8')
  } catch (cause) {
    throw new SwarmError('data-loss', `${folder}/${name} cannot be read: ${REMEDY}`, { cause })
  }
}

function splitPair(
  text: string,
  folder: string,
): { readonly keyPem: string; readonly certificatePem: string } {
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----\n?/g) ?? []
  const certificatePem = blocks.find((block) => block.includes('BEGIN CERTIFICATE'))
  const keyPem = blocks.find((block) => block.includes('PRIVATE KEY'))
  if (certificatePem === undefined || keyPem === undefined)
    throw new SwarmError(
      'data-loss',
      `${folder}/node.pem holds no certificate or no key: ${REMEDY}`,
    )
  return { keyPem, certificatePem }
}

function parsePlace(text: string, folder: string): Place {
  const found = parseObject(text)
  const raftId = found?.get('raftId')
  const managers = found?.get('managers')
  // Files of versions before there was a second epoch have neither.
  const epoch = found?.get('epoch') ?? EPOCH_FIRST
  const shutOutBy = found?.get('shutOutBy') ?? 0
  const texts = ['listenAddr', 'raftListenAddr', 'advertiseAddr'].map((key) => found?.get(key))
  const [listenAddr, raftListenAddr, advertiseAddr] = texts
  if (
    !isCount(raftId) ||
    !isCount(epoch) ||
    !isCount(shutOutBy) ||
    typeof listenAddr !== 'string' ||
    typeof raftListenAddr !== 'string' ||
    typeof advertiseAddr !== 'string' ||
    !isTexts(managers)
  )
    throw new SwarmError('data-loss', `${folder}/${PLACE_FILE} is damaged: ${REMEDY}`)
  return { raftId, epoch, shutOutBy, listenAddr, raftListenAddr, advertiseAddr, managers }
}

function parseObject(text: string): ReadonlyMap<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null
      ? new Map<string, unknown>(Object.entries(parsed))
      : undefined
  } catch {
    return undefined
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value)
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
