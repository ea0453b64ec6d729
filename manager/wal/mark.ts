/**
 * Mark: how far the log was safe, in one sector outside of the log's directory. A log that ends
 * before its mark has lost what was acknowledged: its newest files are gone, or the directory was
 * set back to an older copy, which nothing inside of it can say. The mark is written in place after
 * each sync, and made safe itself only with each new segment: it may be behind, never ahead. Not
 * sealed: it guards against accidents, not against who can write files. Byte table: docs/log.md.
 */
import { crc32c } from '../../lib/crc32c.ts'
import { type Disk, isDiskError } from '../../lib/disk.ts'
import { isZero } from './record.ts'
import { FORMAT_VERSION, newDamageError, SECTOR_BYTES } from './seal.ts'

const MAGIC = 'tsswmmrk'
const VERSION_AT = 8
const RAFT_ID_AT = 16
const SEQUENCE_AT = 24
const CRC_AT = SECTOR_BYTES - 4

/** The last record of the member's log that is known to be safe. */
export type SafeMark = { readonly raftId: number; readonly sequence: number }

/** The mark; undefined where there is none yet. Refused where its sector is damaged. */
export function findMark(disk: Disk, path: string): SafeMark | undefined {
  const bytes = readSector(disk, path)
  if (bytes === undefined || isZero(bytes, 0, SECTOR_BYTES)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isWhole =
    bytes.length === SECTOR_BYTES &&
    crc32c(bytes.subarray(0, CRC_AT)) === view.getUint32(CRC_AT) &&
    new TextDecoder().decode(bytes.subarray(0, VERSION_AT)) === MAGIC &&
    view.getUint32(VERSION_AT) === FORMAT_VERSION
  if (!isWhole) throw newDamageError(path, 0, 'its checksum is wrong')
  return {
    raftId: Number(view.getBigUint64(RAFT_ID_AT)),
    sequence: Number(view.getBigUint64(SEQUENCE_AT)),
  }
}

/** Refuses a log whose records end before its mark says that they were safe. */
export function checkMark(
  disk: Disk,
  path: string,
  log: SafeMark & { readonly file: string; readonly offset: number },
): void {
  const mark = findMark(disk, path)
  if (mark === undefined || mark.raftId !== log.raftId || mark.sequence <= log.sequence) return
  const reason =
    `the log ends with record ${log.sequence} here, and record ${mark.sequence} was safe already: ` +
    'its newest files are missing, or it is an older copy'
  throw newDamageError(log.file, log.offset, reason)
}

/** Moves the mark on. Its file is there from the start, so that moving it takes no space. */
export class MarkWriter {
  readonly #disk: Disk
  readonly #path: string
  readonly #raftId: number

  constructor(disk: Disk, path: string, raftId: number) {
    this.#disk = disk
    this.#path = path
    this.#raftId = raftId
    const bytes = readSector(disk, path)
    if (bytes?.length === SECTOR_BYTES) return
    // One that a crash left unfinished.
    if (bytes !== undefined) disk.remove(path)
    disk.create(path, SECTOR_BYTES)
    disk.sync(path)
    disk.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  }

  /** The records up to `sequence`, which are safe, are known to be; for sure only after `sync`. */
  move(sequence: number): void {
    const bytes = new Uint8Array(SECTOR_BYTES)
    const view = new DataView(bytes.buffer)
    bytes.set(new TextEncoder().encode(MAGIC))
    view.setUint32(VERSION_AT, FORMAT_VERSION)
    view.setBigUint64(RAFT_ID_AT, BigInt(this.#raftId))
    view.setBigUint64(SEQUENCE_AT, BigInt(sequence))
    view.setUint32(CRC_AT, crc32c(bytes.subarray(0, CRC_AT)))
    this.#disk.write(this.#path, 0, bytes)
  }

  sync(): void {
    this.#disk.sync(this.#path)
  }
}

function readSector(disk: Disk, path: string): Uint8Array | undefined {
  try {
    return disk.read(path, 0, SECTOR_BYTES)
  } catch (error) {
    if (isDiskError(error, 'not-found')) return undefined
    throw error
  }
}
