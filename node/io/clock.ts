/**
 * The real side of port Clock. Only a loop reads it, once a round (STYLE section 4). It owns nothing
 * but the meaning: the monotonic clock is the process' own, the wall clock is the host's and may
 * jump. The fine wall clock is for stamping log lines, whose order within a millisecond counts; the
 * time since the boot outlives processes, and goes on while the host is suspended.
 */
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import type { Clock } from '../../lib/clock.ts'

/** Beyond this the host's clock was set, and the fine clock follows. */
const JUMP_MS = 5

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

/** Reading it is a file of the kernel's, and a busy loop asks thousands of times a second. */
const BOOT_READ_MS = 10

let boot = { bootMs: 0, readMs: Number.NEGATIVE_INFINITY }

/** Milliseconds since the host was started, as of some moments ago; the same for all its processes. */
export function readBootMs(): number {
  const readMs = performance.now()
  if (readMs - boot.readMs >= BOOT_READ_MS) boot = { bootMs: uptime() * 1_000, readMs }
  return boot.bootMs
}

/**
 * Wall time in milliseconds with a fraction of about a microsecond. It never goes back unless the
 * host's clock is set back.
 */
export function newFineWallClock(): () => number {
  let offsetMs = Date.now() - performance.now()
  return () => {
    const fine = performance.now() + offsetMs
    const coarse = Date.now()
    if (Math.abs(fine - coarse) <= JUMP_MS) return fine
    offsetMs += coarse - fine
    return coarse
  }
}
