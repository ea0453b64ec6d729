/** When a daemon gives memory back: when it is quiet, has something to give, and not much to look through. */
import { expect, test } from 'vitest'
import { IdleMemory, type MemoryReading } from './idle-memory.ts'

const MIB = 2 ** 20

/** Looks once for each; `held` and `used` are MiB, `cpuMs` is of the 5 s since the last look. */
function countGivenBack(
  looks: readonly { readonly cpuMs: number; readonly held: number; readonly used: number }[],
  leaves = 0,
): number {
  let given = 0
  let left: number | undefined
  const memory = new IdleMemory(() => {
    given += 1
    left = leaves
  })
  let cpuMs = 1_000
  for (const { cpuMs: more, held, used } of looks) {
    cpuMs += more
    left = undefined
    memory.look((): MemoryReading => {
      const heldBytes = (left === undefined ? held : used + left) * MIB
      return { cpuMs, passedMs: 5_000, heldBytes, usedBytes: used * MIB }
    })
  }
  return given
}

const quiet = { cpuMs: 100, held: 60, used: 30 }

test.each([
  ['quiet for two looks', [quiet, quiet, quiet], 1],
  ['not quiet for long enough', [quiet, quiet], 0],
  ['busy between', [quiet, quiet, { ...quiet, cpuMs: 500 }, quiet], 0],
  ['nothing to give', [quiet, quiet, quiet].map((look) => ({ ...look, held: 37 })), 0],
  ['much in use', [quiet, quiet, quiet].map((look) => ({ ...look, held: 99, used: 65 })), 0],
  ['what it gave is taken again', [quiet, quiet, quiet, quiet], 2],
])('%s', (_what, looks, expected) => {
  expect(countGivenBack(looks)).toBe(expected)
})

test('what cannot be given back is not asked for again and again', () => {
  expect(countGivenBack([quiet, quiet, quiet, quiet, quiet, quiet], 25)).toBe(1)
  const more = { ...quiet, held: 70 }
  expect(countGivenBack([quiet, quiet, quiet, quiet, more, more], 25)).toBe(3)
})
