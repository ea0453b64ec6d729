/**
 * How well the containers of a simulated host are: some never work, some stop working after a while,
 * and their checks say so, time out, or cannot be run. It remembers what the daemon was told of each,
 * so that the checkers can ask whether an agent had a reason for what it did.
 */
import type { ProbeResult } from '../../agent/health.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { SeededRandom } from '../../lib/random.ts'
import type { Task } from '../../proto/gen/objects.ts'

export type AilmentRates = {
  /** Chance that a container never works. */
  readonly stillborn: number
  /** Chance that one that works stops doing so within a minute. */
  readonly sickPerMinute: number
  /** Chance that the check of one that works fails all the same. */
  readonly falseAlarm: number
}

export const NO_AILMENTS: AilmentRates = { stillborn: 0, sickPerMinute: 0, falseAlarm: 0 }

type Condition = {
  /** From when on it does not work, ms of the schedule. */
  sickFromMs: number
  /** A check of it succeeded, and its daemon was told. */
  isProven: boolean
  /** Failures told since the last success. */
  failures: number
  /** The last that was told was a failure. */
  isFailing: boolean
  /** A daemon that had been told died: it may have forgotten the last success. */
  isInDoubt: boolean
}

export class Ailments {
  rates: AilmentRates
  readonly #random: SeededRandom
  readonly #conditions = new Map<string, Condition>()

  constructor(rates: AilmentRates, random: SeededRandom) {
    this.rates = rates
    this.#random = random
  }

  /** Its container runs from now on. */
  started(task: Task, nowMs: number): void {
    if (!isChecked(task)) return
    const { stillborn, sickPerMinute } = this.rates
    const isStillborn = this.#random.fraction() < stillborn
    const minutes = sickPerMinute === 0 ? Infinity : this.#random.fraction() / sickPerMinute
    this.#conditions.set(task.id, {
      sickFromMs: isStillborn ? 0 : nowMs + minutes * 60_000,
      isProven: false,
      failures: 0,
      isFailing: false,
      isInDoubt: false,
    })
  }

  removed(taskId: string): void {
    this.#conditions.delete(taskId)
  }

  /** The daemon died. */
  forgotten(): void {
    for (const condition of this.#conditions.values()) condition.isInDoubt = true
  }

  /** Nobody falls ill any more; who is stays so. */
  heal(nowMs: number): void {
    this.rates = NO_AILMENTS
    for (const condition of this.#conditions.values())
      if (condition.sickFromMs > nowMs) condition.sickFromMs = Infinity
  }

  /** What a check of a running container finds. */
  probe(taskId: string, nowMs: number): ProbeResult {
    if (!this.isSick(taskId, nowMs) && this.#random.fraction() >= this.rates.falseAlarm)
      return { kind: 'exited', exitCode: 0, output: 'ok' }
    const draw = this.#random.integer(4)
    if (draw === 0) return { kind: 'late', output: '' }
    if (draw === 1) return { kind: 'failed', error: new SwarmError('internal', 'no such program') }
    return { kind: 'exited', exitCode: draw, output: 'ill' }
  }

  /** The daemon hears of it now. */
  told(taskId: string, result: ProbeResult): void {
    const condition = this.#conditions.get(taskId)
    // That the runtime was away says nothing.
    if (condition === undefined || (result.kind === 'failed' && result.error.retriable)) return
    const isGood = result.kind === 'exited' && result.exitCode === 0
    condition.isFailing = !isGood
    condition.failures = isGood ? 0 : condition.failures + 1
    if (!isGood) return
    condition.isProven = true
    condition.isInDoubt = false
  }

  isSick(taskId: string, nowMs: number): boolean {
    return nowMs >= (this.#conditions.get(taskId)?.sickFromMs ?? Infinity)
  }

  /** Whether a daemon was ever told that it works; of one without a check there is nothing to tell. */
  isProven(task: Task): boolean {
    return this.#conditions.get(task.id)?.isProven ?? true
  }

  /** Whether a daemon was told so often that it does not work that it may end it. */
  mayEnd(task: Task): boolean {
    const condition = this.#conditions.get(task.id)
    const retries = task.spec?.container?.healthcheck?.retries ?? 0
    if (condition === undefined || !condition.isFailing) return false
    return condition.isInDoubt || condition.failures >= retries
  }
}

/** One of so many images is of a program that ends as soon as it is started. */
const BROKEN_OF = 8

/** Whether the image, `name:number`, holds a program that cannot run. */
export function isBroken(task: Task): boolean {
  const [, number = ''] = task.spec?.container?.image.split(':') ?? []
  return number !== '' && Number(number) % BROKEN_OF === 0
}

/** Images of the simulator have no check of their own. */
export function isChecked(task: Task): boolean {
  const kind = task.spec?.container?.healthcheck?.test[0]
  return kind === 'CMD' || kind === 'CMD-SHELL'
}
