/**
 * Answers that go on: headers at once, then chunks as fast as the client takes them. When the client
 * is gone the source is told by its signal, so that no node reads logs for nobody.
 */
import { once } from 'node:events'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'

export async function sendStream(
  response: ServerResponse,
  headers: OutgoingHttpHeaders,
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(200, headers)
  response.flushHeaders()
  try {
    for await (const chunk of open(gone.signal)) {
      if (!response.write(chunk)) await once(response, 'drain', { signal: gone.signal })
    }
    response.end()
  } catch (error) {
    const isGone = gone.signal.aborted
    // Without its last chunk the client knows that something is missing.
    response.destroy()
    if (!isGone) throw error
  }
}
