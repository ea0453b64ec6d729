/**
 * The one piece of log that is between a container's pipe and its log file. Reading a pipe takes the
 * bytes out of it, so before anything else is done with them they are put here, in a file in memory;
 * a keeper killed at any later moment has a successor that finds them and where they belong, and
 * writes them again in the same place. As pieces are handled one after another, one is enough. What
 * remains is the time between the kernel's copy out of the pipe and its copy into this file, some
 * microseconds, for from Node there is no reading without taking (`docs/keeper.md`). To keep it so
 * short the place is noted before the read, the buffer that pipes are read into lies between head
 * and tail, and one write takes all.
 *
 *   number f64 · timestamp f64 · offset f64 · file u32 · size u32 · stream u8 · length of id u8 · id
 *   … data, from byte 128 · number f64                                              (little endian)
 *
 * The number stands at both ends and grows, so that a half-written piece is told from a whole one.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs'

const HEAD_BYTES = 128
const ID_OFFSET = 34
const NUMBER_BYTES = 8

export type LogStream = 'stdout' | 'stderr'

export type LogPlace = {
  /** ASCII, at most 64 letters. */
  readonly taskId: string
  readonly stream: LogStream
  /** The number of the log file, and its length before the piece is written. */
  readonly fileIndex: number
  readonly offset: number
  /** Wall time at which the piece was read, in milliseconds with a fraction. */
  readonly timestampMs: number
}

export type JournaledPiece = { readonly place: LogPlace; readonly data: Buffer }

export class LogJournal {
  /** Pipes are read into it. */
  readonly buffer: Buffer
  readonly #file: number
  readonly #whole: Buffer
  readonly #view: DataView
  #number: number

  /** Read it with `readJournal` before: what stands in it is lost with the first `put`. */
  constructor(path: string, options: { readonly bufferBytes: number; readonly wallMs: number }) {
    // Not truncated, so that a successor's death before its first piece changes nothing.
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    this.#number = options.wallMs
    this.#whole = Buffer.allocUnsafeSlow(HEAD_BYTES + options.bufferBytes + NUMBER_BYTES)
    this.#view = new DataView(this.#whole.buffer)
    this.buffer = this.#whole.subarray(HEAD_BYTES, HEAD_BYTES + options.bufferBytes)
  }

  /** Where the next piece belongs: called before it is read. */
  begin(place: LogPlace): void {
    this.#number += 1
    this.#view.setFloat64(0, this.#number, true)
    this.#view.setFloat64(8, place.timestampMs, true)
    this.#view.setFloat64(16, place.offset, true)
    this.#view.setUint32(24, place.fileIndex, true)
    this.#view.setUint8(32, place.stream === 'stdout' ? 0 : 1)
    this.#view.setUint8(33, this.#whole.write(place.taskId, ID_OFFSET, 'latin1'))
  }

  /** The first `sizeBytes` of the buffer, of the piece begun, are safe from this process' death. */
  put(sizeBytes: number): void {
    const end = HEAD_BYTES + sizeBytes
    this.#view.setUint32(28, sizeBytes, true)
    // What comes after the piece in the buffer is overwritten: it is the rest of an earlier one.
    this.#view.setFloat64(end, this.#number, true)
    writeSync(this.#file, this.#whole, 0, end + NUMBER_BYTES, 0)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** The last piece that was put, or undefined where there is none that is whole. */
export function readJournal(path: string): JournaledPiece | undefined {
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  if (bytes.length < HEAD_BYTES + NUMBER_BYTES) return undefined
  const end = HEAD_BYTES + bytes.readUInt32LE(28)
  if (bytes.length < end + NUMBER_BYTES || bytes.readDoubleLE(end) !== bytes.readDoubleLE(0)) {
    return undefined
  }
  const place: LogPlace = {
    taskId: bytes.toString('latin1', ID_OFFSET, ID_OFFSET + bytes.readUInt8(33)),
    stream: bytes.readUInt8(32) === 0 ? 'stdout' : 'stderr',
    fileIndex: bytes.readUInt32LE(24),
    offset: bytes.readDoubleLE(16),
    timestampMs: bytes.readDoubleLE(8),
  }
  return { place, data: bytes.subarray(HEAD_BYTES, end) }
}
