/**
 * Bytes as they come from a pipe → lines. It keeps what is not yet a whole line, and gives a line
 * longer than LOG_DATA_BYTES in partial pieces. Whoever reads the pipe stamps the time and writes
 * (`log-file.ts`); one splitter a stream.
 */
import { LOG_DATA_BYTES } from './log-file.ts'

export type Line = { readonly data: Uint8Array; readonly partial: boolean }

const NEWLINE = 0x0a

export class LineSplitter {
  /** The beginning of a line whose end has not come yet; at most LOG_DATA_BYTES. */
  #rest: Uint8Array = new Uint8Array(0)

  /** The lines that `bytes` end or fill up. Their data may be a view of `bytes`. */
  push(bytes: Uint8Array): readonly Line[] {
    const lines: Line[] = []
    let offset = 0
    while (offset < bytes.length) {
      const room = LOG_DATA_BYTES - this.#rest.length
      const newline = bytes.indexOf(NEWLINE, offset)
      const ends = newline !== -1 && newline - offset <= room
      const end = ends ? newline : Math.min(bytes.length, offset + room)
      const data = join(this.#rest, bytes.subarray(offset, end))
      // A full piece at the very end of the bytes waits: a newline may be all that follows.
      if (ends || (end - offset === room && end < bytes.length)) {
        lines.push({ data, partial: !ends })
        this.#rest = new Uint8Array(0)
        offset = ends ? end + 1 : end
      } else {
        this.#rest = data.slice()
        offset = end
      }
    }
    return lines
  }

  /** What was left without a newline, as a last line; nothing is left afterwards. */
  end(): readonly Line[] {
    const data = this.#rest
    this.#rest = new Uint8Array(0)
    return data.length === 0 ? [] : [{ data, partial: false }]
  }
}

function join(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length === 0) return right
  const joined = new Uint8Array(left.length + right.length)
  joined.set(left)
  joined.set(right, left.length)
  return joined
}
