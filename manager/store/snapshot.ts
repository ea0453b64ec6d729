/**
 * Snapshot: the applied state as a stream of bytes, and back. The stream is a StoreSnapshotHead and
 * one StoreChange of kind create for each object, table by table in ascending order of id, each
 * preceded by its length; so equal states give equal bytes. Both ways go in steps of one chunk,
 * between which the caller may do something else. A restored store stands beside the one in use
 * until its owner calls `replaceBy`; that it is the state that was saved, the digest shows.
 */
import { assert, defined } from '../../lib/assert.ts'
import { equalBytes } from '../../lib/crypto.ts'
import { SwarmError } from '../../lib/errors.ts'
import {
  decodeStoreChange,
  decodeStoreSnapshotHead,
  emptyStoreSnapshotHead,
  encodeStoreChange,
  encodeStoreSnapshotHead,
  type StoreSnapshotHead,
} from '../../proto/gen/store.ts'
import { EMPTY_BYTES } from '../../proto/wire.ts'
import { fromStoreChange, type Put } from './change.ts'
import { type Cut, Digest } from './digest.ts'
import { SCHEMA, TABLE_NAMES } from './schema.ts'
import { Store } from './store.ts'
import { newTableSet, type TableSet } from './table-set.ts'
import type { TableName, Tables, TableView, View } from './view.ts'

/** Some 200 tasks: a few milliseconds of work on either side. */
export const CHUNK_BYTES_MAX = 65_536

/** As much work as a chunk. */
const HASHES_PER_STEP = 200

/** A record is an object, and none is larger than an entry of the log. */
const RECORD_BYTES_MAX = 2_097_152

/**
 * The store's state as of now, in chunks of at most CHUNK_BYTES_MAX, some of them empty; the store
 * may go on meanwhile, but not become another one by `replaceBy`.
 * The work for a chunk is done when it is asked for.
 */
export function saveSnapshot(store: Store): Generator<Uint8Array, undefined> {
  return stepsOf(store, store.view(), store.cutDigest())
}

/** Empty chunks until the digest, which stands first, is counted. */
function* stepsOf(store: Store, view: View, cut: Cut): Generator<Uint8Array, undefined> {
  while (cut.digest === undefined) {
    store.hashSome(HASHES_PER_STEP)
    yield EMPTY_BYTES
  }
  const head = {
    ...emptyStoreSnapshotHead,
    index: view.index,
    timeMs: view.timeMs,
    digest: cut.digest,
    objectCount: countObjects(view),
  }
  yield* chunksOf(recordsOf(view, head))
}

export class SnapshotReader {
  /** Bytes that are not a whole record yet. */
  #rest: Uint8Array = new Uint8Array(0)
  #head: StoreSnapshotHead | undefined
  #count = 0
  readonly #tables: TableSet = newTableSet()
  readonly #digest: Digest = new Digest()

  /** Takes the next bytes of the stream, cut anywhere. SwarmError 'data-loss' when damaged. */
  feed(chunk: Uint8Array): void {
    const bytes = joined(this.#rest, chunk)
    let position = 0
    for (;;) {
      const record = nextRecord(bytes, position)
      if (record === undefined) break
      this.#take(bytes.subarray(record.start, record.end))
      position = record.end
    }
    this.#rest = bytes.slice(position)
  }

  /** The restored store, once everything was fed. SwarmError 'data-loss' when it is not as saved. */
  finish(): Store {
    const head = this.#head
    if (head === undefined || this.#rest.length > 0)
      throw damaged('it ends in the middle of a record')
    if (this.#count !== head.objectCount)
      throw damaged(`it has ${this.#count} objects instead of ${head.objectCount}`)
    const tables = this.#tables
    const state = { tables, index: head.index, timeMs: head.timeMs, digest: this.#digest }
    const store = new Store(state)
    if (!equalBytes(store.digest(), head.digest)) throw damaged('its digest is another')
    return store
  }

  #take(record: Uint8Array): void {
    if (this.#head === undefined) {
      this.#head = decodeStoreSnapshotHead(record)
      return
    }
    const change = fromStoreChange(decodeStoreChange(record))
    if (change.kind !== 'create') throw damaged(`it has a record of kind ${change.kind}`)
    this.#count += 1
    this.#load(change)
  }

  #load<K extends TableName>(put: Put<K>): void {
    const table = this.#tables[put.table]
    if (table.get(put.object.id) !== undefined)
      throw damaged(`it has ${put.table}/${put.object.id} twice`)
    table.create(put.object)
    const body = defined(table.wrap(put.object), 'a row has an object')
    this.#digest.add(put.table, put.object.id, body)
  }
}

function countObjects(view: View): number {
  return TABLE_NAMES.reduce((count, name) => count + view[name].size, 0)
}

/** The records without their lengths. */
function* recordsOf(view: View, head: StoreSnapshotHead): Generator<Uint8Array, undefined> {
  yield encodeStoreSnapshotHead(head)
  for (const name of TABLE_NAMES) yield* objectsOf(view, name)
}

function* objectsOf<K extends TableName>(
  tables: { readonly [P in TableName]: TableView<Tables[P]> },
  name: K,
): Generator<Uint8Array, undefined> {
  const { wrap } = SCHEMA[name]
  for (const object of tables[name].list())
    yield encodeStoreChange({ kind: 'create', object: wrap(object) })
}

/** The records with their lengths, cut into chunks that are full but for the last. */
function* chunksOf(records: Iterable<Uint8Array>): Generator<Uint8Array, undefined> {
  let chunk = new Uint8Array(CHUNK_BYTES_MAX)
  let length = 0
  for (const record of records) {
    for (const part of [lengthOf(record), record]) {
      for (let from = 0; from < part.length; ) {
        const piece = part.subarray(from, from + CHUNK_BYTES_MAX - length)
        chunk.set(piece, length)
        from += piece.length
        length += piece.length
        if (length < CHUNK_BYTES_MAX) continue
        yield chunk
        chunk = new Uint8Array(CHUNK_BYTES_MAX)
        length = 0
      }
    }
  }
  if (length > 0) yield chunk.slice(0, length)
}

/** The record's length as a varint. */
function lengthOf(record: Uint8Array): Uint8Array {
  assert(record.length <= RECORD_BYTES_MAX, 'an object is within the limits', {
    length: record.length,
  })
  const bytes: number[] = []
  let rest = record.length
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128)
  bytes.push(rest)
  return new Uint8Array(bytes)
}

/** Where the record at `position` is, or undefined while a part of it is missing. */
function nextRecord(
  bytes: Uint8Array,
  position: number,
): { readonly start: number; readonly end: number } | undefined {
  let length = 0
  let start = position
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[start]
    if (byte === undefined) return undefined
    start += 1
    length |= (byte & 127) << shift
    if (length > RECORD_BYTES_MAX || shift > 21) throw damaged(`it has a record of ${length} bytes`)
    if (byte < 128) break
  }
  const end = start + length
  return end > bytes.length ? undefined : { start, end }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second
  const bytes = new Uint8Array(first.length + second.length)
  bytes.set(first)
  bytes.set(second, first.length)
  return bytes
}

function damaged(reason: string): SwarmError {
  return new SwarmError('data-loss', `snapshot is damaged: ${reason}`)
}
