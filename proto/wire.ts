/**
 * Reader and Writer of the protobuf wire format as the generated code in `gen/` uses them, over
 * those of protobufjs, and the types of the service descriptors. They decide what is refused on the
 * wire: integers out of range, 64-bit ones beyond 2^53 (an index read wrongly would be worse than
 * none), strings that are not Unicode, nesting deeper than DEPTH_MAX. Which fields there are is left
 * to `generate.ts`. A byte array read never shares memory with the input, which may be a view on
 * pooled memory that is written again; long ones of one message share one copy of that message.
 * From the protobuf encoding guide and STYLE section 17.
 */
import protobuf from 'protobufjs/minimal.js'
import { SwarmError } from '../lib/errors.ts'

/** How deep messages, map entries and packed lists may nest. */
export const DEPTH_MAX = 64
/** Up to here V8 keeps an array on its own heap; a longer one costs ten times as much to allocate. */
const SHORT_BYTES_MAX = 64
/** How many messages of a shared field are remembered, and how long such a one may be. */
const SHARED_SLOTS = 256
const SHARED_BYTES_MAX = 4_096
/** A writer that grew larger is not kept for the next message. */
const SCRATCH_BYTES_MAX = 65_536

/** One method of a service, as generated. Who may call it is decided by whoever serves it. */
export interface Method<
  Request,
  Response,
  RequestStream extends boolean = boolean,
  ResponseStream extends boolean = boolean,
> {
  /** `/package.Service/Method`. */
  readonly path: string
  readonly requestStream: RequestStream
  readonly responseStream: ResponseStream
  /** The roles that may call it; empty when the .proto names none. */
  readonly roles: readonly string[]
  encodeRequest(value: Request): Uint8Array
  decodeRequest(bytes: Uint8Array): Request
  encodeResponse(value: Response): Uint8Array
  decodeResponse(bytes: Uint8Array): Response
}

/** A service, as generated. */
export interface Service {
  /** With its package. */
  readonly name: string
  readonly methods: Readonly<Record<string, Method<unknown, unknown>>>
}

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0)
export const EMPTY_LIST: readonly never[] = Object.freeze([])
export const EMPTY_MAP: ReadonlyMap<never, never> = new Map<never, never>()

/** Some bytes of a longer array; a view of its own would take longer to make than to compare. */
type Bytes = { readonly buf: Uint8Array; readonly start: number; readonly end: number }

/** A message as it was read: equal bytes give an equal message, so they may give this very one. */
type Kept<T> = { readonly bytes: Uint8Array; readonly depth: number; readonly value: T }

/**
 * What is remembered of one field whose messages often are equal, such as the spec of a service's
 * tasks: those of which all objects then share the memory, and the last one that was written.
 */
export class Shared<T> {
  /** By hash of the bytes. */
  readonly #kept: (Kept<T> | undefined)[] = new Array(SHARED_SLOTS).fill(undefined)
  #written: T | undefined
  /** What was written for it, length included; undefined when it was written only once. */
  #writtenBytes: Uint8Array | undefined

  /** The message that was read from equal bytes, nested as deep; undefined where there is none. */
  find(bytes: Bytes, depth: number): T | undefined {
    const kept = this.#kept[hashOf(bytes) % SHARED_SLOTS]
    // How deep a message may nest depends on where it is: it must not depend on what came before.
    return kept?.depth === depth && isEqual(kept.bytes, bytes) ? kept.value : undefined
  }

  /** `value` was read from these bytes. */
  keep(bytes: Bytes, depth: number, value: T): void {
    const { buf, start, end } = bytes
    if (end - start > SHARED_BYTES_MAX) return
    this.#kept[hashOf(bytes) % SHARED_SLOTS] = { bytes: buf.slice(start, end), depth, value }
  }

  /** What was written for this very object; undefined when it must be written (anew). */
  findWritten(value: T): Uint8Array | undefined {
    return this.#written === value ? this.#writtenBytes : undefined
  }

  /** `bytes` were written for it. They are kept when it is the second time in a row. */
  noteWritten(value: T, bytes: () => Uint8Array): void {
    if (this.#written === value) this.#writtenBytes = bytes()
    else {
      this.#written = value
      this.#writtenBytes = undefined
    }
  }
}

function hashOf({ buf, start, end }: Bytes): number {
  let hash = 0x811c9dc5
  const stop = Math.min(end, start + SHARED_BYTES_MAX)
  for (let i = start; i < stop; i++) hash = Math.imul(hash ^ (buf[i] ?? 0), 0x01000193)
  return hash >>> 0
}

function isEqual(kept: Uint8Array, { buf, start, end }: Bytes): boolean {
  if (kept.length !== end - start) return false
  for (let i = 0; i < kept.length; i++) if (kept[i] !== buf[start + i]) return false
  return true
}

export class Writer {
  readonly #out: protobuf.Writer = new protobuf.Writer()
  #depth = 0

  /** Begins a field: `tag` is its number and wire type as one varint. */
  tag(tag: number): this {
    this.#out.uint32(tag)
    return this
  }

  /** Begins something preceded by its length, which `close` fills in. */
  open(): void {
    this.#depth += 1
    if (this.#depth > DEPTH_MAX) throw tooDeep()
    this.#out.fork()
  }

  close(): void {
    this.#depth -= 1
    this.#out.ldelim()
  }

  /** A message with its length, whose bytes are taken over if it was written just before. */
  shared<T>(shared: Shared<T>, value: T, write: (value: T, writer: Writer) => void): void {
    const known = shared.findWritten(value)
    if (known !== undefined) {
      this.#out.raw(known)
      return
    }
    const start = this.#out.pos
    this.open()
    write(value, this)
    this.close()
    shared.noteWritten(value, () => this.#out.buf.slice(start, this.#out.pos))
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw outOfRange('int32', value)
    this.#out.int32(value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('uint32', value)
    this.#out.uint32(value)
  }

  fixed32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange('fixed32', value)
    this.#out.fixed32(value)
  }

  int64(value: number): void {
    if (value >>> 0 === value) this.#out.uint32(value)
    else if (Number.isSafeInteger(value)) this.#out.int64(value)
    else throw outOfRange('int64', value)
  }

  uint64(value: number): void {
    if (value >>> 0 === value) this.#out.uint32(value)
    else if (Number.isSafeInteger(value) && value >= 0) this.#out.uint64(value)
    else throw outOfRange('uint64', value)
  }

  float(value: number): void {
    this.#out.float(value)
  }

  double(value: number): void {
    this.#out.double(value)
  }

  bool(value: boolean): void {
    this.#out.bool(value)
  }

  /** Half a surrogate pair has no UTF-8: written, it could never be read again. */
  string(value: string): void {
    if (!value.isWellFormed()) {
      throw new SwarmError(
        'invalid-argument',
        `string ${JSON.stringify(value)} is not Unicode text`,
      )
    }
    this.#out.string(value)
  }

  bytes(value: Uint8Array): void {
    this.#out.bytes(value)
  }

  /** Fields encoded before, as `$unknown` keeps them. */
  raw(value: Uint8Array): void {
    this.#out.raw(value)
  }

  /** A fresh array of what was written, with memory of its own. */
  finish(): Uint8Array {
    return this.#out.buf.slice(0, this.#out.pos)
  }

  /** A view of what was written, until more is. */
  written(): Uint8Array {
    return this.#out.buf.subarray(0, this.#out.pos)
  }

  /** As new, but with the memory it has; gives how many bytes that is. */
  reset(): number {
    this.#out.pos = 0
    this.#out.states = null
    this.#depth = 0
    return this.#out.buf.length
  }
}

/** Throws plain errors, which `decode` turns into a refusal that names the message. */
export class Reader {
  readonly #in: protobuf.Reader
  /** 0 in the outermost message. */
  #depth = -1
  /** The tag last read and where it began. */
  #tag = 0
  #tagAt = 0
  /** The halves of the 64-bit value last read, as signed 32-bit integers. */
  #low = 0
  #high = 0
  /** Of all of the input; undefined until a long byte array was read. */
  #copy: Uint8Array | undefined

  constructor(bytes: Uint8Array) {
    // A Buffer's slice() is a view: reading through a plain array makes every slice a copy.
    this.#in = new protobuf.Reader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
  }

  get position(): number {
    return this.#in.pos
  }

  tag(): number {
    this.#tagAt = this.#in.pos
    this.#tag = this.#in.tag()
    return this.#tag
  }

  /** Enters all of the input as one message; gives where it ends. */
  openAll(): number {
    this.#depth += 1
    return this.#in.len
  }

  /** Enters something preceded by its length; gives where it ends, for `close`. */
  open(): number {
    const end = this.#in.size() + this.#in.pos
    if (end > this.#in.len) throw new RangeError('cut short')
    this.#depth += 1
    if (this.#depth > DEPTH_MAX) throw tooDeep()
    return end
  }

  /** Leaves it: what was inside must have filled it exactly. */
  close(end: number): void {
    if (this.#in.pos !== end) throw new RangeError('a field goes past the end of its message')
    this.#depth -= 1
  }

  /** Reads a message with its length, or takes the object that equal bytes gave before. */
  shared<T>(shared: Shared<T>, read: (reader: Reader, end: number) => T): T {
    const end = this.open()
    const depth = this.#depth
    const bytes = { buf: this.#in.buf, start: this.#in.pos, end }
    const known = shared.find(bytes, depth)
    if (known !== undefined) {
      this.#in.pos = end
      this.close(end)
      return known
    }
    const value = read(this, end)
    shared.keep(bytes, depth, value)
    return value
  }

  /** Skips the field whose tag was just read. */
  skip(): void {
    this.#in.skipType(this.#tag & 7, this.#depth, this.#tag >>> 3)
  }

  /** Skips it, and appends its bytes, tag included, to `kept`. */
  keep(kept: Writer | undefined): Writer {
    const writer = kept ?? new Writer()
    const start = this.#tagAt
    this.skip()
    writer.raw(this.#in.buf.subarray(start, this.#in.pos))
    return writer
  }

  int32(): number {
    return this.#in.int32()
  }

  uint32(): number {
    return this.#in.uint32()
  }

  fixed32(): number {
    return this.#in.fixed32()
  }

  int64(): number {
    this.#readHalves()
    return safe(this.#high * 0x1_0000_0000 + (this.#low >>> 0))
  }

  uint64(): number {
    this.#readHalves()
    return safe((this.#high >>> 0) * 0x1_0000_0000 + (this.#low >>> 0))
  }

  float(): number {
    return this.#in.float()
  }

  double(): number {
    return this.#in.double()
  }

  bool(): boolean {
    return this.#in.bool()
  }

  string(): string {
    return this.#in.stringVerify()
  }

  bytes(): Uint8Array {
    const size = this.#in.size()
    const start = this.#in.pos
    this.#in.skip(size)
    if (size <= SHORT_BYTES_MAX) return this.#in.buf.slice(start, this.#in.pos)
    this.#copy ??= this.#in.buf.slice()
    return this.#copy.subarray(start, this.#in.pos)
  }

  #readHalves(): void {
    const { buf, len } = this.#in
    this.#low = 0
    this.#high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#in.pos < len ? buf[this.#in.pos++] : undefined
      if (byte === undefined) throw new RangeError('cut short')
      const bits = byte & 127
      if (shift < 32) this.#low |= bits << shift
      if (shift === 28) this.#high = bits >>> 4
      if (shift > 28) this.#high |= bits << (shift - 32)
      if (byte < 128) return
    }
    throw new RangeError('a varint of more than ten bytes')
  }
}

// Encoding neither awaits nor nests, so one writer serves every message; growing a new one each
// time took twice as long.
let scratch: Writer = new Writer()

/** The bytes of `value`, in an array of their own. */
export function encode<T>(value: T, write: (value: T, writer: Writer) => void): Uint8Array {
  if (scratch.reset() > SCRATCH_BYTES_MAX) scratch = new Writer()
  write(value, scratch)
  return scratch.finish()
}

/** The same in memory that the next message is written to: to be read at once, and not kept. */
export function encodePassing<T>(value: T, write: (value: T, writer: Writer) => void): Uint8Array {
  if (scratch.reset() > SCRATCH_BYTES_MAX) scratch = new Writer()
  write(value, scratch)
  return scratch.written()
}

/** The message `name` in `bytes`, or SwarmError 'invalid-argument' when they do not hold one. */
export function decode<T>(
  bytes: Uint8Array,
  name: string,
  read: (reader: Reader, end: number) => T,
): T {
  const reader = new Reader(bytes)
  try {
    return read(reader, reader.openAll())
  } catch (cause) {
    if (cause instanceof SwarmError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SwarmError('invalid-argument', `malformed ${name}: ${reason}`, { cause })
  }
}

/** For an enum number that this version has no name for: a newer node wrote it. */
export function refuseEnumValue(name: string, value: number): never {
  throw new SwarmError(
    'unimplemented',
    `unknown value ${value} of ${name}: upgrade this node first`,
    { facts: { enum: name, value } },
  )
}

/** The entries of `map` in the order of their keys, so that one value has one encoding. */
export function sortedEntries<K extends string | number, V>(
  map: ReadonlyMap<K, V>,
): readonly (readonly [K, V])[] {
  if (map.size === 0) return EMPTY_LIST
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1))
}

// Rounding never brings a value past 2^53 back into the safe range, so the check is exact.
function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError(`64-bit integer ${value} is beyond 2^53`)
  return value
}

function tooDeep(): SwarmError {
  return new SwarmError('invalid-argument', `message nested deeper than ${DEPTH_MAX}`)
}

function outOfRange(type: string, value: number): SwarmError {
  return new SwarmError('out-of-range', `number ${value} does not fit ${type}`, {
    facts: { value },
  })
}
