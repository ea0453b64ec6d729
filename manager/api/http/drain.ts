/**
 * What a client still sends of a request that is refused. A connection that is closed under a writer
 * gives it EPIPE, and most clients then never read the answer; so the rest is read and thrown away
 * before the refusal is sent. Who sends without end is cut off.
 */
import type { IncomingMessage } from 'node:http'

/** Sixteen times the largest body. */
const DRAIN_BYTES_MAX = 67_108_864
const DRAIN_MS_MAX = 5_000

/** The request has been read to its end, or has been given up. */
export function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.readableEnded || request.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    let leftBytes = DRAIN_BYTES_MAX
    const onData = (chunk: Buffer): void => {
      leftBytes -= chunk.length
      if (leftBytes < 0) finish()
    }
    const finish = (): void => {
      clearTimeout(timer)
      request.off('data', onData).off('end', finish).off('close', finish)
      resolve()
    }
    const timer = setTimeout(finish, DRAIN_MS_MAX)
    request.on('data', onData).on('end', finish).on('close', finish)
    request.resume()
  })
}
