/**
 * One run at a time of the same work, however many callers want it: all of them get its result. It
 * goes on while anyone waits for it and is cancelled when the last one has left.
 */
import { SwarmError } from '../../../../lib/errors.ts'

type Flight<T> = {
  readonly result: Promise<T>
  readonly controller: AbortController
  /** Callers that still wait; at 0 the work is cancelled. */
  waiting: number
}

export class Flights<T> {
  /** Work under way, also while it winds up after it was cancelled. */
  readonly #flights = new Map<string, Flight<T>>()

  /** The result of the work called `key`: that under way, or else what `start` begins. */
  async join(
    key: string,
    signal: AbortSignal,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const flight = await this.#board(key, signal, start)
    flight.waiting += 1
    try {
      return await unlessAborted(flight.result, signal)
    } finally {
      flight.waiting -= 1
      if (flight.waiting === 0) flight.controller.abort()
    }
  }

  async #board(
    key: string,
    signal: AbortSignal,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<Flight<T>> {
    for (;;) {
      throwIfAborted(signal)
      const known = this.#flights.get(key)
      if (known !== undefined && !known.controller.signal.aborted) return known
      if (known === undefined) return this.#begin(key, start)
      await unlessAborted(
        known.result.catch(() => undefined),
        signal,
      )
    }
  }

  #begin(key: string, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController()
    const result = start(controller.signal).finally(() => this.#flights.delete(key))
    // Whoever waits sees the failure; without anybody it is no news.
    result.catch(() => undefined)
    const flight = { result, controller, waiting: 0 }
    this.#flights.set(key, flight)
    return flight
  }
}

/** The promise's result, or SwarmError 'cancelled' as soon as `signal` is aborted. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  throwIfAborted(signal)
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(cancelled(signal))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal)
}

function cancelled(signal: AbortSignal): SwarmError {
  return new SwarmError('cancelled', 'no longer wanted', { cause: signal.reason })
}
