/**
 * Encryption at rest of log segments and snapshot files. Each file has a key of its own, HKDF of
 * the member's data key and a random salt that stands in the file's first sector, and the nonce of
 * a record is its sequence number; a file is written by one process run, in ascending sequence,
 * and never again, so no nonce is used twice under one key. The header names the data key by its
 * id, so that data keys can be changed while old files still open. Where data keys come from and
 * how they are kept is left to `node/identity.ts`. Byte tables: docs/log.md.
 */
import { assert, defined } from '../../lib/assert.ts'
import { crc32c } from '../../lib/crc32c.ts'
import {
  hkdfSha256,
  KEY_BYTES,
  NONCE_BYTES,
  newSealKey,
  open,
  type SealKey,
  seal,
} from '../../lib/crypto.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'

/** What a disk writes in one piece or not at all: the unit of every rule about torn writes. */
export const SECTOR_BYTES = 512

/** Stands in every file. A higher one is refused with "upgrade first". */
export const FORMAT_VERSION = 1

export type FileType = 'segment' | 'snapshot'

/** Eight letters at the start of a file. */
const MAGIC_BY_TYPE: Readonly<Record<FileType, string>> = {
  segment: 'tsswmlog',
  snapshot: 'tsswmsnp',
}

const VERSION_AT = 8
const KEY_ID_AT = 12
const SALT_AT = 16
const SALT_BYTES = 32
const CRC_AT = SECTOR_BYTES - 4

/** The data keys this member holds, by id; new files are sealed with the current one. */
export type DataKeys = {
  readonly currentId: number
  /** 32 bytes each, from the kernel's generator. */
  readonly keys: ReadonlyMap<number, Uint8Array>
}

/** Damage, as a refusal: the file and the byte where it was found, and why it is not a torn end. */
export function newDamageError(file: string, offset: number, reason: string): SwarmError {
  return new SwarmError(
    'data-loss',
    `"${file}" is damaged at byte ${offset}: ${reason}; this manager's log cannot be trusted: ` +
      'start the daemon once with --rebuild, which gets it anew from the other managers',
    { facts: { kind: 'damage', file, offset, reason } },
  )
}

/** Seals and opens the records of one file. */
export class FileCipher {
  readonly keyId: number
  readonly #key: SealKey
  /** The last sequence sealed. Invariant: only higher ones follow, so no nonce is used twice. */
  #sealedSequence = -1

  constructor(keyId: number, key: Uint8Array) {
    this.keyId = keyId
    this.#key = newSealKey(key)
  }

  seal(sequence: number, plaintext: Uint8Array, associated: Uint8Array): Uint8Array {
    assert(sequence > this.#sealedSequence, 'a nonce is used once', {
      sequence,
      sealedSequence: this.#sealedSequence,
    })
    this.#sealedSequence = sequence
    return seal(this.#key, plaintext, { nonce: nonceOf(sequence), associated })
  }

  /** The plaintext; undefined where the bytes are not what this file's key sealed. */
  open(sequence: number, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined {
    return open(this.#key, sealed, { nonce: nonceOf(sequence), associated })
  }
}

export type FileStart = {
  /** The first sector of the file. */
  readonly header: Uint8Array
  readonly cipher: FileCipher
}

/** The header of a new file, with a new salt, and the cipher that goes with it. */
export function newFileStart(type: FileType, keys: DataKeys, random: Random): FileStart {
  const key = defined(keys.keys.get(keys.currentId), 'the current data key is among the keys')
  const header = new Uint8Array(SECTOR_BYTES)
  const view = new DataView(header.buffer)
  header.set(new TextEncoder().encode(MAGIC_BY_TYPE[type]))
  view.setUint32(VERSION_AT, FORMAT_VERSION)
  view.setUint32(KEY_ID_AT, keys.currentId)
  header.set(random.bytes(SALT_BYTES), SALT_AT)
  view.setUint32(CRC_AT, crc32c(header.subarray(0, CRC_AT)))
  return { header, cipher: newCipher(type, keys.currentId, key, header) }
}

/** The cipher of an existing file, by its first sector; refused where it cannot be opened. */
export function openFileStart(
  type: FileType,
  keys: DataKeys,
  file: { readonly path: string; readonly bytes: Uint8Array },
): FileCipher {
  const header = file.bytes.subarray(0, SECTOR_BYTES)
  if (header.length < SECTOR_BYTES) throw newDamageError(file.path, 0, 'its header is cut off')
  const view = new DataView(header.buffer, header.byteOffset, SECTOR_BYTES)
  if (crc32c(header.subarray(0, CRC_AT)) !== view.getUint32(CRC_AT)) {
    throw newDamageError(file.path, 0, "its header's checksum is wrong")
  }
  if (new TextDecoder().decode(header.subarray(0, VERSION_AT)) !== MAGIC_BY_TYPE[type]) {
    throw newDamageError(file.path, 0, `it is not a ${type} file`)
  }
  refuseNewer(file.path, view.getUint32(VERSION_AT))
  const keyId = view.getUint32(KEY_ID_AT)
  const key = keys.keys.get(keyId)
  if (key === undefined) {
    throw new SwarmError(
      'failed-precondition',
      `"${file.path}" is sealed with data key ${keyId}, which this node does not hold`,
      { facts: { kind: 'unknown-key', file: file.path, keyId } },
    )
  }
  return newCipher(type, keyId, key, header)
}

function newCipher(type: FileType, keyId: number, key: Uint8Array, header: Uint8Array): FileCipher {
  const fileKey = hkdfSha256(key, {
    salt: header.subarray(SALT_AT, SALT_AT + SALT_BYTES),
    info: `tsswarm wal ${type} ${FORMAT_VERSION}`,
    lengthBytes: KEY_BYTES,
  })
  return new FileCipher(keyId, fileKey)
}

function refuseNewer(file: string, version: number): void {
  if (version === FORMAT_VERSION) return
  throw new SwarmError(
    'failed-precondition',
    `"${file}" has format ${version}, but this version knows only ${FORMAT_VERSION}: upgrade first`,
    { facts: { kind: 'newer-format', file, version } },
  )
}

/** Twelve bytes, big-endian: sequence numbers stay below 2^53. */
function nonceOf(sequence: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES)
  new DataView(nonce.buffer).setBigUint64(NONCE_BYTES - 8, BigInt(sequence))
  return nonce
}
