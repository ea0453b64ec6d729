/**
 * Every nonce that a host ever used under a key, seen from outside in the bytes that it writes: a key
 * follows from the salt in a file's first sector, the nonce from a record's sequence (docs/log.md).
 * Two records that differ under one key and nonce would give both away to whoever sees the disk at
 * two times, so a nonce counts as used when it is written, whether or not a crash takes it back.
 * Read by offsets of its own, not by the code that wrote it.
 */
const HEADER_BYTES = 512
const MAGIC_BYTES = 8
const SEGMENT_MAGIC = 'tsswmlog'
const SNAPSHOT_MAGIC = 'tsswmsnp'
const SALT_AT = 12
const SALT_END = 48
const RECORD_HEADER_BYTES = 24
const SEQUENCE_AT = 8
const LENGTH_AT = 16
const SECTOR_BYTES = 512
const SEGMENT_SUFFIX = '.segment'

export class SealChecker {
  /** Key and sequence → what was sealed with them. */
  readonly #used = new Map<string, string>()
  /** The key of each file that is being written. */
  readonly #keys = new Map<string, string>()
  /** The key of the segment that was given its name and not written to since. */
  #renamedKey: string | undefined;

  /** A host is about to do this to a file of its log; what is wrong with it. */
  *observe(operation: string, path: string, bytes: Uint8Array | undefined): Iterable<string> {
    if (operation === 'rename') {
      const key = this.#keys.get(path)
      if (key?.startsWith(SEGMENT_MAGIC)) this.#renamedKey = key
      this.#keys.delete(path)
      return
    }
    if (operation !== 'write' || bytes === undefined) return
    if (isHeader(bytes)) this.#keys.set(path, keyOf(bytes))
    else yield* this.#checkRecords(path, bytes)
  }

  *#checkRecords(path: string, bytes: Uint8Array): Iterable<string> {
    // A segment is begun under another name; from when it has its own no other one is written to.
    if (this.#renamedKey !== undefined && path.endsWith(SEGMENT_SUFFIX)) {
      this.#keys.set(path, this.#renamedKey)
      this.#renamedKey = undefined
    }
    const key = this.#keys.get(path)
    if (key === undefined) return
    for (let at = 0; at + RECORD_HEADER_BYTES <= bytes.length; ) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at)
      const length = view.getUint32(LENGTH_AT)
      if (length === 0) return
      const sequence = Number(view.getBigUint64(SEQUENCE_AT))
      const end = at + RECORD_HEADER_BYTES + length
      const sealed = hashOf(bytes.subarray(at + RECORD_HEADER_BYTES, end))
      const before = this.#used.get(`${key}/${sequence}`)
      if (before !== undefined && before !== sealed)
        yield `D: nonce ${sequence} was used under one key for two records, the second in "${path}"`
      this.#used.set(`${key}/${sequence}`, sealed)
      at = Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES
    }
  }
}

function isHeader(bytes: Uint8Array): boolean {
  return bytes.length === HEADER_BYTES && [SEGMENT_MAGIC, SNAPSHOT_MAGIC].includes(magicOf(bytes))
}

function magicOf(header: Uint8Array): string {
  return String.fromCharCode(...header.subarray(0, MAGIC_BYTES))
}

/** Type of the file, data key and salt: what its key is derived from. */
function keyOf(header: Uint8Array): string {
  return `${magicOf(header)}/${Buffer.from(header.subarray(SALT_AT, SALT_END)).toString('base64')}`
}

function hashOf(bytes: Uint8Array): string {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return `${bytes.length}/${hash}`
}
