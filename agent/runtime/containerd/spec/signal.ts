/**
 * Stop signals as images and services name them (`SIGTERM`, `term`, `15`, `SIGRTMIN+3`) → the
 * kernel's numbers on x86_64 and arm64.
 */
import { constants } from 'node:os'
import { SwarmError } from '../../../../lib/errors.ts'

export const SIGTERM: number = constants.signals.SIGTERM
export const SIGKILL: number = constants.signals.SIGKILL

/** As the C library counts them for programs, 32 and 33 being its own. */
const SIGRTMIN = 34
const SIGRTMAX = 64

const BY_NAME: ReadonlyMap<string, number> = new Map(Object.entries(constants.signals))

/** SwarmError 'invalid-argument' for what is no signal; empty is SIGTERM. */
export function parseSignal(text: string): number {
  if (text === '') return SIGTERM
  const upper = text.toUpperCase()
  const name = upper.startsWith('SIG') ? upper : `SIG${upper}`
  const number = /^\d+$/.test(text) ? Number(text) : (BY_NAME.get(name) ?? realTime(name))
  if (number !== undefined && number >= 1 && number <= SIGRTMAX) return number
  throw new SwarmError('invalid-argument', `invalid signal: ${text}`, { facts: { signal: text } })
}

function realTime(name: string): number | undefined {
  const match = /^SIGRT(MIN(?:\+(\d{1,2}))?|MAX(?:-(\d{1,2}))?)$/.exec(name)
  if (match === null) return undefined
  const number = name.startsWith('SIGRTMIN')
    ? SIGRTMIN + Number(match[2] ?? 0)
    : SIGRTMAX - Number(match[3] ?? 0)
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined
}
