/**
 * Reads a container's log files, which the keeper writes (`log-file.ts`): all of them or the last
 * lines, from a moment on, and on and on while the container runs. It follows the rows of files by
 * their numbers, and holds no more than one piece of one file.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  findTail,
  LOG_FILE_BYTES,
  logFileName,
  parseLogFileName,
  readLogRecord,
  wholeLength,
} from '../log-file.ts'
import type { ContainerLine, LogOptions } from '../runtime.ts'

export type LogSource = {
  /** The task's folder of log files; it need not exist yet. */
  readonly folder: string
  /** Whether no more will be written. */
  readonly isOver: () => Promise<boolean>
}

type Position = { readonly index: number; readonly offset: number }

const PIECE_BYTES: number = 256 * 1024
const POLL_MS = 100

/** Lines in the order in which they were read from the pipes. Ends after the last, unless followed. */
export async function* readLogs(
  source: LogSource,
  options: LogOptions,
): AsyncGenerator<ContainerLine, void> {
  let position: Position | undefined = await findStart(source.folder, options.tail)
  while (!options.signal.aborted) {
    // Asked before reading: what was written until then is read below.
    const isLast = !options.follow || (await source.isOver())
    position ??= await findStart(source.folder, -1)
    if (position !== undefined) {
      for await (const read of readOn(source.folder, position)) {
        position = read.next
        for (const line of read.lines) if (isWanted(line, options)) yield line
        if (options.signal.aborted) return
      }
    }
    if (isLast) return
    await delay(POLL_MS, undefined, { signal: options.signal }).catch(() => undefined)
  }
}

/** Everything from `position` on that is there now. */
async function* readOn(
  folder: string,
  position: Position,
): AsyncGenerator<{ readonly lines: readonly ContainerLine[]; readonly next: Position }, void> {
  let current = position
  for (;;) {
    const bytes = await readPiece(folder, current)
    const length = wholeLength(bytes)
    if (length > 0) {
      current = { ...current, offset: current.offset + length }
      yield { lines: parseLines(bytes.subarray(0, length)), next: current }
      continue
    }
    const following = (await listIndexes(folder)).find((index) => index > current.index)
    if (following === undefined) return
    // The file may have got its last records between the two looks.
    if (wholeLength(await readPiece(folder, current)) > 0) continue
    current = { index: following, offset: 0 }
  }
}

/** Where the last `tail` lines begin, -1 for all; undefined where there is no file yet. */
async function findStart(folder: string, tail: number): Promise<Position | undefined> {
  const indexes = await listIndexes(folder)
  const [first] = indexes
  if (first === undefined) return undefined
  if (tail < 0) return { index: first, offset: 0 }
  let missing = tail
  for (const index of indexes.toReversed()) {
    const bytes = await readWhole(folder, index)
    const found = findTail(bytes.subarray(0, wholeLength(bytes)), missing)
    missing -= found.lines
    if (missing <= 0) return { index, offset: found.offset }
  }
  return { index: first, offset: 0 }
}

function parseLines(bytes: Uint8Array): readonly ContainerLine[] {
  const lines: ContainerLine[] = []
  for (let offset = 0; ; ) {
    const read = readLogRecord(bytes, offset)
    if (read === undefined) return lines
    lines.push(read.record)
    offset = read.end
  }
}

function isWanted(line: ContainerLine, options: LogOptions): boolean {
  return options[line.stream] && line.timestampMs >= options.sinceMs
}

async function listIndexes(folder: string): Promise<readonly number[]> {
  const names = await readdir(folder).catch(() => [])
  const indexes = names.map(parseLogFileName).filter((index) => index !== undefined)
  return indexes.sort((a, b) => a - b)
}

async function readWhole(folder: string, index: number): Promise<Uint8Array> {
  return read(folder, { index, offset: 0 }, LOG_FILE_BYTES * 2)
}

async function readPiece(folder: string, position: Position): Promise<Uint8Array> {
  return read(folder, position, PIECE_BYTES)
}

/** Empty where the file is gone: it was the oldest. */
async function read(folder: string, position: Position, length: number): Promise<Uint8Array> {
  let file: FileHandle
  try {
    file = await open(join(folder, logFileName(position.index)), 'r')
  } catch {
    return new Uint8Array(0)
  }
  await using opened = file
  const size = Math.max(0, (await opened.stat()).size - position.offset)
  const bytes = new Uint8Array(Math.min(length, size))
  const { bytesRead } = await opened.read(bytes, 0, bytes.length, position.offset)
  return bytes.subarray(0, bytesRead)
}
