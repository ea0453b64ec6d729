/**
 * Agents and dispatchers together, under the faults of many seeds: what must never happen is checked
 * while each world runs, and after it has healed it must come to rest.
 */
import { expect, test } from 'vitest'
import { SessionWorld } from '../test/session-world.ts'

const { SEEDS: seeds = '8' } = process.env
const SEEDS = Number(seeds)

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))(
  'sessions over streams that cut come to rest (seed %i)',
  (seed) => {
    const world = new SessionWorld(seed, { isHostile: false })

    world.run(60_000)
    world.settle(90_000)

    expect(world.counts.starts).toBeGreaterThan(0)
  },
)

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))(
  'sessions over streams that lose, repeat and reorder come to rest (seed %i)',
  (seed) => {
    const world = new SessionWorld(seed + 1_000, { isHostile: true })

    world.run(60_000)
    world.settle(90_000)

    expect(world.counts.sessions).toBeGreaterThan(3)
  },
)
