/**
 * Store: the replicated state of one manager. It applies log entries in order, fills each object's
 * `meta`, tells the watch feed, and gives views that never change. At most one working view is open
 * at a time, the leader's writer's. What goes into an entry was checked by handlers and reconcilers;
 * what does not fit the state here is a bug, and stops the node rather than let managers differ
 * (DESIGN section 5). When to compare digests is decided here, what follows from it is not.
 */
import { assert } from '../../lib/assert.ts'
import { equalBytes } from '../../lib/crypto.ts'
import { emptyMeta, type Meta } from '../../proto/gen/objects.ts'
import { type DigestCheck, emptyDigestCheck, type StoreEntry } from '../../proto/gen/store.ts'
import { fromStoreChange, type Put, type Remove } from './change.ts'
import { type Body, type Cut, Digest, type FindBody } from './digest.ts'
import { forkTableSet, newTableSet, type TableSet, viewOf } from './table-set.ts'
import type { TableName, View } from './view.ts'
import { type StoreEvent, WatchFeed } from './watch.ts'
import { Working } from './working.ts'

/** Every manager takes a digest with the first entry at or after a multiple of this index. */
export const DIGEST_INTERVAL = 1_024
/** How many of those it remembers, for a check comes later than what it is about. */
const DIGESTS_MAX = 8
/** Objects that are hashed with each entry while a digest is wanted: about two milliseconds. */
export const HASHES_PER_ENTRY = 256

/** Everything that a snapshot carries. */
export type StoreState = {
  readonly tables: TableSet
  readonly index: number
  readonly timeMs: number
  readonly digest: Digest
}

/**
 * What became of the entry's digest check: it had none, it is equal to ours, it is not, or we do not
 * know any more what ours was then.
 */
export type CheckResult = 'none' | 'equal' | 'different' | 'unknown'

export class Store {
  readonly feed: WatchFeed = new WatchFeed()
  #tables: TableSet
  /** Of the last applied entry; 0 before the first. */
  #index: number
  #timeMs: number
  #digest: Digest
  /** The last digests taken, oldest first. */
  #digests: readonly DigestCheck[] = []
  /** The one that is being counted, and of which index it is. */
  #counting: { readonly index: number; readonly cut: Cut } | undefined
  /** The view of `#index`, once somebody asked for it. */
  #view: View | undefined
  #working: Working | undefined
  /** The one made last. */
  #meta: Meta = emptyMeta
  readonly #find: FindBody = (table, id) => bodyIn(this.#tables, table, id)

  constructor(state: StoreState = newStoreState()) {
    this.#tables = state.tables
    this.#index = state.index
    this.#timeMs = state.timeMs
    this.#digest = state.digest
  }

  /**
   * Afterwards the state is that of `index`, which must be above the last one, and the entry's
   * cluster time not below. SwarmError 'unimplemented', with nothing applied, when the entry holds
   * what this version does not know.
   */
  apply(index: number, entry: StoreEntry): CheckResult {
    assert(index > this.#index, 'entries are applied in order', { index, last: this.#index })
    assert(entry.timeMs >= this.#timeMs, 'cluster time never goes back', {
      index,
      timeMs: entry.timeMs,
      lastMs: this.#timeMs,
    })
    const changes = entry.changes.map(fromStoreChange)
    const isDigestDue = index - (index % DIGEST_INTERVAL) > this.#index
    this.#index = index
    this.#timeMs = entry.timeMs
    this.#view = undefined
    const events = changes.map((change) =>
      change.kind === 'remove' ? this.#remove(change) : this.#put(change, entry.wallMs),
    )
    for (const { table, id } of events) this.#digest.noteChange(table, id)
    this.#working?.commit({ index, timeMs: entry.timeMs }, changes)
    if (isDigestDue) this.#beginDigest()
    this.hashSome(HASHES_PER_ENTRY)
    this.feed.publish(index, entry.timeMs, events)
    return this.#checkDigest(entry.digest)
  }

  /** The state as of the last applied entry, frozen. Costs nothing, and may be kept. */
  view(): View {
    this.#view ??= viewOf(this.#tables, this.#index, this.#timeMs)
    return this.#view
  }

  /** A new working view on the applied state. The one before must have been dropped. */
  working(): Working {
    assert(this.#working === undefined, 'a store has one working view at a time')
    const head = { index: this.#index, timeMs: this.#timeMs }
    this.#working = new Working(this.#tables, head, () => {
      this.#working = undefined
    })
    return this.#working
  }

  /** The digest of the applied state. */
  digest(): Uint8Array {
    const digest = this.#digest.bytes(this.#find)
    this.#keepDigest()
    return digest
  }

  /** Wants the digest of the applied state, which `hashSome` counts, while the state goes on. */
  cutDigest(): Cut {
    const tables = forkTableSet(this.#tables)
    return this.#digest.cut((table, id) => bodyIn(tables, table, id))
  }

  /** Hashes up to `count` objects for the digests that are wanted. */
  hashSome(count: number): void {
    this.#digest.settle(count)
    this.#keepDigest()
  }

  /** The newest digest that every manager took at the same index, to be sent in an entry. */
  lastDigest(): DigestCheck | undefined {
    return this.#digests.at(-1)
  }

  /** The digest that was taken at this index; undefined when it is forgotten or never was. */
  findDigest(index: number): Uint8Array | undefined {
    // Who asks would not ask again: then it is counted at once, however much is left of it.
    if (this.#counting?.index === index) this.hashSome(Number.POSITIVE_INFINITY)
    return this.#digests.find((check) => check.index === index)?.digest
  }

  /**
   * Afterwards the state is that of `other`, which is given up: a snapshot was received. No working
   * view may be open, for a leader receives none. Views of before stay as they are.
   */
  replaceBy(other: Store): void {
    assert(this.#working === undefined, 'a leader installs no snapshot')
    assert(other.#index >= this.#index, 'a snapshot does not lead back', {
      index: other.#index,
      last: this.#index,
    })
    this.#tables = other.#tables
    this.#index = other.#index
    this.#timeMs = other.#timeMs
    this.#digest = other.#digest
    this.#digests = []
    this.#counting = undefined
    this.#view = undefined
    this.feed.reset(this.#index)
  }

  #put<K extends TableName>(change: Put<K>, wallMs: number): StoreEvent<K> {
    const table = this.#tables[change.table]
    const id = change.object.id
    if (change.kind === 'create') {
      const after = { ...change.object, meta: this.#newMeta(wallMs, wallMs) }
      table.create(after)
      return { kind: 'create', table: change.table, id, before: undefined, after }
    }
    const { before, after } = table.replace(id, (there) => {
      const createdMs = there.meta?.createdMs ?? wallMs
      return { ...change.object, meta: this.#newMeta(createdMs, wallMs) }
    })
    return { kind: 'update', table: change.table, id, before, after }
  }

  #remove<K extends TableName>({ table, id }: Remove<K>): StoreEvent<K> {
    const before = this.#tables[table].remove(id)
    return { kind: 'remove', table, id, before, after: undefined }
  }

  /** Objects that an entry changes and that were made together have one. */
  #newMeta(createdMs: number, updatedMs: number): Meta {
    const last = this.#meta
    if (last.version === this.#index && last.createdMs === createdMs) return last
    this.#meta = { ...emptyMeta, version: this.#index, createdMs, updatedMs }
    return this.#meta
  }

  /** None while the last one is not counted: then so much changes that it takes several intervals. */
  #beginDigest(): void {
    this.#counting ??= { index: this.#index, cut: this.cutDigest() }
  }

  #keepDigest(): void {
    const digest = this.#counting?.cut.digest
    if (this.#counting === undefined || digest === undefined) return
    const check = { ...emptyDigestCheck, index: this.#counting.index, digest }
    this.#digests = [...this.#digests, check].slice(-DIGESTS_MAX)
    this.#counting = undefined
  }

  #checkDigest(check: DigestCheck | undefined): CheckResult {
    if (check === undefined) return 'none'
    const own = this.findDigest(check.index)
    if (own === undefined) return 'unknown'
    return equalBytes(own, check.digest) ? 'equal' : 'different'
  }
}

function bodyIn<K extends TableName>(tables: TableSet, table: K, id: string): Body {
  return tables[table].wrap(tables[table].get(id))
}

/** The state before the first entry. */
function newStoreState(): StoreState {
  return { tables: newTableSet(), index: 0, timeMs: 0, digest: new Digest() }
}
