/**
 * Sizes of entries in bytes, for flow control. They are those of etcd's protobuf encoding, so that
 * its limits mean the same here; what the disk and the network really write differs by a few bytes.
 */
import type { ConfChangeV2, Entry } from './message.ts'

/** The encoded size of one entry, its header included. */
export function entrySize(entry: Entry): number {
  const payload = payloadSize(entry)
  const header = 2 + 1 + varintSize(entry.term) + 1 + varintSize(entry.index)
  return payload === 0 ? header : header + 1 + varintSize(payload) + payload
}

export function entriesSize(entries: readonly Entry[]): number {
  let bytes = 0
  for (const entry of entries) bytes += entrySize(entry)
  return bytes
}

/** What was proposed, without term and index; 0 for a leader's first entry. */
export function payloadSize(entry: Entry): number {
  return entry.confChange === undefined ? entry.data.length : confChangeSize(entry.confChange)
}

export function payloadsSize(entries: readonly Entry[]): number {
  let bytes = 0
  for (const entry of entries) bytes += payloadSize(entry)
  return bytes
}

/**
 * The entries of the range (all by default), as many as fit into `bytesMax` together, but at least
 * one if there is one. What is past them is not looked at.
 */
export function limitSize(
  entries: readonly Entry[],
  bytesMax: number,
  { start, end }: { readonly start: number; readonly end: number } = {
    start: 0,
    end: entries.length,
  },
): readonly Entry[] {
  if (bytesMax === Number.POSITIVE_INFINITY) return entries.slice(start, end)
  let bytes = 0
  for (let at = start; at < end; at++) {
    const entry = entries[at]
    if (entry === undefined) break
    bytes += entrySize(entry)
    if (bytes > bytesMax && at > start) return entries.slice(start, at)
  }
  return entries.slice(start, end)
}

function confChangeSize(change: ConfChangeV2): number {
  let bytes = 2
  for (const single of change.changes) bytes += 2 + 2 + 1 + varintSize(single.nodeId)
  const context = change.context.length
  return context === 0 ? bytes : bytes + 1 + varintSize(context) + context
}

function varintSize(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}
