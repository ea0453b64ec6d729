/**
 * Idle memory: a large young generation makes a busy manager faster, and what it once took V8 keeps,
 * used or not: some 40 MB that a daemon with little to do would hold for good. So a daemon that has
 * been quiet for a while gives back what V8 holds and does not use (`--expose-gc`, docs/cli.md); it
 * takes it again when it is needed. That blocks the main thread for some 60 to 120 ms, so it is seldom; a
 * daemon with much to remember, where it would take longer and be a small part, is left alone.
 */
import { systemClock } from './io/clock.ts'

const MIB = 2 ** 20
/** How often the daemon is looked at. */
const LOOK_MS = 5_000
/** Of the time since the last look; a manager of an idle cluster is at a fiftieth. */
const QUIET_SHARE = 0.1
/** So many looks in a row. */
const QUIET_LOOKS = 2
const USED_MAX_BYTES = 64 * MIB
/** Less than this more than was left the last time is not worth it. */
const SPARE_MIN_BYTES = 8 * MIB
/** One that is asked something now and then is not held up by each quiet moment. */
const GIVE_EVERY_MS = 300_000

export type MemoryReading = {
  /** Processor time of the main thread so far. */
  readonly cpuMs: number
  /** When it was read, ms. */
  readonly atMs: number
  /** What V8 holds in the main thread, and what of it is in use. */
  readonly heldBytes: number
  readonly usedBytes: number
}

export class IdleMemory {
  readonly #giveBack: () => void
  #last: MemoryReading | undefined
  #quietLooks = 0
  /** As it was after the last time. */
  #left: MemoryReading | undefined

  constructor(giveBack: () => void) {
    this.#giveBack = giveBack
  }

  look(read: () => MemoryReading): void {
    const reading = read()
    this.#quietLooks = isQuiet(this.#last, reading) ? this.#quietLooks + 1 : 0
    this.#last = reading
    if (this.#quietLooks < QUIET_LOOKS || !this.#isWorthIt(reading)) return
    this.#giveBack()
    this.#left = read()
    this.#last = this.#left
  }

  #isWorthIt(reading: MemoryReading): boolean {
    const left = this.#left
    if (left !== undefined && reading.atMs - left.atMs < GIVE_EVERY_MS) return false
    const leftBytes = left === undefined ? 0 : getSpareBytes(left)
    const isSmall = reading.usedBytes <= USED_MAX_BYTES
    return isSmall && getSpareBytes(reading) >= leftBytes + SPARE_MIN_BYTES
  }
}

function isQuiet(last: MemoryReading | undefined, { cpuMs, atMs }: MemoryReading): boolean {
  return last !== undefined && cpuMs - last.cpuMs < (atMs - last.atMs) * QUIET_SHARE
}

function getSpareBytes({ heldBytes, usedBytes }: MemoryReading): number {
  return heldBytes - usedBytes
}

/** Looks for as long as the process runs; nothing happens where V8 was not told to offer it. */
export function watchIdleMemory(): void {
  const { gc } = globalThis
  if (gc === undefined) return
  const memory = new IdleMemory(() => {
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  })
  const read = (): MemoryReading => {
    const { user, system } = process.threadCpuUsage()
    const { heapTotal: heldBytes, heapUsed: usedBytes } = process.memoryUsage()
    const atMs = systemClock.monotonicMs()
    return { atMs, cpuMs: (user + system) / 1_000, heldBytes, usedBytes }
  }
  setInterval(() => memory.look(read), LOOK_MS).unref()
}
