/**
 * Forwards: requests that one manager passes on to another, which leads, over one call for all of
 * them; a call for each costs both sides several times what the request does (docs/performance.md).
 * `ForwardCall` is the end of who passes on, `serveForwards` that of the leader. Answers come in any
 * order. Where none comes the outcome is unknown, for the request may have arrived; whether it may be
 * asked again is decided in `manager/calls.ts`.
 */
import { CODES, SwarmError } from '../lib/errors.ts'
import type {
  ForwardedWrite,
  ForwardOutcome,
  WriteReply,
  WriteRequest,
} from '../proto/gen/control.ts'
import type { BidiStream, ClientStream } from '../proto/rpc.ts'
import { Sender } from './sender.ts'

/** A request without an answer in this time has an unknown outcome. */
const DEADLINE_MS = 10_000
/** Requests of one call that are not answered; the next is read when one is. */
const UNANSWERED_MAX = 1_024

type Outcome = WriteReply | SwarmError

export type ForwardCallOptions = {
  /** Raft id of who leads. */
  readonly to: number
  readonly stream: ClientStream<ForwardOutcome, ForwardedWrite>
  /** Once for each request that was sent, whatever happens. */
  readonly onDone: (id: number, outcome: Outcome) => void
  /** The call is over, all its requests are done. */
  readonly onEnd: () => void
}

export class ForwardCall {
  readonly #options: ForwardCallOptions
  readonly #sender: Sender<ForwardedWrite>
  /** Requests without an answer, by their number, and until when it is waited for; the oldest first. */
  readonly #waiting = new Map<number, number>()
  #isOpen = true
  #reason: SwarmError | undefined

  constructor(options: ForwardCallOptions) {
    this.#options = options
    // What waits for room is bounded by those who wait for its outcome.
    this.#sender = new Sender(options.stream, () => undefined)
    this.#read().then(
      () => this.#finish(undefined),
      (error: unknown) => this.#finish(error),
    )
  }

  get to(): number {
    return this.#options.to
  }

  /** Whether it may be sent on. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** `id` is not on its way already; `nowMs` is monotonic. */
  send(id: number, request: WriteRequest, nowMs: number): void {
    this.#waiting.set(id, nowMs + DEADLINE_MS)
    this.#sender.send({ id, request })
  }

  /** Requests are given up that were not answered in time. */
  tick(nowMs: number): void {
    for (const [id, untilMs] of this.#waiting) {
      if (untilMs > nowMs) return
      this.#done(id, newLate())
    }
  }

  /** No more requests; the call ends when those on their way are answered. */
  end(): void {
    this.#isOpen = false
    this.#options.stream.end()
  }

  /** The outcome of all that is on its way is unknown, for this reason. */
  cancel(reason: SwarmError): void {
    this.#isOpen = false
    this.#reason = reason
    this.#options.stream.cancel()
  }

  async #read(): Promise<void> {
    for await (const { id, outcome } of this.#options.stream) this.#done(id, outcomeOf(outcome))
  }

  #done(id: number, outcome: Outcome): void {
    if (this.#waiting.delete(id)) this.#options.onDone(id, outcome)
  }

  #finish(error: unknown): void {
    this.#isOpen = false
    const reason = this.#reason ?? (error instanceof SwarmError ? error : newUnknown(error))
    for (const id of this.#waiting.keys()) this.#done(id, reason)
    this.#options.onEnd()
  }
}

export type ForwardsServed = {
  /** Rejects with a SwarmError where the request is refused. */
  readonly write: (request: WriteRequest) => Promise<WriteReply>
  /** Told of every error that is no refusal. */
  readonly onBug: (error: unknown) => void
}

/** Each request of the stream is answered on it; done when the caller ends it and all of them are. */
export async function serveForwards(
  stream: BidiStream<ForwardedWrite, ForwardOutcome>,
  served: ForwardsServed,
): Promise<void> {
  let unanswered = 0
  let wake = (): void => undefined
  const untilFewer = async (count: number): Promise<void> => {
    while (unanswered >= count)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }
  for await (const { id, request } of stream) {
    unanswered++
    answer(request, served)
      .then((outcome) => stream.send({ id, outcome }))
      // The call is over: nobody waits for it.
      .catch(() => undefined)
      .finally(() => {
        unanswered--
        wake()
      })
    await untilFewer(UNANSWERED_MAX)
  }
  await untilFewer(1)
}

async function answer(
  request: WriteRequest | undefined,
  { write, onBug }: ForwardsServed,
): Promise<ForwardOutcome['outcome']> {
  try {
    if (request === undefined) throw new SwarmError('invalid-argument', 'a forward has no request')
    return { kind: 'reply', reply: await write(request) }
  } catch (error) {
    if (!(error instanceof SwarmError)) onBug(error)
    const { code, message, retriable } =
      error instanceof SwarmError ? error : new SwarmError('internal', 'internal error')
    return { kind: 'refusal', refusal: { code: CODES.indexOf(code), message, retriable } }
  }
}

function outcomeOf(outcome: ForwardOutcome['outcome']): Outcome {
  if (outcome?.kind === 'reply') return outcome.reply
  if (outcome === undefined) return newUnknown(undefined)
  const { code, message, retriable } = outcome.refusal
  return new SwarmError(CODES[code] ?? 'unknown', message, { retriable })
}

function newLate(): SwarmError {
  return new SwarmError(
    'deadline-exceeded',
    `the leader did not answer within ${DEADLINE_MS / 1_000} s, outcome unknown`,
  )
}

function newUnknown(cause: unknown): SwarmError {
  return new SwarmError('unavailable', 'the leader did not answer, outcome unknown', { cause })
}
