/**
 * The one piece of log that is between a container's pipe and its log file. Reading a pipe takes the
 * bytes out of it, so before anything else is done with them they are put here, in a file in memory;
 * a keeper killed at any later moment has a successor that finds them and where they belong, and
 * writes them again in the same place. As pieces are handled one after another, one is enough. What
 * remains is the time between the kernel's copy out of the pipe and its copy into this file, some
 * microseconds, for there is no reading without taking from Node (docs/keeper.md).
 *
 *   number f64 · size u32 · length of place u32 · place (JSON) · data · number f64
 *
 * The number stands at both ends and grows, so that a half-written piece is told from a whole one.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, writevSync } from 'node:fs'
import { Fields } from './fields.ts'

const HEAD_BYTES = 16
const NUMBER_BYTES = 8

export type LogStream = 'stdout' | 'stderr'

export type LogPlace = {
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
  readonly #file: number
  readonly #head: Buffer = Buffer.alloc(HEAD_BYTES)
  readonly #tail: Buffer = Buffer.alloc(NUMBER_BYTES)
  #number: number

  /** Read it with `readJournal` before: what stands in it is lost with the first `put`. */
  constructor(path: string, wallMs: number) {
    // Not truncated, so that a successor's death before its first piece changes nothing.
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    this.#number = wallMs
  }

  /** The piece is safe from this process' death. */
  put(place: LogPlace, data: Uint8Array): void {
    const text = Buffer.from(JSON.stringify(place))
    this.#number += 1
    this.#head.writeDoubleLE(this.#number, 0)
    this.#head.writeUInt32LE(data.length, 8)
    this.#head.writeUInt32LE(text.length, 12)
    this.#tail.writeDoubleLE(this.#number, 0)
    writevSync(this.#file, [this.#head, text, data, this.#tail], 0)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** The last piece that was put, or undefined where there is none that is whole. */
export function readJournal(path: string): JournaledPiece | undefined {
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  if (bytes.length < HEAD_BYTES) return undefined
  const dataBytes = bytes.readUInt32LE(8)
  const dataStart = HEAD_BYTES + bytes.readUInt32LE(12)
  const end = dataStart + dataBytes
  if (bytes.length < end + NUMBER_BYTES || bytes.readDoubleLE(end) !== bytes.readDoubleLE(0)) {
    return undefined
  }
  const fields = new Fields(JSON.parse(bytes.toString('utf8', HEAD_BYTES, dataStart)))
  const place: LogPlace = {
    taskId: fields.text('taskId'),
    stream: fields.choice('stream', ['stdout', 'stderr']),
    fileIndex: fields.integer('fileIndex'),
    offset: fields.integer('offset'),
    timestampMs: fields.number('timestampMs'),
  }
  return { place, data: bytes.subarray(dataStart, end) }
}
