/**
 * StateSeal: what the agent keeps on disk is sealed with a key of its own, a file of mode 0600
 * beside it. That protects copies of `agent/`, not the disk (DESIGN section 10). AES-256-GCM with a
 * random nonce: a state is written a few thousand times in a key's life, far below its limit.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'
import { writeFileSafely } from './safe-file.ts'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

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
  return {
    seal: (plain) => {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, key, nonce)
      const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
      return Buffer.concat([nonce, sealed, cipher.getAuthTag()])
    },
    open: (sealed, path) => {
      try {
        const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, NONCE_BYTES))
        decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
        const body = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)
        return Buffer.concat([decipher.update(body), decipher.final()])
      } catch (cause) {
        throw new SwarmError(
          'data-loss',
          `${path} is damaged or sealed with another key: leave and join again`,
          { cause },
        )
      }
    },
  }
}
