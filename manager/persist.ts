/**
 * Persist: carries out the consensus machine's persist effects on the log, as the consensus thread
 * and the simulator both do. It decides only what goes into one write: effects that wait together
 * become one batch and one sync (DESIGN section 5); a snapshot is written on its own.
 */
import { joinBytes } from '../lib/bytes.ts'
import { isDiskError } from '../lib/disk.ts'
import type { Persist } from './consensus-interface.ts'
import type { Entry, HardState, Snapshot } from './raft/message.ts'
import type { OpenedWal, Wal } from './wal/wal.ts'

/** A snapshot's bytes go to the disk in pieces of this size. */
const CHUNK_BYTES = 256 * 1024

/** Effects on their way to a disk that may be full for a while (docs/log.md). */
export class Persister {
  readonly #wal: Wal
  /** Not durable yet, in order. */
  #waiting: Persist[] = []
  #isFull = false

  constructor(wal: Wal) {
    this.#wal = wal
  }

  /** Whether the last `run` found no space; the next one tries again. */
  get isFull(): boolean {
    return this.#isFull
  }

  add(effects: readonly Persist[]): void {
    this.#waiting.push(...effects)
  }

  /** The last sequence that is durable now; undefined when none became so. Throws as `persistAll`. */
  run(): number | undefined {
    const effects = this.#waiting
    let durable: number | undefined
    this.#isFull = false
    try {
      persistAll(this.#wal, effects, (sequence) => {
        durable = sequence
      })
    } catch (error) {
      if (!isDiskError(error, 'enospc') || this.#wal.isStopped) throw error
      this.#isFull = true
    }
    const isWaiting = (effect: Persist): boolean => effect.sequence > (durable ?? 0)
    this.#waiting = effects.filter(isWaiting)
    return durable
  }
}

/**
 * Everything in `effects` is durable afterwards, in order, and `onDurable` was told of each part;
 * returns the last sequence. On a full disk what it was told of is durable and the rest may be tried
 * again, unless the log has stopped; after any other error the node must end.
 */
export function persistAll(
  wal: Wal,
  effects: readonly Persist[],
  onDurable: (sequence: number) => void = () => undefined,
): number {
  let sequence = 0
  let batch: { hardState: HardState | undefined; entries: readonly Entry[]; mustSync: boolean } =
    newBatch()
  const flush = (): void => {
    if (batch.hardState !== undefined || batch.entries.length > 0) {
      wal.append({ hardState: batch.hardState, entries: batch.entries })
      if (batch.mustSync) wal.sync()
    }
    batch = newBatch()
    if (sequence > 0) onDurable(sequence)
  }
  for (const effect of effects) {
    if (effect.snapshot !== undefined) {
      flush()
      wal.saveSnapshot(metaOf(effect.snapshot), chunksOf(effect.snapshot.data), {
        hardState: effect.hardState,
        entries: effect.entries,
        snapshotReplacesLog: true,
      })
    } else if (effect.compaction !== undefined) {
      flush()
      compact(wal, effect.compaction)
    } else {
      batch = {
        hardState: effect.hardState ?? batch.hardState,
        entries: joinEntries(batch.entries, effect.entries),
        mustSync: batch.mustSync || effect.mustSync,
      }
    }
    sequence = effect.sequence
    // What comes after it may find the disk full: what stands alone must not be done again.
    const isAlone = effect.snapshot !== undefined || effect.compaction !== undefined
    if (isAlone) onDurable(sequence)
  }
  flush()
  return sequence
}

/** The newest snapshot of an opened log with its bytes; undefined when there is none. */
export function loadSnapshot(opened: OpenedWal): Snapshot | undefined {
  if (opened.snapshot === undefined) return undefined
  const data = joinBytes([...opened.wal.readSnapshot()])
  const { index, term, confState } = opened.snapshot
  return { index, term, confState, data }
}

/** A full disk costs the snapshot, not the node: the log is only longer than it need be. */
function compact(wal: Wal, compaction: NonNullable<Persist['compaction']>): void {
  const { snapshot, compactIndex, oldSnapshots } = compaction
  try {
    wal.saveSnapshot(metaOf(snapshot), chunksOf(snapshot.data))
  } catch (error) {
    if (isDiskError(error, 'enospc')) return
    throw error
  }
  wal.compact(compactIndex, oldSnapshots)
}

function metaOf(snapshot: Snapshot): Pick<Snapshot, 'index' | 'term' | 'confState'> {
  return { index: snapshot.index, term: snapshot.term, confState: snapshot.confState }
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES)
}

/** The later entries void what the earlier ones hold at their indexes. */
function joinEntries(earlier: readonly Entry[], later: readonly Entry[]): readonly Entry[] {
  const first = later[0]
  if (first === undefined) return earlier
  return [...earlier.filter((entry) => entry.index < first.index), ...later]
}

function newBatch(): {
  hardState: HardState | undefined
  entries: readonly Entry[]
  mustSync: boolean
} {
  return { hardState: undefined, entries: [], mustSync: false }
}
