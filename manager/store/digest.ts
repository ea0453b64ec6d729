/**
 * Digest: a 128-bit multiset hash of all objects, for managers to find out that they differ
 * (DESIGN section 5). It is the sum, word by word modulo 2^32, of a hash of each object's bytes as a
 * snapshot carries them, so the order of what happened does not matter, and an object can be taken
 * out again. It is no defence against someone who makes up objects, and need not be.
 * Hashing is dear, and objects change several times in a row: a change only notes which object it
 * was, and hashes are computed once for many changes. What was added for an object is kept, so that
 * it is not computed again to be taken out (docs/store.md has the figures).
 */
import { sha256 } from '../../lib/crypto.ts'
import { type StoreChange, writeStoreChange } from '../../proto/gen/store.ts'
import { encodePassing } from '../../proto/wire.ts'
import { TABLE_NAMES } from './schema.ts'
import type { TableName } from './view.ts'

export const DIGEST_BYTES = 16
const WORDS = DIGEST_BYTES / 4

/** How many changed objects may wait for their hashes after an entry: a few milliseconds of work. */
const STALE_MAX = 512
const SLOTS_MIN = 256

/** An object as a StoreChange carries it, or undefined where there is none. */
export type Body = StoreChange['object']

/** Gives the object as it is now. */
export type FindBody = (table: TableName, id: string) => Body

export class Digest {
  /** The sums; it counts a stale object as it was before. */
  readonly #words = new Uint32Array(WORDS)
  /** What each object that is counted adds, so many words from its slot on. */
  #hashes = new Uint32Array(SLOTS_MIN * WORDS)
  readonly #slots: ReadonlyMap<TableName, Map<string, number>> = newByTable(() => new Map())
  /** Slots of objects that are gone. */
  readonly #free: number[] = []
  #slotCount = 0
  readonly #stale: ReadonlyMap<TableName, Set<string>> = newByTable(() => new Set())

  /** Adds an object that is new and will be counted at once. */
  add(table: TableName, id: string, body: NonNullable<Body>): void {
    this.#count(this.#newSlot(table, id), body)
  }

  /** The object is new, has changed, or is gone. */
  noteChange(table: TableName, id: string): void {
    this.#stale.get(table)?.add(id)
  }

  /** To be called when all changes of an entry are noted: not too many are left waiting. */
  bound(find: FindBody): void {
    let count = 0
    for (const ids of this.#stale.values()) count += ids.size
    if (count > STALE_MAX) this.#settle(find)
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
    for (const [table, ids] of this.#stale) {
      for (const id of ids) this.#recount(table, id, find(table, id))
      ids.clear()
    }
  }

  #recount(table: TableName, id: string, body: Body): void {
    const known = this.#slots.get(table)?.get(id)
    if (known !== undefined) this.#discount(known)
    if (body !== undefined) this.#count(known ?? this.#newSlot(table, id), body)
    else if (known !== undefined) {
      this.#slots.get(table)?.delete(id)
      this.#free.push(known)
    }
  }

  #count(slot: number, object: NonNullable<Body>): void {
    const hash = sha256(encodePassing({ kind: 'create', object }, writeStoreChange))
    const words = new DataView(hash.buffer, hash.byteOffset)
    for (let i = 0; i < WORDS; i++) {
      const word = words.getUint32(i * 4, true)
      this.#hashes[slot + i] = word
      this.#words[i] = (this.#words[i] ?? 0) + word
    }
  }

  #discount(slot: number): void {
    for (let i = 0; i < WORDS; i++)
      this.#words[i] = (this.#words[i] ?? 0) - (this.#hashes[slot + i] ?? 0)
  }

  #newSlot(table: TableName, id: string): number {
    const slot = this.#free.pop() ?? WORDS * this.#slotCount++
    this.#slots.get(table)?.set(id, slot)
    if (slot < this.#hashes.length) return slot
    const grown = new Uint32Array(2 * this.#hashes.length)
    grown.set(this.#hashes)
    this.#hashes = grown
    return slot
  }
}

function newByTable<T>(make: () => T): ReadonlyMap<TableName, T> {
  return new Map(TABLE_NAMES.map((name) => [name, make()]))
}
