/** When a daemon gives memory back: when it is quiet, has something to give, and not much to look through. */
import { expect, test } from 'vitest'
import { IdleMemory, type MemoryReading } from './idle-memory.ts'

const MIB = 2 ** 20

/** Looks once for each; `held` and `used` are MiB, `cpuMs` is of the 100 s since the last look. */
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
  let [atMs, cpuMs] = [7_000, 1_000]
  for (const { cpuMs: more, held, used } of looks) {
    atMs += 100_000
    cpuMs += more
    left = undefined
    memory.look((): MemoryReading => {
      const heldBytes = (left === undefined ? held : used + left) * MIB
      return { atMs, cpuMs, heldBytes, usedBytes: used * MIB }
    })
  }
  return given
}

const quiet = { cpuMs: 2_000, held: 60, used: 30 }

test.each([
  ['quiet for two looks', [quiet, quiet, quiet], 1],
  ['not quiet for long enough', [quiet, quiet], 0],
  ['busy between', [quiet, quiet, { ...quiet, cpuMs: 10_000 }, quiet], 0],
  ['nothing to give', [quiet, quiet, quiet].map((look) => ({ ...look, held: 37 })), 0],
  ['much in use', [quiet, quiet, quiet].map((look) => ({ ...look, held: 99, used: 65 })), 0],
  ['what it gave is taken again, and soon asked for', new Array(5).fill(quiet), 1],
  ['what it gave is taken again', new Array(6).fill(quiet), 2],
])('%s', (_what, looks, expected) => {
  expect(countGivenBack(looks)).toBe(expected)
})

test('what cannot be given back is not asked for again and again', () => {
  const often = new Array(9).fill(quiet)

  expect(countGivenBack(often, 25)).toBe(1)
  expect(countGivenBack([...often, { ...quiet, held: 70 }], 25)).toBe(2)
})
