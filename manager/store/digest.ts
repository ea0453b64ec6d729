/**
 * Digest: a 128-bit multiset hash of all objects, for managers to find out that they differ
 * (DESIGN section 5). It is the sum, word by word modulo 2^32, of a hash of each object's bytes as a
 * snapshot carries them, so the order of what happened does not matter, and an object can be taken
 * out again. It is no defence against someone who makes up objects, and need not be.
 * Hashing is dear, and objects change several times in a row: a change only notes what the object
 * was, and hashes are computed once for many changes (docs/store.md has the figures).
 */
import { sha256 } from '../../lib/crypto.ts'
import { encodeStoreChange, type StoreChange } from '../../proto/gen/store.ts'
import type { TableName } from './view.ts'

export const DIGEST_BYTES = 16

/** How many changed objects may wait for their hashes after an entry: a few milliseconds of work. */
const STALE_MAX = 512

/** An object as a StoreChange carries it, or undefined where there is none. */
export type Body = StoreChange['object']

/** Gives the object as it is now. */
export type FindBody = (table: TableName, id: string) => Body

type Stale = { readonly table: TableName; readonly id: string; readonly before: Body }

export class Digest {
  /** The sums; it counts a stale object as it was before. */
  readonly #words = new Uint32Array(DIGEST_BYTES / 4)
  readonly #stale = new Map<string, Stale>()

  /** Adds an object that is new and will be counted at once. */
  add(body: Body): void {
    this.#count(body, 1)
  }

  /** The object has changed; `before` is what it was, undefined if it is new. */
  noteChange(stale: Stale): void {
    const key = `${stale.table}/${stale.id}`
    if (!this.#stale.has(key)) this.#stale.set(key, stale)
  }

  /** To be called when all changes of an entry are noted: not too many are left waiting. */
  bound(find: FindBody): void {
    if (this.#stale.size > STALE_MAX) this.#settle(find)
  }

  /** The digest of everything, as 16 bytes. */
  bytes(find: FindBody): Uint8Array {
    this.#settle(find)
    const bytes = new Uint8Array(DIGEST_BYTES)
    const out = new DataView(bytes.buffer)
    this.#words.forEach((word, i) => {
      out.setUint32(i * 4, word, true)
    })
    return bytes
  }

  /** What `find` gives must be what was noted last, so never between two changes of an entry. */
  #settle(find: FindBody): void {
    for (const { table, id, before } of this.#stale.values()) {
      this.#count(before, -1)
      this.#count(find(table, id), 1)
    }
    this.#stale.clear()
  }

  #count(body: Body, sign: 1 | -1): void {
    if (body === undefined) return
    const hash = sha256(encodeStoreChange({ kind: 'create', object: body }))
    const words = new DataView(hash.buffer, hash.byteOffset)
    this.#words.forEach((word, i) => {
      this.#words[i] = word + sign * words.getUint32(i * 4, true)
    })
  }
}
