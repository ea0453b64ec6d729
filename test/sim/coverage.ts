/**
 * Coverage: how often a range of seeds reached what it must: elections, torn tails, snapshots, joint
 * changes, agents that moved, and each class of faults of peers.md 3.3. Passing says little if the
 * interesting things did not come about, so a line of 0 fails the range.
 */
import { FAULT_CLASSES, type FaultClass } from './faults/fault.ts'
import type { RunOutcome } from './simulator.ts'

/** What must come about besides faults. */
export const LANDMARKS = [
  'elections',
  'torn tails',
  'overwritten suffixes',
  'snapshots installed',
  'joint changes',
  'agents moved',
  'damage refused',
  'cores',
  'unhealthy ended',
  'job slots done',
  'jobs run anew',
  'job tasks tried again',
  'global jobs on later nodes',
  'fenced',
  'updates rolled back',
  'rollbacks paused',
  'named resources given',
  'placed near or far',
] as const

/** What is counted. */
export type Line = FaultClass | (typeof LANDMARKS)[number]

/** Classes that no seed can reach yet, and why. */
export const NOT_REACHED: ReadonlyMap<FaultClass, string> = new Map([
  ['I2', 'the root is not rotated yet'],
  ['I4', 'there is no lock key yet'],
])

export class Coverage {
  #lines = new Map<Line, number>()
  #seeds = 0
  #simulatedMs = 0

  constructor() {
    for (const name of LANDMARKS) this.#lines.set(name, 0)
    for (const name of FAULT_CLASSES) if (!NOT_REACHED.has(name)) this.#lines.set(name, 0)
  }

  add(outcome: RunOutcome): void {
    this.#seeds++
    this.#simulatedMs += outcome.simulatedMs
    for (const [name, count] of outcome.reached)
      this.#lines.set(name, (this.#lines.get(name) ?? 0) + count)
  }

  get simulatedMs(): number {
    return this.#simulatedMs
  }

  /** The table, a line each. */
  format(): string {
    const width = Math.max(...[...this.#lines.keys()].map((name) => name.length))
    const lines = [...this.#lines].map(([name, count]) => `  ${name.padEnd(width)}  ${count}`)
    return [`coverage of ${this.#seeds} seeds`, ...lines].join('\n')
  }

  /** What was never reached. */
  missing(): readonly string[] {
    return [...this.#lines].filter(([, count]) => count === 0).map(([name]) => name)
  }
}
