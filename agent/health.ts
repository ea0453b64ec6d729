/**
 * Health: whether what runs in a container works, found out by a check again and again. All functions
 * are pure, times are passed in: which check holds, when the next one is due, and what its outcome
 * means. The rules and texts are Docker's (HealthConfig of the Engine API); what follows for the task
 * is decided in `task.ts`, and the check itself is run by a Runtime.
 *
 *                 success                  retries failures in a row
 *   starting ───────────────▶ healthy ────────────────────────────────▶ unhealthy
 *       │  failures in the start period do not count                        ▲
 *       └───────────────────────────────────────────────────────────────────┘
 */
import { formatMilliseconds } from '../lib/amount.ts'
import type { SwarmError } from '../lib/errors.ts'
import { emptyHealth, type Health, type HealthResult } from '../proto/gen/objects.ts'
import { emptyHealthcheck, type Healthcheck } from '../proto/gen/specs.ts'
import type { ProbeOutcome } from './runtime/runtime.ts'

const INTERVAL_MS = 30_000
const TIMEOUT_MS = 30_000
const RETRIES = 3
const START_INTERVAL_MS = 5_000
const RESULTS_MAX = 5
/** Of what managers are told and disks keep: letters of each output. */
const TOLD_OUTPUT_LENGTH_MAX = 512
/** No exit code: the check took too long, or could not be run. */
const NO_EXIT_CODE = -1

export type Watch = {
  /** With nothing left out. */
  readonly check: Healthcheck
  readonly health: Health
  /** Undefined until it is looked at. */
  readonly schedule: Schedule | undefined
  /** The check that is being run. */
  readonly probe: Underway | undefined
}

/** Monotonic, ms. */
type Schedule = { readonly startedMs: number; readonly nextMs: number }

type Underway = {
  readonly id: number
  /** Monotonic, and wall time: ms. */
  readonly startedMs: number
  readonly startedWallMs: number
  /** It was asked to end early, and nothing is learnt from it. */
  readonly isCancelled: boolean
}

export type Now = {
  /** Monotonic, ms. */
  readonly nowMs: number
  /** Wall time, ms: for what is displayed, and for times that outlive a process. */
  readonly wallMs: number
}

export type ProbeResult =
  | ProbeOutcome
  /** The check could not be run: it has failed, unless it can be tried again. */
  | { readonly kind: 'failed'; readonly error: SwarmError }

/** The check that holds for a container, every field filled; undefined where there is none. */
export function findCheck(
  wanted: Healthcheck = emptyHealthcheck,
  image: Healthcheck = emptyHealthcheck,
): Healthcheck | undefined {
  const test = wanted.test.length > 0 ? wanted.test : image.test
  if (test[0] !== 'CMD' && test[0] !== 'CMD-SHELL') return undefined
  return {
    test,
    intervalMs: wanted.intervalMs || image.intervalMs || INTERVAL_MS,
    timeoutMs: wanted.timeoutMs || image.timeoutMs || TIMEOUT_MS,
    retries: wanted.retries || image.retries || RETRIES,
    startPeriodMs: wanted.startPeriodMs || image.startPeriodMs,
    startIntervalMs: wanted.startIntervalMs || image.startIntervalMs || START_INTERVAL_MS,
  }
}

/** The container is watched from now on; `health` is what was known of it before. */
export function newWatch(check: Healthcheck, health: Health = emptyHealth): Watch {
  return { check, health, schedule: undefined, probe: undefined }
}

/** The first look at it since it or this process was started: the next check is a whole interval away. */
export function schedule(watch: Watch, startedWallMs: number, now: Now): Watch {
  const startedMs = now.nowMs - Math.max(0, now.wallMs - startedWallMs)
  return rest({ ...watch, schedule: { startedMs, nextMs: now.nowMs } }, now.nowMs)
}

/** Whether a check is to begin now. */
export function isDue({ schedule: times, probe }: Watch, nowMs: number): boolean {
  return times !== undefined && probe === undefined && nowMs >= times.nextMs
}

export function beginProbe(watch: Watch, id: number, now: Now): Watch {
  const { nowMs: startedMs, wallMs: startedWallMs } = now
  return { ...watch, probe: { id, startedMs, startedWallMs, isCancelled: false } }
}

/** The check under way was asked to end early. */
export function cancelProbe(watch: Watch): Watch {
  const { probe } = watch
  return probe === undefined ? watch : { ...watch, probe: { ...probe, isCancelled: true } }
}

/** What is known now that the check under way has ended; the next one is scheduled. */
export function endProbe(watch: Watch, result: ProbeResult, now: Now): Watch {
  const { probe, check, health } = watch
  const idle: Watch = { ...watch, probe: undefined }
  // A runtime that is away for a moment says nothing about the container.
  const isAway = result.kind === 'failed' && result.error.retriable
  if (probe === undefined || probe.isCancelled || isAway) return rest(idle, now.nowMs)
  const { exitCode, output } = describe(result, check)
  const { startedWallMs: startMs } = probe
  const newest: HealthResult = { startMs, endMs: now.wallMs, exitCode, output }
  const results = [...health.results, newest].slice(-RESULTS_MAX)
  const judged = exitCode === 0 ? HEALTHY : judgeFailure(watch, probe.startedMs)
  return rest({ ...idle, health: { ...health, ...judged, results } }, now.nowMs)
}

const HEALTHY: Pick<Health, 'state' | 'failingStreak'> = { state: 'healthy', failingStreak: 0 }

function judgeFailure(
  { check, health, schedule: times }: Watch,
  probedMs: number,
): Pick<Health, 'state' | 'failingStreak'> {
  const { state, failingStreak } = health
  const ageMs = probedMs - (times?.startedMs ?? probedMs)
  if (state === 'starting' && ageMs < check.startPeriodMs) return { state, failingStreak }
  const streak = failingStreak + 1
  return { state: streak >= check.retries ? 'unhealthy' : state, failingStreak: streak }
}

/** Nothing is done for an interval; a start period that ends before is looked at as it ends. */
function rest(watch: Watch, nowMs: number): Watch {
  const { check, health, schedule: times } = watch
  if (times === undefined) return watch
  const leftMs = check.startPeriodMs - (nowMs - times.startedMs)
  const isStarting = health.state === 'starting' && leftMs > 0
  const pauseMs = isStarting ? Math.min(check.startIntervalMs, leftMs) : check.intervalMs
  return { ...watch, schedule: { ...times, nextMs: nowMs + pauseMs } }
}

function describe(
  result: ProbeResult,
  { timeoutMs }: Healthcheck,
): Pick<HealthResult, 'exitCode' | 'output'> {
  switch (result.kind) {
    case 'exited':
      return { exitCode: result.exitCode, output: result.output }
    case 'late': {
      const said = `Health check exceeded timeout (${formatMilliseconds(timeoutMs)})`
      const output = result.output === '' ? said : `${said}: ${result.output}`
      return { exitCode: NO_EXIT_CODE, output }
    }
    case 'failed':
      return { exitCode: NO_EXIT_CODE, output: result.error.message }
    default:
      return result satisfies never
  }
}

/** Whether others are told: successes that change nothing are not news. */
export function isNews(before: Health, after: Health): boolean {
  if (before.state !== after.state || before.failingStreak !== after.failingStreak) return true
  const newest = after.results.at(-1)
  return newest !== undefined && newest.exitCode !== 0 && newest !== before.results.at(-1)
}

/** The health as managers are told of it: outputs are cut. */
export function toTold(health: Health): Health {
  const results = health.results.map((result) => ({
    ...result,
    output: result.output.slice(0, TOLD_OUTPUT_LENGTH_MAX),
  }))
  return { ...health, results }
}
