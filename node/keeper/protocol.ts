/**
 * What daemon and keeper say to each other over the keeper's unix socket: frames of a length (u32,
 * big endian) and JSON. The daemon sends requests with an id, in any number at once; the keeper
 * answers each once, in any order, and sends events of its own accord. Every request may be
 * repeated after a broken connection and finds its earlier work by the task's id. A daemon that
 * speaks another PROTOCOL_VERSION than the keeper it meets ends that keeper and starts its own.
 */
import type { ProcessCommand, ProcessProbe, ProcessStatus } from '../../agent/runtime/process.ts'
import type { ProbeOutcome } from '../../agent/runtime/runtime.ts'
import { CODES, type Code, SwarmError } from '../../lib/errors.ts'
import { Fields } from './fields.ts'

/** Goes up with every change of meaning, and with every repair that a running keeper must get. */
export const PROTOCOL_VERSION = 2
/** A longer frame ends the connection: an `nft` text for 1,000 tasks has 200 KiB. */
export const FRAME_BYTES_MAX: number = 8 * 1024 * 1024

const LENGTH_BYTES = 4
const TASK_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

export const PROTOCOLS = ['tcp', 'udp'] as const

/** A published port in mode host; `publishedPort` 0 lets the kernel choose. */
export type HostPort = {
  readonly protocol: (typeof PROTOCOLS)[number]
  readonly publishedPort: number
  readonly targetPort: number
}

export type KeeperRequest =
  | { readonly kind: 'hello'; readonly protocol: number }
  /** What the host offers, each feature tried by use. */
  | { readonly kind: 'probe' }
  /** The private containerd runs, and the keeper keeps it so. */
  | { readonly kind: 'containerd' }
  | CommandRequest
  /** Writes a file below /proc/sys. */
  | { readonly kind: 'sysctl'; readonly path: string; readonly value: string }
  | { readonly kind: 'open-logs'; readonly taskId: string }
  | { readonly kind: 'close-logs'; readonly taskId: string }
  | OpenPortsRequest
  | { readonly kind: 'close-ports'; readonly taskId: string }
  | { readonly kind: 'list-ports' }
  | StartProcessRequest
  | { readonly kind: 'signal-process'; readonly taskId: string; readonly signal: number }
  | { readonly kind: 'remove-process'; readonly taskId: string }
  | ProbeProcessRequest
  /** The task's health check under way is given up. */
  | { readonly kind: 'end-probe'; readonly taskId: string }
  | { readonly kind: 'list-processes' }
  /**
   * The keeper ends. `forget`: so do its private containerd and the processes, and nothing is
   * left to take over; otherwise all that goes on.
   */
  | { readonly kind: 'end'; readonly forget: boolean }

export type CommandRequest = {
  readonly kind: 'run'
  /** Commands of one key run one after another, in the order they came. */
  readonly key: string
  readonly argv: readonly string[]
  readonly input: string
  readonly timeoutMs: number
}

export type OpenPortsRequest = TaskPorts & { readonly kind: 'open-ports' }

export type TaskPorts = {
  readonly taskId: string
  /** Where the task listens: its address on the routed link. */
  readonly address: string
  readonly ports: readonly HostPort[]
}

export type StartProcessRequest = ProcessCommand & { readonly kind: 'start-process' }

export type ProbeProcessRequest = ProcessProbe & { readonly kind: 'probe-process' }

export type KeeperEvent = { readonly kind: 'process-exited'; readonly process: ProcessStatus }

export type CommandResult = {
  /** 128 + signal number where a signal ended it. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** The bytes of one frame. Throws SwarmError 'resource-exhausted' when it is too long. */
export function encodeFrame(value: unknown): Uint8Array {
  const text = Buffer.from(JSON.stringify(value))
  if (text.length > FRAME_BYTES_MAX) {
    throw new SwarmError(
      'resource-exhausted',
      `a message of ${text.length} bytes to or from the keeper exceeds ${FRAME_BYTES_MAX}`,
    )
  }
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + text.length)
  frame.writeUInt32BE(text.length, 0)
  text.copy(frame, LENGTH_BYTES)
  return frame
}

/** Bytes as they come → the values of whole frames. */
export class FrameReader {
  #pieces: Buffer[] = []
  #sizeBytes = 0

  /** Throws SwarmError 'invalid-argument' on what is no frame; the connection is of no use then. */
  push(bytes: Buffer): readonly Fields[] {
    this.#pieces.push(bytes)
    this.#sizeBytes += bytes.length
    const found: Fields[] = []
    for (let frame = this.#take(); frame !== undefined; frame = this.#take()) {
      found.push(parse(frame))
    }
    return found
  }

  #take(): Buffer | undefined {
    if (this.#sizeBytes < LENGTH_BYTES) return undefined
    const head = this.#join(LENGTH_BYTES)
    const length = head.readUInt32BE(0)
    if (length > FRAME_BYTES_MAX) {
      throw new SwarmError('invalid-argument', `a frame of ${length} bytes is too long`)
    }
    if (this.#sizeBytes < LENGTH_BYTES + length) return undefined
    const whole = this.#join(this.#sizeBytes)
    const rest = whole.subarray(LENGTH_BYTES + length)
    this.#pieces = rest.length === 0 ? [] : [rest]
    this.#sizeBytes = rest.length
    return whole.subarray(LENGTH_BYTES, LENGTH_BYTES + length)
  }

  /** The first piece, made at least `length` long. Long frames are joined once, at their end. */
  #join(length: number): Buffer {
    const [first] = this.#pieces
    if (first !== undefined && first.length >= length) return first
    const whole = Buffer.concat(this.#pieces)
    this.#pieces = [whole]
    return whole
  }
}

/** The request in `fields`. Throws SwarmError 'invalid-argument', 'unimplemented' for a new kind. */
export function decodeRequest(fields: Fields): KeeperRequest {
  const kind = fields.text('kind')
  switch (kind) {
    case 'hello':
      return { kind, protocol: fields.integer('protocol') }
    case 'probe':
    case 'containerd':
    case 'list-ports':
    case 'list-processes':
      return { kind }
    case 'run':
      return {
        kind,
        key: fields.text('key'),
        argv: fields.texts('argv'),
        input: fields.text('input'),
        timeoutMs: fields.integer('timeoutMs'),
      }
    case 'sysctl':
      return { kind, path: fields.text('path'), value: fields.text('value') }
    case 'open-ports':
      return { kind, ...readTaskPorts(fields) }
    case 'open-logs':
    case 'close-logs':
    case 'close-ports':
    case 'remove-process':
    case 'end-probe':
      return { kind, taskId: taskId(fields) }
    case 'probe-process':
      return {
        kind,
        taskId: taskId(fields),
        argv: fields.texts('argv'),
        env: fields.texts('env'),
        directory: fields.text('directory'),
        timeoutMs: fields.integer('timeoutMs'),
      }
    case 'start-process':
      return {
        kind,
        taskId: taskId(fields),
        argv: fields.texts('argv'),
        env: fields.texts('env'),
        directory: fields.text('directory'),
        label: fields.text('label'),
      }
    case 'signal-process':
      return { kind, taskId: taskId(fields), signal: fields.integer('signal') }
    case 'end':
      return { kind, forget: fields.flag('forget') }
    default:
      throw new SwarmError('unimplemented', `the keeper knows no request "${kind}"`)
  }
}

export function readTaskPorts(fields: Fields): TaskPorts {
  return {
    taskId: taskId(fields),
    address: fields.text('address'),
    ports: fields.objects('ports', readHostPort),
  }
}

export function readHostPort(fields: Fields): HostPort {
  return {
    protocol: fields.choice('protocol', PROTOCOLS),
    publishedPort: fields.integer('publishedPort'),
    targetPort: fields.integer('targetPort'),
  }
}

export function readProcessStatus(fields: Fields): ProcessStatus {
  return {
    taskId: taskId(fields),
    label: fields.text('label'),
    pid: fields.integer('pid'),
    state: fields.choice('state', ['running', 'exited']),
    exitCode: fields.integer('exitCode'),
    error: fields.text('error'),
    exitedAtMs: fields.integer('exitedAtMs'),
  }
}

export function readProbeOutcome(fields: Fields): ProbeOutcome {
  const kind = fields.choice('kind', ['exited', 'late'])
  const output = fields.text('output')
  return kind === 'late' ? { kind, output } : { kind, exitCode: fields.integer('exitCode'), output }
}

/** The plain form of an error for the wire. */
export function encodeError(error: unknown): Readonly<Record<string, unknown>> {
  const { code, retriable } =
    error instanceof SwarmError ? error : { code: 'internal', retriable: false }
  return { code, retriable, message: error instanceof Error ? error.message : String(error) }
}

export function decodeError(fields: Fields): SwarmError {
  const code: Code = fields.choice('code', CODES)
  return new SwarmError(code, fields.text('message'), { retriable: fields.flag('retriable') })
}

/** It becomes part of paths, so it is a plain word. */
function taskId(fields: Fields): string {
  const id = fields.text('taskId')
  if (!TASK_ID.test(id)) throw new SwarmError('invalid-argument', `"${id}" is no task id`)
  return id
}

function parse(frame: Buffer): Fields {
  try {
    return new Fields(JSON.parse(frame.toString()))
  } catch (cause) {
    throw new SwarmError('invalid-argument', 'a frame holds no JSON object', { cause })
  }
}
