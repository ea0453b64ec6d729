/**
 * Entry: changes as one entry of the log, within its limits (DESIGN section 5: 1 MiB and 2,000
 * changes). It decides where a round is cut: between groups, never inside one, for what happens in
 * one slot must be seen by everybody at once. Who proposes entries is the manager.
 */
import { SwarmError } from '../../lib/errors.ts'
import {
  decodeStoreEntry,
  emptyStoreEntry,
  encodeStoreChange,
  encodeStoreEntry,
  type StoreEntry,
} from '../../proto/gen/store.ts'
import { type Change, changedId, toStoreChange } from './change.ts'
import { slotKey } from './schema.ts'
import type { View } from './view.ts'

export const ENTRY_BYTES_MAX = 1_048_576
export const ENTRY_CHANGES_MAX = 2_000

/** What is left of an entry besides two times and a digest check. */
const CHANGES_BYTES_MAX = ENTRY_BYTES_MAX - 64
/** Tag and length before each change. */
const CHANGE_FRAME_BYTES = 5

/** Cluster time and the leader's wall time, ms. */
export type Stamp = { readonly timeMs: number; readonly wallMs: number }

/** The changes, which must be within the limits, as an entry. */
export function newEntry(changes: readonly Change[], stamp: Stamp): StoreEntry {
  return {
    ...emptyStoreEntry,
    timeMs: stamp.timeMs,
    wallMs: stamp.wallMs,
    changes: changes.map(toStoreChange),
  }
}

/** The changes, which must be within the limits, as the bytes of an entry. */
export function encodeEntry(changes: readonly Change[], stamp: Stamp): Uint8Array {
  return encodeStoreEntry(newEntry(changes, stamp))
}

/** SwarmError 'invalid-argument' when malformed, 'unimplemented' when a newer version wrote it. */
export function decodeEntry(bytes: Uint8Array): StoreEntry {
  return decodeStoreEntry(bytes)
}

/**
 * The changes in groups that must stay together: those of the tasks of one slot, else those of one
 * object, in the order of their first changes. `before` is a view that still has what is removed.
 */
export function groupChanges(
  changes: readonly Change[],
  before: View,
): readonly (readonly Change[])[] {
  const groups = new Map<string, Change[]>()
  for (const change of changes) {
    const key = groupKey(change, before)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [change])
    else group.push(change)
  }
  return [...groups.values()]
}

/**
 * The groups packed into as few entries as their order allows. SwarmError 'resource-exhausted' when
 * a single group is more than an entry holds.
 */
export function splitChanges(
  groups: readonly (readonly Change[])[],
): readonly (readonly Change[])[] {
  const entries: Change[][] = []
  let entry: Change[] = []
  let entryBytes = 0
  for (const group of groups) {
    const bytes = sizeOf(group)
    if (group.length > ENTRY_CHANGES_MAX || bytes > CHANGES_BYTES_MAX) throw tooMuch(group, bytes)
    if (entry.length + group.length > ENTRY_CHANGES_MAX || entryBytes + bytes > CHANGES_BYTES_MAX) {
      entries.push(entry)
      entry = []
      entryBytes = 0
    }
    entry.push(...group)
    entryBytes += bytes
  }
  if (entry.length > 0) entries.push(entry)
  return entries
}

function groupKey(change: Change, before: View): string {
  const id = changedId(change)
  if (change.table !== 'tasks') return `${change.table}/${id}`
  const task = change.kind === 'remove' ? before.tasks.get(id) : change.object
  return `slot/${(task === undefined ? undefined : slotKey(task)) ?? id}`
}

function sizeOf(changes: readonly Change[]): number {
  let bytes = 0
  for (const change of changes)
    bytes += encodeStoreChange(toStoreChange(change)).length + CHANGE_FRAME_BYTES
  return bytes
}

function tooMuch(group: readonly Change[], bytes: number): SwarmError {
  const first = group[0]
  const what = first === undefined ? '' : ` from ${first.table}/${changedId(first)} on`
  return new SwarmError(
    'resource-exhausted',
    `${group.length} changes of ${bytes} bytes${what} are more than a log entry holds: change less at once`,
    { facts: { changes: group.length, bytes } },
  )
}
