/**
 * Applied hold: what the main thread tells the consensus thread in its rounds. What it has applied only
 * frees memory there, and waking a thread costs more than such a word; so the newest of them waits
 * until there is something else to tell, and then goes before it, or for 40 ms. All else keeps its
 * order and waits for the end of its round only.
 */
import type { ConsensusInput } from './consensus-interface.ts'

/** What is applied is told this late at most when there is nothing else to tell. */
const HOLD_MS = 40

export class AppliedHold {
  #inputs: ConsensusInput[] = []
  #applied: Extract<ConsensusInput, { readonly kind: 'applied' }> | undefined
  /** Monotonic, ms: when the thread was last told something. */
  #toldMs = Number.NEGATIVE_INFINITY

  add(input: ConsensusInput): void {
    if (input.kind === 'applied') this.#applied = input
    else this.#inputs.push(input)
  }

  /** At the end of a round: what the thread is told now, in order; nothing where that can wait. */
  take(nowMs: number): readonly ConsensusInput[] {
    const isLate = this.#applied !== undefined && nowMs - this.#toldMs >= HOLD_MS
    return this.#inputs.length > 0 || isLate ? this.flush(nowMs) : []
  }

  /** All that waits, which does not any more. */
  flush(nowMs: number): readonly ConsensusInput[] {
    const inputs = this.#applied === undefined ? this.#inputs : [this.#applied, ...this.#inputs]
    this.#applied = undefined
    this.#inputs = []
    if (inputs.length > 0) this.#toldMs = nowMs
    return inputs
  }
}
