/**
 * Where the files of a tar archive lie: names to places, read from the headers alone (POSIX ustar,
 * pax and GNU long names). Nothing is ever unpacked by a name found in it.
 */

import type { FileHandle } from 'node:fs/promises'
import { posix } from 'node:path'
import { SwarmError } from '../../../../lib/errors.ts'

/** The regular files by their clean names; links lead to what they point at. */
export type TarIndex = ReadonlyMap<string, TarPlace>

export type TarPlace = { readonly offset: number; readonly sizeBytes: number }

const BLOCK = 512
const ENTRIES_MAX = 100_000
const META_BYTES_MAX = 1024 * 1024
const LINKS_MAX = 10

type Header = {
  readonly name: string
  readonly linkName: string
  readonly type: string
  readonly sizeBytes: number
}

/** SwarmError 'data-loss' where the file is no tar archive. */
export async function indexTar(file: FileHandle, what: string): Promise<TarIndex> {
  const places = new Map<string, TarPlace>()
  const links = new Map<string, string>()
  const { size } = await file.stat()
  let overrides: ReadonlyMap<string, string> = new Map()
  let offset = 0
  for (let count = 0; offset + BLOCK <= size; count++) {
    if (count > ENTRIES_MAX)
      throw new SwarmError('resource-exhausted', `${what} has too many files`)
    const block = await readAt(file, offset, BLOCK)
    if (block.every((byte) => byte === 0)) break
    const header = override(parseHeader(block, what), overrides)
    const data = offset + BLOCK
    if (data + header.sizeBytes > size) throw new SwarmError('data-loss', `${what} is cut short`)
    offset = data + Math.ceil(header.sizeBytes / BLOCK) * BLOCK
    if (['x', 'L', 'K'].includes(header.type)) {
      const meta = await readAt(file, data, Math.min(header.sizeBytes, META_BYTES_MAX))
      overrides = new Map([...overrides, ...parseMeta(header.type, meta)])
      continue
    }
    overrides = new Map()
    const name = cleanName(header.name)
    if (header.type === '0' || header.type === '\0' || header.type === '') {
      places.set(name, { offset: data, sizeBytes: header.sizeBytes })
    } else if (header.type === '2') {
      links.set(name, cleanName(posix.join(posix.dirname(name), header.linkName)))
    } else if (header.type === '1') {
      links.set(name, cleanName(header.linkName))
    }
  }
  for (const name of links.keys()) {
    const place = resolveLink(name, links, places)
    if (place !== undefined) places.set(name, place)
  }
  return places
}

/** `length` bytes from `offset` on; fewer only where the file ends. */
export async function readAt(
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

function parseHeader(block: Uint8Array, what: string): Header {
  const text = (from: number, length: number): string => {
    const field = block.subarray(from, from + length)
    const end = field.indexOf(0)
    return new TextDecoder().decode(end === -1 ? field : field.subarray(0, end))
  }
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  if (sum !== Number.parseInt(text(148, 8).trim(), 8)) {
    throw new SwarmError('data-loss', `${what} is no tar archive, or a damaged one`)
  }
  const prefix = text(257, 5) === 'ustar' ? text(345, 155) : ''
  return {
    name: prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`,
    linkName: text(157, 100),
    type: text(156, 1),
    sizeBytes: parseSize(block.subarray(124, 136), what),
  }
}

/** Octal text, or a binary number where the first bit is set. */
function parseSize(field: Uint8Array, what: string): number {
  const isBinary = ((field[0] ?? 0) & 0x80) !== 0
  const size = isBinary
    ? field.subarray(1).reduce((value, byte) => value * 256 + byte, 0)
    : Number.parseInt(new TextDecoder().decode(field).replace(/[\0 ]+$/, '') || '0', 8)
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new SwarmError('data-loss', `${what} has a file of impossible size`)
}

/** What a preceding extended header says of the next file: path, linkpath, size. */
function parseMeta(type: string, meta: Uint8Array): ReadonlyMap<string, string> {
  const text = new TextDecoder().decode(meta)
  if (type === 'L') return new Map([['path', text.replace(/\0.*$/s, '')]])
  if (type === 'K') return new Map([['linkpath', text.replace(/\0.*$/s, '')]])
  const values = new Map<string, string>()
  let offset = 0
  while (offset < meta.length) {
    const space = meta.indexOf(0x20, offset)
    const length = Number(new TextDecoder().decode(meta.subarray(offset, Math.max(space, offset))))
    if (space === -1 || !Number.isSafeInteger(length) || length <= 0) break
    const record = new TextDecoder().decode(meta.subarray(space + 1, offset + length - 1))
    const equals = record.indexOf('=')
    if (equals > 0) values.set(record.slice(0, equals), record.slice(equals + 1))
    offset += length
  }
  return values
}

function override(header: Header, overrides: ReadonlyMap<string, string>): Header {
  const size = overrides.get('size')
  return {
    ...header,
    name: overrides.get('path') ?? header.name,
    linkName: overrides.get('linkpath') ?? header.linkName,
    sizeBytes: size !== undefined && /^\d{1,15}$/.test(size) ? Number(size) : header.sizeBytes,
  }
}

function cleanName(name: string): string {
  return posix.normalize(`/${name}`).slice(1)
}

function resolveLink(
  name: string,
  links: ReadonlyMap<string, string>,
  places: ReadonlyMap<string, TarPlace>,
): TarPlace | undefined {
  let current: string | undefined = name
  for (let hops = 0; hops < LINKS_MAX && current !== undefined; hops++) {
    const place = places.get(current)
    if (place !== undefined) return place
    current = links.get(current)
  }
  return undefined
}
