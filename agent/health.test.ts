/** Tables for health checks: which one holds, when the next is due, what outcomes make of a container. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { emptyHealth, type Health } from '../proto/gen/objects.ts'
import { emptyHealthcheck, type Healthcheck } from '../proto/gen/specs.ts'
import {
  beginProbe,
  cancelProbe,
  endProbe,
  findCheck,
  isDue,
  isNews,
  newWatch,
  type ProbeResult,
  schedule,
  toTold,
  type Watch,
} from './health.ts'

const OK: ProbeResult = { kind: 'exited', exitCode: 0, output: 'fine' }
const BAD: ProbeResult = { kind: 'exited', exitCode: 7, output: 'ill' }
const LATE: ProbeResult = { kind: 'late', output: '' }

function check(part: Partial<Healthcheck> = {}): Healthcheck {
  const filled = findCheck({ ...emptyHealthcheck, test: ['CMD', 'x'], ...part })
  if (filled === undefined) throw new Error('there is a check')
  return filled
}

/** The wall clock is a million ahead. */
const at = (nowMs: number) => ({ nowMs, wallMs: 1_000_000 + nowMs })

/** A container started at 0 and first looked at then. */
function watched(part: Partial<Healthcheck> = {}, known?: Health): Watch {
  return schedule(newWatch(check(part), known), 1_000_000, at(0))
}

/** One check that begins when it is due and takes 10 ms. */
function probe(watch: Watch, result: ProbeResult): Watch {
  const dueMs = watch.schedule?.nextMs ?? 0
  return endProbe(beginProbe(watch, 1, at(dueMs)), result, at(dueMs + 10))
}

const probeAll = (watch: Watch, results: readonly ProbeResult[]): Watch =>
  results.reduce(probe, watch)

const WANTED = { ...emptyHealthcheck, test: ['CMD', 'w'], intervalMs: 1, retries: 2 }
const IMAGE = {
  ...{ test: ['CMD-SHELL', 'i'], intervalMs: 9, timeoutMs: 8, retries: 7 },
  ...{ startPeriodMs: 6, startIntervalMs: 5 },
}
const DEFAULTS = {
  ...{ intervalMs: 30_000, timeoutMs: 30_000, retries: 3 },
  ...{ startPeriodMs: 0, startIntervalMs: 5_000 },
}

test.for<[string, Healthcheck | undefined, Healthcheck | undefined, Healthcheck | undefined]>([
  ['nobody says anything', undefined, undefined, undefined],
  ['the image alone does', undefined, IMAGE, IMAGE],
  [
    'the service alone does',
    { ...emptyHealthcheck, test: ['CMD', 'w'] },
    undefined,
    { ...DEFAULTS, test: ['CMD', 'w'] },
  ],
  [
    'both do: the image fills what the service leaves out',
    WANTED,
    IMAGE,
    { ...IMAGE, test: ['CMD', 'w'], intervalMs: 1, retries: 2 },
  ],
  [
    'the service brings times and the image the test',
    { ...WANTED, test: [] },
    IMAGE,
    { ...IMAGE, intervalMs: 1, retries: 2 },
  ],
  ['the service wants none', { ...emptyHealthcheck, test: ['NONE'] }, IMAGE, undefined],
  ['the image says none', { ...WANTED, test: [] }, { ...IMAGE, test: ['NONE'] }, undefined],
  ['the image makes no sense', undefined, { ...IMAGE, test: ['curl'] }, undefined],
])('findCheck() where %s', ([, wanted, image, expected]) => {
  expect(findCheck(wanted, image)).toEqual(expected)
})

test.for<[string, Partial<Healthcheck>, readonly ProbeResult[], Health['state'], number]>([
  ['nothing is known', {}, [], 'starting', 0],
  ['one succeeds', {}, [OK], 'healthy', 0],
  ['one fails first', {}, [BAD], 'starting', 1],
  ['it never succeeds', {}, [BAD, BAD, BAD], 'unhealthy', 3],
  ['failures are not in a row', {}, [BAD, BAD, OK, BAD, BAD], 'healthy', 2],
  ['it worked once', {}, [OK, BAD, LATE, BAD], 'unhealthy', 3],
  ['one failure is enough', { retries: 1 }, [OK, BAD], 'unhealthy', 1],
  ['it takes too long', { retries: 1 }, [LATE], 'unhealthy', 1],
  [
    'it cannot be run',
    { retries: 1 },
    [{ kind: 'failed', error: new SwarmError('internal', 'no such program') }],
    'unhealthy',
    1,
  ],
  [
    'it fails in the start period',
    { retries: 1, startPeriodMs: 20_000 },
    [BAD, BAD],
    'starting',
    0,
  ],
  [
    'it succeeded in the start period, which ends with that',
    { retries: 1, startPeriodMs: 200_000 },
    [OK, BAD],
    'unhealthy',
    1,
  ],
  // At 5, 10 and 12 s; those before the end do not count, the one at the end does.
  [
    'it fails to the end of the start period',
    { retries: 1, startPeriodMs: 12_000 },
    [BAD, BAD, BAD],
    'unhealthy',
    1,
  ],
])('health where %s', ([, part, results, state, failingStreak]) => {
  expect(probeAll(watched(part), results).health).toMatchObject({ state, failingStreak })
})

test.for<[string, Partial<Healthcheck>, readonly ProbeResult[], number]>([
  ['an interval after the start', { intervalMs: 4_000 }, [], 4_000],
  ['an interval after the end of the one before', { intervalMs: 4_000 }, [OK], 8_010],
  ['a start interval after the start', { startPeriodMs: 60_000 }, [], 5_000],
  [
    'a start interval after a failure in the start period',
    { startPeriodMs: 60_000 },
    [BAD],
    10_010,
  ],
  ['an interval after the first success', { startPeriodMs: 60_000 }, [OK], 35_010],
  ['at the end of the start period', { startPeriodMs: 7_000 }, [BAD], 7_000],
  ['an interval later from then on', { startPeriodMs: 7_000 }, [BAD, BAD], 37_010],
])('the next check is due %s', ([, part, results, dueMs]) => {
  const watch = probeAll(watched(part), results)

  expect(isDue(watch, dueMs - 1)).toBe(false)
  expect(isDue(watch, dueMs)).toBe(true)
})

test('a check is not due while one is under way, nor before the container was looked at', () => {
  const watch = watched({ intervalMs: 10 })

  expect(isDue(beginProbe(watch, 1, at(10)), 1_000_000)).toBe(false)
  expect(isDue(newWatch(check()), 1_000_000)).toBe(false)
})

test('a start period goes on where it was when a process is started again', () => {
  const late = schedule(newWatch(check({ startPeriodMs: 8_000 })), 1_000_000, at(6_000))
  const ahead = schedule(newWatch(check({ startPeriodMs: 8_000 })), 9_000_000, at(6_000))

  expect(isDue(late, 8_000)).toBe(true)
  expect(isDue(late, 7_999)).toBe(false)
  // A wall clock that was set back makes it whole again, never longer.
  expect(isDue(ahead, 11_000)).toBe(true)
})

test('the last five results are kept, with what was said', () => {
  const results = [OK, BAD, LATE, { kind: 'late', output: 'slow' } as const, BAD, OK]
  const { health } = probeAll(watched({ retries: 9, intervalMs: 100, timeoutMs: 90_500 }), results)

  expect(health.results.map(({ exitCode, output }) => [exitCode, output])).toEqual([
    [7, 'ill'],
    [-1, 'Health check exceeded timeout (1m30.5s)'],
    [-1, 'Health check exceeded timeout (1m30.5s): slow'],
    [7, 'ill'],
    [0, 'fine'],
  ])
  expect(health.results[0]).toMatchObject({ startMs: 1_000_210, endMs: 1_000_220 })
})

test('nothing is learnt while the runtime is away', () => {
  const error = new SwarmError('unavailable', 'no keeper', { retriable: true })
  const before = probe(watched({ retries: 1, intervalMs: 100 }), OK)
  const after = probe(before, { kind: 'failed', error })

  expect(after.health).toBe(before.health)
  expect(after.probe).toBeUndefined()
})

test('nothing is learnt from a check that was given up', () => {
  const before = probe(watched({ intervalMs: 100 }), OK)
  const given = cancelProbe(beginProbe(before, 2, at(500)))
  const after = endProbe(given, LATE, at(600))

  expect(after.health).toBe(before.health)
  expect([isDue(after, 699), isDue(after, 700)]).toEqual([false, true])
})

test('failures and changes are news, further successes are not', () => {
  const start = watched({ retries: 2 })
  const well = probe(start, OK)

  expect(isNews(start.health, well.health)).toBe(true)
  expect(isNews(well.health, probe(well, OK).health)).toBe(false)
  expect(isNews(well.health, probe(well, BAD).health)).toBe(true)
  const early = watched({ startPeriodMs: 60_000 })
  expect(isNews(early.health, probe(early, BAD).health)).toBe(true)
})

test('of long outputs managers are told the beginning', () => {
  const long = { startMs: 1, endMs: 2, exitCode: 1, output: 'x'.repeat(4_096) }

  expect(toTold({ ...emptyHealth, results: [long] }).results).toEqual([
    { ...long, output: 'x'.repeat(512) },
  ])
})
