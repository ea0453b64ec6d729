/** What a range of seeds must have reached. */
import { expect, test } from 'vitest'
import { Coverage, LANDMARKS, type Line, NOT_REACHED } from './coverage.ts'
import { FAULT_CLASSES } from './faults/fault.ts'
import type { RunOutcome } from './simulator.ts'

function outcome(reached: readonly (readonly [Line, number])[]): RunOutcome {
  return {
    seed: 1,
    violations: [],
    hash: '',
    recent: [],
    summary: '',
    reached: new Map(reached),
    simulatedMs: 1_000,
  }
}

test('coverage adds up what seeds reached, and names what none did', () => {
  const required = FAULT_CLASSES.filter((name) => !NOT_REACHED.has(name))
  const coverage = new Coverage()

  coverage.add(outcome(LANDMARKS.map((name) => [name, 1] as const)))
  coverage.add(outcome(required.filter((name) => name !== 'D5').map((name) => [name, 2] as const)))
  const missing = coverage.missing()
  coverage.add(outcome([['D5', 1]]))

  expect(missing).toEqual(['D5'])
  expect(coverage.missing()).toEqual([])
  expect(coverage.simulatedMs).toBe(3_000)
  expect(coverage.format()).toContain('coverage of 3 seeds')
})
