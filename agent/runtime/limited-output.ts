/**
 * What a health check writes, cut to what is kept of it: the first 4,096 bytes, as with Docker. The
 * rest is taken and thrown away, so that a check which writes much does not wait for a reader.
 */

const BYTES_MAX = 4_096

export class LimitedOutput {
  readonly #pieces: Uint8Array[] = []
  #sizeBytes = 0
  #isCut = false

  push(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, BYTES_MAX - this.#sizeBytes)
    if (kept.length < bytes.length) this.#isCut = true
    if (kept.length === 0) return
    // The reader's buffer is used again.
    this.#pieces.push(kept.slice())
    this.#sizeBytes += kept.length
  }

  /** Ends with `...` where something was thrown away. */
  text(): string {
    const text = new TextDecoder().decode(Buffer.concat(this.#pieces))
    return this.#isCut ? `${text}...` : text
  }
}
