/**
 * Sender: what goes out on one stream, in order. What the stream has no room for waits here; how much
 * that may be is for who sends, who is told when it begins and when it is over. That the stream
 * ended is told by its reading side, and what waited is lost with it.
 */
import type { ServerStream } from '../proto/rpc.ts'

export class Sender<Out> {
  readonly #stream: ServerStream<Out>
  readonly #onBlocked: (isBlocked: boolean) => void
  #waiting: Out[] = []

  constructor(stream: ServerStream<Out>, onBlocked: (isBlocked: boolean) => void) {
    this.#stream = stream
    this.#onBlocked = onBlocked
  }

  send(message: Out): void {
    if (this.#waiting.length === 0 && this.#stream.trySend(message)) return
    this.#waiting.push(message)
    if (this.#waiting.length > 1) return
    this.#onBlocked(true)
    this.#drain().then(
      () => this.#onBlocked(false),
      () => undefined,
    )
  }

  async #drain(): Promise<void> {
    for (let message = this.#waiting[0]; message !== undefined; message = this.#waiting[0]) {
      await this.#stream.send(message)
      this.#waiting.shift()
    }
  }
}
