/**
 * Amounts as users write them: memory with a unit of powers of 1024, processors with decimals. What is
 * said where a text is neither is left to whoever asked for it.
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
