/**
 * Hash, HMAC, HKDF and authenticated encryption, all of `node:crypto`; nothing here is our own
 * cipher. It is the one file of `lib` that may import a `node:*` module, and it stays pure: the
 * same input gives the same output, for keys, salts and nonces are given by the caller. Whoever
 * seals owns the rule that a nonce is never used twice under one key (DESIGN sections 5 and 10).
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto'
import { assert } from './assert.ts'

export const SHA256_BYTES = 32
export const KEY_BYTES = 32
export const NONCE_BYTES = 12
/** How much longer sealed bytes are than their plaintext: GCM's tag, which stands at the end. */
export const TAG_BYTES = 16

const NOTHING = new Uint8Array(0)

/** The SHA-256 of the bytes: 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return plain(hash('sha256', bytes, 'buffer'))
}

/** The HMAC-SHA-256 of the bytes: 32 bytes. */
export function hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return plain(createHmac('sha256', key).update(bytes).digest())
}

export type HkdfOptions = {
  readonly salt: Uint8Array
  /** What the derived key is for; keys for different purposes are independent. */
  readonly info: string
  readonly lengthBytes: number
}

/** A key derived from `key` by HKDF-SHA-256 (RFC 5869). */
export function hkdfSha256(key: Uint8Array, options: HkdfOptions): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, options.salt, options.info, options.lengthBytes))
}

/** A key made ready for many uses: `seal` and `open` take it in a third of the time. */
export type SealKey = KeyObject

export function newSealKey(key: Uint8Array): SealKey {
  assert(key.length === KEY_BYTES, 'a key has 32 bytes', { length: key.length })
  return createSecretKey(key)
}

export type SealOptions = {
  /** 12 bytes, never the same twice under one key. */
  readonly nonce: Uint8Array
  /** Bytes that are not encrypted but must be the same when opened. */
  readonly associated?: Uint8Array
}

/** The AES-256-GCM ciphertext, followed by its tag of 16 bytes. */
export function seal(
  key: Uint8Array | SealKey,
  plaintext: Uint8Array,
  options: SealOptions,
): Uint8Array {
  assertSizes(key, options.nonce)
  const cipher = createCipheriv('aes-256-gcm', key, options.nonce)
  cipher.setAAD(options.associated ?? NOTHING)
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES)
  sealed.set(cipher.update(plaintext))
  cipher.final()
  sealed.set(cipher.getAuthTag(), plaintext.length)
  return sealed
}

/** The plaintext, or undefined where key, nonce, associated or sealed bytes are not the same. */
export function open(
  key: Uint8Array | SealKey,
  sealed: Uint8Array,
  options: SealOptions,
): Uint8Array | undefined {
  assertSizes(key, options.nonce)
  if (sealed.length < TAG_BYTES) return undefined
  const textLength = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, options.nonce)
  decipher.setAAD(options.associated ?? NOTHING)
  decipher.setAuthTag(sealed.subarray(textLength))
  const plaintext = plain(decipher.update(sealed.subarray(0, textLength)))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plaintext
}

/** Whether both hold the same bytes, in a time that depends on their lengths only. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right)
}

function assertSizes(key: Uint8Array | SealKey, nonce: Uint8Array): void {
  const length = key instanceof Uint8Array ? key.length : key.symmetricKeySize
  assert(length === KEY_BYTES, 'a key has 32 bytes', { length })
  assert(nonce.length === NONCE_BYTES, 'a nonce has 12 bytes', { length: nonce.length })
}

/** Without node's Buffer class around it, so that callers see one kind of byte array. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}
