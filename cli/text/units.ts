/**
 * Amounts as users write and read them, in Docker's forms: durations as Go has them (`1m30s`), sizes
 * of memory in powers of 1024 (`512m`, `1.5GiB`), processors with decimals (`0.5`). Texts that are
 * none are usage errors that name the flag.
 */
import { findBytes, findNanoCpus } from '../../lib/amount.ts'
import { usageError } from '../usage-error.ts'

const NANO_PER: ReadonlyMap<string, number> = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['µs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 60e9],
  ['h', 3600e9],
])
const DURATION = /^(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)/

/** Nanoseconds; not negative. */
export function parseDuration(text: string, flag: string): number {
  if (text === '0') return 0
  let rest = text
  let nanoseconds = 0
  while (rest !== '') {
    const part = DURATION.exec(rest)?.[0]
    if (part === undefined)
      throw usageError(
        `invalid argument "${text}" for "--${flag}": must be a duration like 10s, 1m30s or 500ms`,
      )
    const number = Number.parseFloat(part)
    const unit = part.replace(/^[\d.]+/, '')
    nanoseconds += number * (NANO_PER.get(unit) ?? 0)
    rest = rest.slice(part.length)
  }
  if (text === '') throw usageError(`invalid argument "" for "--${flag}": must be a duration`)
  return Math.round(nanoseconds)
}

/** Bytes of `512m`, `1.5GiB`, `4096`; units are powers of 1024. */
export function parseBytes(text: string, flag: string): number {
  const bytes = findBytes(text)
  if (bytes === undefined)
    throw usageError(
      `invalid argument "${text}" for "--${flag}": invalid size, use e.g. 512m or 2g`,
    )
  return bytes
}

/** As Docker shows memory: four digits and a unit of powers of 1024 (`7.637GiB`). */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number(value.toPrecision(4))}${units[unit] ?? ''}`
}

/** Billionths of a processor. */
export function parseCpus(text: string, flag: string): number {
  const nano = findNanoCpus(text)
  if (nano === undefined)
    throw usageError(
      `invalid argument "${text}" for "--${flag}": use a number of processors like 0.5`,
    )
  if (Math.abs(nano - Math.round(nano)) > 1e-3)
    throw usageError(`invalid argument "${text}" for "--${flag}": value is too precise`)
  return Math.round(nano)
}

/** A whole number that is not negative. */
export function parseCount(text: string, flag: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw usageError(
      `invalid argument "${text}" for "--${flag}": must be a whole number, not negative`,
    )
  return value
}

/** A whole number. */
export function parseInteger(text: string, flag: string): number {
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
    throw usageError(`invalid argument "${text}" for "--${flag}": must be a whole number`)
  return value
}

/** A number that is not negative. */
export function parseRatio(text: string, flag: string): number {
  if (!/^\d+(?:\.\d+)?$|^\.\d+$/.test(text))
    throw usageError(`invalid argument "${text}" for "--${flag}": must be a number like 0.25`)
  return Number(text)
}

/** The word, if it is one of the choices. */
export function parseChoice(text: string, flag: string, choices: readonly string[]): string {
  if (choices.includes(text)) return text
  throw usageError(`invalid argument "${text}" for "--${flag}": use one of ${choices.join(', ')}`)
}
