/**
 * Amounts as users write and read them: memory with a unit of powers of 1024, processors with decimals,
 * durations as Go has them. What is said where a text is none of these is left to whoever asked for it.
 */

const SIZE = /^(\d+(?:\.\d+)?)\s?([kmgtp]?)(?:i?b)?$/i
const SIZE_UNITS = ['', 'k', 'm', 'g', 't', 'p']
const CPUS = /^\d+(?:\.\d+)?$|^\.\d+$/

/** Bytes of `512m`, `1.5GiB`, `4096`; undefined where it is no size. */
export function findBytes(text: string): number | undefined {
  const [, number, unit] = SIZE.exec(text) ?? []
  if (number === undefined || unit === undefined) return undefined
  return Math.floor(Number(number) * 1024 ** SIZE_UNITS.indexOf(unit.toLowerCase()))
}

/** Billionths of a processor of `0.5`, not rounded; undefined where it is no number of them. */
export function findNanoCpus(text: string): number | undefined {
  return CPUS.test(text) ? Number(text) * 1e9 : undefined
}

/** As Go writes a duration: `1m30s`, `2160h0m0s`, `500ms`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 1e9) {
    const [unit, size] =
      nanoseconds < 1e3 ? ['ns', 1] : nanoseconds < 1e6 ? ['µs', 1e3] : ['ms', 1e6]
    return `${trimDecimal(nanoseconds / Number(size))}${unit}`
  }
  const hours = Math.floor(nanoseconds / 3600e9)
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9)
  const seconds = trimDecimal((nanoseconds % 60e9) / 1e9)
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}

/** As `formatDuration`, of milliseconds. */
export function formatMilliseconds(milliseconds: number): string {
  return formatDuration(milliseconds * 1e6)
}

function trimDecimal(value: number): string {
  return String(Number(value.toFixed(9)))
}
