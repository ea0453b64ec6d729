/**
 * StateSeal: what the agent keeps on disk is sealed with a key of its own, a file of mode 0600
 * beside it. That protects copies of `agent/`, not the disk (DESIGN section 10). AES-256-GCM with a
 * random nonce: a state is written a few thousand times in a key's life, far below its limit.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { KEY_BYTES, NONCE_BYTES, newSealKey, open, seal } from '../../lib/crypto.ts'
import { SwarmError } from '../../lib/errors.ts'
import { writeFileSafely } from './safe-file.ts'

export type StateSeal = {
  seal(plain: Uint8Array): Uint8Array
  /** `data-loss` naming the file when it was damaged or sealed with another key. */
  open(sealed: Uint8Array, path: string): Uint8Array
}

/** The bytes of a key file, made when it is not there. */
export function loadKey(path: string): Uint8Array {
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSafely(path, randomBytes(KEY_BYTES))
  }
  const key = readFileSync(path)
  if (key.length !== KEY_BYTES)
    throw new SwarmError(
      'data-loss',
      `${path} is no key: it has ${key.length} bytes instead of ${KEY_BYTES}`,
    )
  return key
}

export function newStateSeal(key: Uint8Array): StateSeal {
  const sealKey = newSealKey(key)
  return {
    seal: (plain) => {
      const nonce = randomBytes(NONCE_BYTES)
      return Buffer.concat([nonce, seal(sealKey, plain, { nonce })])
    },
    open: (sealed, path) => {
      const nonce = sealed.subarray(0, NONCE_BYTES)
      const isWhole = nonce.length === NONCE_BYTES
      const plain = isWhole ? open(sealKey, sealed.subarray(NONCE_BYTES), { nonce }) : undefined
      if (plain !== undefined) return plain
      throw new SwarmError(
        'data-loss',
        `${path} is damaged or sealed with another key: leave and join again`,
      )
    },
  }
}
