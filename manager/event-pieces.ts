/**
 * Event pieces: what Raft tells main cut into steps that are short. Entries that are committed together
 * may be megabytes after a pause, and applying them all would hold up everything else of the thread:
 * between two pieces the shell looks at the clock. Their order is that of the log.
 */
import type { CommittedEntry, MainEvent } from './consensus-interface.ts'

/** Entries of this size are applied in one go, or a single one that is larger. */
export const PIECE_BYTES = 65_536

/** The same as several events where many entries are committed. */
export function inPieces(event: MainEvent): readonly MainEvent[] {
  if (event.kind !== 'committed') return [event]
  const pieces: CommittedEntry[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const entry of event.entries) {
    if (bytes + entry.data.length > PIECE_BYTES) {
      pieces.push([])
      bytes = 0
    }
    pieces.at(-1)?.push(entry)
    bytes += entry.data.length
  }
  return pieces.map((entries) => ({ kind: 'committed', entries }))
}
