/**
 * Reads the containers' output from FIFOs and writes it to their log files. Which tasks it reads is
 * what folders there are in `pipes/`, so that a new keeper goes on where the last one was killed:
 * the other end holds the FIFO open meanwhile, and what was in flight stands in the journal
 * (`log-journal.ts`). It keeps nothing of a line in memory: what a read leaves unfinished is
 * written as a partial record. The format and its limits are `agent/runtime/log-file.ts`'s.
 *
 * A FIFO is opened for reading *and* writing, so that it never ends, and through `net.Socket`,
 * because `fs` streams would occupy libuv's four threads (host.md 10).
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import {
  LOG_DATA_BYTES,
  LOG_FILE_BYTES,
  LOG_FILE_COUNT,
  logFileName,
  logRecordBytes,
  parseLogFileName,
  writeLogRecord,
} from '../../agent/runtime/log-file.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { execute } from './command-runner.ts'
import { LogJournal, type LogPlace, type LogStream, readJournal } from './log-journal.ts'

/** A pipe holds 64 KiB: one read empties it. */
const READ_BYTES = 65_536
/**
 * After a read a FIFO is left alone this long, so that a writer of single lines costs 50 reads a
 * second and not 10,000. After reads that filled the buffer the next ones follow when others could
 * work for as long: the keeper goes before them all (`launch.ts`), and a flood of output shall not
 * take more than half a processor.
 */
const REST_MS = 20
const MKFIFO_TIMEOUT_MS = 10_000
const STREAMS = ['stdout', 'stderr'] as const
const NANOSECONDS_PER_MS = 1_000_000
const NEWLINE = 0x0a
const OUTPUT: Uint8Array = new Uint8Array(4 * READ_BYTES)

export type LogCollectorOptions = {
  readonly logDirectory: string
  readonly pipeDirectory: string
  readonly journalPath: string
  /** Wall time in milliseconds with a fraction. */
  readonly now: () => number
  readonly log: Log
}

type TaskLog = {
  readonly taskId: string
  readonly pipes: readonly Pipe[]
  /** The file being written: number, descriptor, and length of its whole records. */
  fileIndex: number
  file: number
  offset: number
  /** The disk refused the last piece; said once until it takes one again. */
  isFailing: boolean
}

type Pipe = { readonly stream: LogStream; readonly file: number; readonly socket: Socket }

export class LogCollector {
  readonly #options: LogCollectorOptions
  readonly #tasks: Map<string, TaskLog> = new Map()
  readonly #journal: LogJournal
  /** Read a moment ago, and read again when the rest is over. */
  #resting: { readonly task: TaskLog; readonly pipe: Pipe }[] = []
  #hasEnded = false

  /** Goes on reading what a predecessor read, its last piece included. */
  constructor(options: LogCollectorOptions) {
    this.#options = options
    mkdirSync(options.pipeDirectory, { recursive: true, mode: 0o700 })
    this.#writeJournaledPiece()
    this.#journal = new LogJournal(options.journalPath, {
      bufferBytes: READ_BYTES,
      wallMs: options.now(),
    })
    this.#warmUp()
    for (const taskId of readdirSync(options.pipeDirectory)) {
      const isWhole = STREAMS.every((stream) => existsSync(this.#fifo(taskId, stream)))
      // Half made by a predecessor: its caller got no answer and asks again.
      if (isWhole) this.#open(taskId)
    }
  }

  /** The paths of the task's FIFOs, which exist and are read. */
  async open(taskId: string): Promise<Readonly<Record<LogStream, string>>> {
    const paths = { stdout: this.#fifo(taskId, 'stdout'), stderr: this.#fifo(taskId, 'stderr') }
    if (this.#tasks.has(taskId)) return paths
    mkdirSync(join(this.#options.pipeDirectory, taskId), { recursive: true, mode: 0o700 })
    const missing = Object.values(paths).filter((path) => !existsSync(path))
    if (missing.length > 0) {
      const argv = ['mkfifo', '-m', '0600', ...missing]
      const { stderr } = await execute({ argv, input: '', timeoutMs: MKFIFO_TIMEOUT_MS })
      // Another call for the task may have been quicker.
      if (!missing.every((path) => existsSync(path))) {
        throw new SwarmError('internal', `pipes of task "${taskId}" cannot be made: ${stderr}`, {
          retriable: true,
        })
      }
    }
    if (!this.#tasks.has(taskId)) this.#open(taskId)
    return paths
  }

  /** What is in the FIFOs has been written, and they are gone; the log files stay. */
  close(taskId: string): void {
    const task = this.#tasks.get(taskId)
    if (task !== undefined) {
      for (const pipe of task.pipes) {
        while (this.#read(task, pipe) > 0);
        pipe.socket.destroy()
      }
      closeSync(task.file)
      this.#tasks.delete(taskId)
    }
    rmSync(join(this.#options.pipeDirectory, taskId), { recursive: true, force: true })
  }

  /** Nothing is read any more; FIFOs and what is in them stay for a successor. No effect twice. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    for (const task of this.#tasks.values()) {
      for (const pipe of task.pipes) pipe.socket.destroy()
      closeSync(task.file)
    }
    this.#tasks.clear()
    this.#journal.close()
  }

  /** Functions are compiled when first called; with a piece in hand that would take too long. */
  #warmUp(): void {
    const nothing = { taskId: '', pipes: [], fileIndex: 0, file: -1, offset: 0, isFailing: false }
    const empty = openSync('/dev/null', constants.O_RDONLY)
    readAvailable(empty, this.#journal.buffer)
    closeSync(empty)
    this.#write(nothing, this.#begin(nothing, 'stdout'), 0)
  }

  #fifo(taskId: string, stream: LogStream): string {
    return join(this.#options.pipeDirectory, taskId, stream)
  }

  #open(taskId: string): void {
    const directory = join(this.#options.logDirectory, taskId)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const fileIndex = listLogFiles(directory).at(-1) ?? 1
    const file = openLogFile(directory, fileIndex)
    const pipes: Pipe[] = []
    const offset = fstatSync(file).size
    const task: TaskLog = { taskId, pipes, fileIndex, file, offset, isFailing: false }
    for (const stream of STREAMS) pipes.push(this.#openPipe(task, stream))
    this.#tasks.set(taskId, task)
    for (const pipe of pipes) {
      if (this.#read(task, pipe) > 0) this.#rest(task, pipe)
      else pipe.socket.resume()
    }
  }

  #openPipe(task: TaskLog, stream: LogStream): Pipe {
    const path = this.#fifo(task.taskId, stream)
    const file = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
    const socket = new Socket({
      fd: file,
      readable: true,
      writable: false,
      onread: {
        // One buffer for all: a piece is dealt with before the next is read.
        buffer: this.#journal.buffer,
        callback: (sizeBytes) => {
          this.#write(task, this.#begin(task, stream), sizeBytes)
          this.#rest(task, pipe)
          return false
        },
      },
    })
    socket.pause()
    const pipe: Pipe = { stream, file, socket }
    socket.on('error', (error) => {
      this.#options.log.error({ task: task.taskId, stream, error: error.message }, 'pipe failed')
    })
    return pipe
  }

  /**
   * While there is something to read it is read here, and the socket only waits for the first piece
   * after a silence: on its way through the socket a piece would be in nobody's hands four times longer.
   */
  #rest(task: TaskLog, pipe: Pipe): void {
    this.#resting.push({ task, pipe })
    if (this.#resting.length === 1) setTimeout(() => this.#goOn(), REST_MS)
  }

  #goOn(): void {
    const beginMs = this.#options.now()
    const active = this.#resting.filter(({ pipe }) => !pipe.socket.destroyed)
    const sizes = active.map(({ task, pipe }) => this.#read(task, pipe))
    for (const [at, { pipe }] of active.entries()) if (sizes[at] === 0) pipe.socket.resume()
    this.#resting = active.filter((_, at) => sizes[at] !== 0)
    if (this.#resting.length === 0) return
    const tookMs = Math.max(0, this.#options.now() - beginMs)
    setTimeout(() => this.#goOn(), sizes.includes(READ_BYTES) ? tookMs : REST_MS)
  }

  /** The size of the piece that was read and written; 0 when the pipe is empty. */
  #read(task: TaskLog, pipe: Pipe): number {
    const place = this.#begin(task, pipe.stream)
    const sizeBytes = readAvailable(pipe.file, this.#journal.buffer)
    if (sizeBytes > 0) this.#write(task, place, sizeBytes)
    return sizeBytes
  }

  #begin(task: TaskLog, stream: LogStream): LogPlace {
    const { taskId, fileIndex, offset } = task
    const place = { taskId, stream, fileIndex, offset, timestampMs: this.#options.now() }
    this.#journal.begin(place)
    return place
  }

  /** What was read into the buffer stands in the journal first, then in the log file. */
  #write(task: TaskLog, place: LogPlace, sizeBytes: number): void {
    try {
      this.#journal.put(sizeBytes)
      task.offset += writeRecords(task.file, place, this.#journal.buffer.subarray(0, sizeBytes))
      task.isFailing = false
      // Only now, so that nothing is between reading a pipe and the journal.
      if (task.offset >= LOG_FILE_BYTES) this.#rotate(task)
    } catch (error) {
      // A container must not stop because the disk is full: its lines are given up, and said so.
      if (!task.isFailing) this.#options.log.error({ task: task.taskId, error }, 'log lines lost')
      task.isFailing = true
    }
  }

  #rotate(task: TaskLog): void {
    const directory = join(this.#options.logDirectory, task.taskId)
    const next = openLogFile(directory, task.fileIndex + 1)
    closeSync(task.file)
    task.file = next
    task.fileIndex += 1
    task.offset = 0
    for (const index of listLogFiles(directory).slice(0, -LOG_FILE_COUNT)) {
      unlinkSync(join(directory, logFileName(index)))
    }
  }

  /** Whether the predecessor died before, in or after writing its last piece, it is there once. */
  #writeJournaledPiece(): void {
    const piece = readJournal(this.#options.journalPath)
    if (piece === undefined) return
    const { taskId, fileIndex, offset } = piece.place
    const directory = join(this.#options.logDirectory, taskId)
    if (!listLogFiles(directory).includes(fileIndex)) return
    const file = openLogFile(directory, fileIndex)
    ftruncateSync(file, offset + writeRecords(file, piece.place, piece.data))
    closeSync(file)
  }
}

/**
 * Writes the piece as records at its place; their length in bytes. A record a line, without its
 * newline; a line that is too long or has no end yet is partial. One output buffer for all, because
 * an array a line would double the keeper's memory.
 */
function writeRecords(file: number, place: LogPlace, data: Buffer): number {
  const { stream } = place
  const timestampMs = Math.floor(place.timestampMs)
  const timestampNs = Math.floor((place.timestampMs - timestampMs) * NANOSECONDS_PER_MS)
  let fileOffset = place.offset
  let outputBytes = 0
  for (let at = 0; at < data.length; ) {
    const newline = data.indexOf(NEWLINE, at)
    const end = Math.min(newline < 0 ? data.length : newline, at + LOG_DATA_BYTES)
    if (outputBytes + logRecordBytes(end - at) > OUTPUT.length) {
      fileOffset += writeAll(file, fileOffset, OUTPUT.subarray(0, outputBytes))
      outputBytes = 0
    }
    const line = data.subarray(at, end)
    const partial = end !== newline
    const record = { stream, timestampMs, timestampNs, data: line, partial }
    outputBytes = writeLogRecord(OUTPUT, outputBytes, record)
    at = partial ? end : end + 1
  }
  fileOffset += writeAll(file, fileOffset, OUTPUT.subarray(0, outputBytes))
  return fileOffset - place.offset
}

function writeAll(file: number, offset: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(file, bytes, at, bytes.length - at, offset + at)
  }
  return bytes.length
}

/** The numbers of the log files in a folder, in order; none where there is no folder. */
function listLogFiles(directory: string): readonly number[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .map(parseLogFileName)
    .filter((index) => index !== undefined)
    .sort((a, b) => a - b)
}

function openLogFile(directory: string, index: number): number {
  return openSync(join(directory, logFileName(index)), constants.O_RDWR | constants.O_CREAT, 0o600)
}

/** Bytes read without waiting; 0 when the pipe is empty. */
function readAvailable(file: number, buffer: Uint8Array): number {
  try {
    // All arguments, for working them out afterwards would take time.
    return readSync(file, buffer, 0, buffer.length, -1)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0
    throw error
  }
}
