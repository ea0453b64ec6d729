/**
 * Mutants of the write-ahead log: what is safe when, how a torn end is told from damage, and the
 * nonces of the seals.
 */
import type { Mutant } from './mutant.ts'

export const logMutants: readonly Mutant[] = [
  {
    name: 'acknowledge-before-fsync',
    file: 'manager/persist.ts',
    search: '      if (batch.mustSync) wal.sync()\n',
    replacement: '',
    caughtBy: 'S7, S5',
    why: 'what a quorum acknowledged is only in its page caches',
  },
  {
    name: 'failed-sync-ignored',
    file: 'manager/wal/wal.ts',
    search: '      this.#disk.sync(this.#writer.path)\n      this.#mark',
    replacement:
      "      try {\n        this.#disk.sync(this.#writer.path)\n      } catch (error) {\n        if (!isDiskError(error, 'eio')) throw error\n      }\n      this.#mark",
    caughtBy: 'S7, S5',
    why: 'after a failed fsync the page cache is lost: what follows it is acknowledged and not there',
  },
  {
    name: 'segment-name-not-synced',
    file: 'manager/wal/wal.ts',
    search: '    this.#disk.rename(spare, path)\n    this.#disk.syncDirectory(this.#directory)\n',
    replacement: '    this.#disk.rename(spare, path)\n',
    caughtBy: 'S7, S5',
    why: 'a power cut takes the name of the segment with all that was acknowledged in it',
  },
  {
    name: 'torn-rule-cuts-whole-record',
    file: 'manager/wal/segment.ts',
    search: 'return hasZeroSector(bytes, start, end) && isZero(bytes, end, bytes.length)',
    replacement: 'return isZero(bytes, end, bytes.length)',
    caughtBy: 'S7, S5',
    why: 'a flipped bit in the last record is taken for a torn write: what was acknowledged is cut off',
  },
  {
    name: 'nonce-reused-after-cut-tail',
    file: 'manager/wal/seal.ts',
    search: '  header.set(random.bytes(SALT_BYTES), SALT_AT)\n',
    replacement:
      "  header.set(type === 'segment' ? new Uint8Array(SALT_BYTES) : random.bytes(SALT_BYTES), SALT_AT)\n",
    caughtBy: 'D (key and nonce)',
    why: 'the record that takes the place of a cut one is sealed with the same key and nonce, which gives both away',
  },
  {
    name: 'effects-joined-wrongly',
    file: 'manager/persist.ts',
    search: 'return [...earlier.filter((entry) => entry.index < first.index), ...later]',
    replacement: 'return [...earlier, ...later]',
    caughtBy: 'assertion "entries have no gap"',
    why: 'entries that a new leader has voided are written beside those that replace them',
  },
]
