/**
 * Digest: a 128-bit multiset hash of all objects, for managers to find out that they differ
 * (DESIGN section 5). It is the sum, word by word modulo 2^32, of a hash of each object's bytes as a
 * snapshot carries them, so the order of what happened does not matter, and an object can be taken
 * out again. It is no defence against someone who makes up objects, and need not be.
 * Hashing is dear, and objects change several times in a row: a change only notes which object it
 * was. Whoever wants the digest of a moment makes a cut: the objects noted until then are counted
 * as they were then, a few at a time, while the state goes on. What was added for an object is
 * kept, so that it is not computed again to be taken out (docs/store.md has the figures).
 */
import { defined } from '../../lib/assert.ts'
import { sha256 } from '../../lib/crypto.ts'
import { type StoreChange, writeStoreChange } from '../../proto/gen/store.ts'
import { encodePassing } from '../../proto/wire.ts'
import { TABLE_NAMES } from './schema.ts'
import type { TableName } from './view.ts'

export const DIGEST_BYTES = 16
const WORDS = DIGEST_BYTES / 4

const SLOTS_MIN = 256

/** An object as a StoreChange carries it, or undefined where there is none. */
export type Body = StoreChange['object']

/** Gives the object as it is now. */
export type FindBody = (table: TableName, id: string) => Body

/** Ids of objects that changed, by table. */
type Stale = ReadonlyMap<TableName, Set<string>>

/** The state at one moment, of which the digest is wanted. */
export interface Cut {
  /** Undefined until all objects that had changed until then are counted. */
  readonly digest: Uint8Array | undefined
}

class Pending implements Cut {
  digest: Uint8Array | undefined
  /** Not counted yet, or as they were at the cut before. */
  readonly stale: Stale
  /** Gives objects as they were at this cut. */
  readonly find: FindBody

  constructor(stale: Stale, find: FindBody) {
    this.stale = stale
    this.find = find
  }
}

export class Digest {
  /** The sums; it counts a stale object as it was before. */
  readonly #words = new Uint32Array(WORDS)
  /** What each object that is counted adds, so many words from its slot on. */
  #hashes = new Uint32Array(SLOTS_MIN * WORDS)
  readonly #slots: ReadonlyMap<TableName, Map<string, number>> = newByTable(() => new Map())
  /** Slots of objects that are gone. */
  readonly #free: number[] = []
  #slotCount = 0
  /** What changed since the last cut. */
  #stale: Stale = newByTable(() => new Set())
  /** Cuts that are not counted, oldest first. */
  #cuts: readonly Pending[] = []

  /** Adds an object that is new and will be counted at once. */
  add(table: TableName, id: string, body: NonNullable<Body>): void {
    this.#count(this.#newSlot(table, id), body)
  }

  /** The object is new, has changed, or is gone. */
  noteChange(table: TableName, id: string): void {
    this.#stale.get(table)?.add(id)
  }

  /**
   * Wants the digest of what is noted until now; `find` goes on to give objects as they are now. It
   * must not be called between two changes of an entry.
   */
  cut(find: FindBody): Cut {
    const made = new Pending(this.#stale, find)
    this.#stale = newByTable(() => new Set())
    this.#cuts = [...this.#cuts, made]
    return made
  }

  /** Counts up to `count` objects for the cuts that wait. */
  settle(count: number): void {
    let left = count
    for (let cut = this.#cuts[0]; cut !== undefined; cut = this.#cuts[0]) {
      left -= this.#settleSome(cut, left)
      if (left <= 0 && !isSettled(cut.stale)) return
      cut.digest = this.#sum()
      this.#cuts = this.#cuts.slice(1)
    }
  }

  /** The digest of everything as `find` gives it now, as 16 bytes. All cuts are counted then, too. */
  bytes(find: FindBody): Uint8Array {
    const now = this.cut(find)
    this.settle(Number.POSITIVE_INFINITY)
    return defined(now.digest, 'nothing is left to be counted')
  }

  /** How many were counted. */
  #settleSome({ stale, find }: Pending, max: number): number {
    let count = 0
    for (const [table, ids] of stale) {
      for (const id of ids) {
        if (count >= max) return count
        this.#recount(table, id, find(table, id))
        ids.delete(id)
        count += 1
      }
    }
    return count
  }

  #sum(): Uint8Array {
    const bytes = new Uint8Array(DIGEST_BYTES)
    const out = new DataView(bytes.buffer)
    this.#words.forEach((word, i) => {
      out.setUint32(i * 4, word, true)
    })
    return bytes
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

function isSettled(stale: Stale): boolean {
  for (const ids of stale.values()) if (ids.size > 0) return false
  return true
}

function newByTable<T>(make: () => T): ReadonlyMap<TableName, T> {
  return new Map(TABLE_NAMES.map((name) => [name, make()]))
}
