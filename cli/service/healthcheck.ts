/**
 * Flags about health checks: `--health-*` and `--no-healthcheck`, with Docker's meaning. A command is
 * a line for the image's shell; an empty one leaves the test to the image again; `--no-healthcheck`
 * takes the image's away and stands alone. What no flag says is as it was.
 */
import type { Flags } from '../command.ts'
import { at, type Json, objectAt, setAt, textsAt } from '../json.ts'
import { parseCount, parseDuration } from '../text/units.ts'
import { usageError } from '../usage-error.ts'

const PATH = ['TaskTemplate', 'ContainerSpec', 'Healthcheck']

const SETTINGS = [
  ['health-interval', 'Interval', parseDuration],
  ['health-timeout', 'Timeout', parseDuration],
  ['health-retries', 'Retries', parseCount],
  ['health-start-period', 'StartPeriod', parseDuration],
  ['health-start-interval', 'StartInterval', parseDuration],
] as const

/** The spec with what the flags say. */
export function applyHealthcheck(before: Json, flags: Flags): Json {
  const given = ['health-cmd', ...SETTINGS.map(([flag]) => flag)].filter((name) =>
    flags.isGiven(name),
  )
  if (flags.choice('no-healthcheck') === true) {
    if (given.length > 0) throw usageError('--no-healthcheck conflicts with --health-* options')
    return setAt(before, PATH, { Test: ['NONE'] })
  }
  if (given.length === 0) return before
  let check: Json = { ...objectAt(before, ...PATH) }
  if (textsAt(check, 'Test')[0] === 'NONE') check = without(check, 'Test')
  for (const [flag, name, parse] of SETTINGS) {
    const text = flags.text(flag)
    if (text !== undefined) check = setAt(check, [name], parse(text, flag))
  }
  const command = flags.text('health-cmd')
  if (command === '') check = without(check, 'Test')
  else if (command !== undefined) check = setAt(check, ['Test'], ['CMD-SHELL', command])
  return setAt(before, PATH, check)
}

function without(check: Json, name: string): Json {
  if (at(check, name) === undefined) return check
  return Object.fromEntries(Object.entries(objectAt(check)).filter(([key]) => key !== name))
}
