/**
 * Port Random and the seeded generator of the simulator. In production a Random draws from the
 * kernel's CSPRNG (`node/io/random.ts`); ids, tokens and jitter come from it. The seeded one is
 * xoshiro128** seeded by splitmix32; `split(name)` gives an independent stream, so that one part
 * drawing more numbers does not change what another part draws.
 */

export interface Random {
  /** A fresh array of `length` random bytes. */
  bytes(length: number): Uint8Array
  /** A whole number in [0, below); `below` is from 1 to 2^32. */
  integer(below: number): number
}

export interface SeededRandom extends Random {
  /** An independent generator for the part called `name`. */
  split(name: string): SeededRandom
  /** A double in [0, 1). */
  fraction(): number
}

/** A generator that gives the same numbers for the same seed. For the simulator and tests only. */
export function newSeededRandom(seed: number | string): SeededRandom {
  const text = String(seed)
  let mix = 0x9e3779b9
  for (let i = 0; i < text.length; i++) mix = Math.imul(mix ^ text.charCodeAt(i), 0x01000193) >>> 0
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let a = splitmix()
  let b = splitmix()
  let c = splitmix()
  let d = splitmix() | 1
  const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0
  const next = (): number => {
    const result = Math.imul(rotl(Math.imul(b, 5) >>> 0, 7), 9) >>> 0
    const t = (b << 9) >>> 0
    c = (c ^ a) >>> 0
    d = (d ^ b) >>> 0
    b = (b ^ c) >>> 0
    a = (a ^ d) >>> 0
    c = (c ^ t) >>> 0
    d = rotl(d, 11)
    return result
  }
  return {
    bytes: (length) => {
      const out = new Uint8Array(length)
      for (let i = 0; i < length; i++) out[i] = next() & 0xff
      return out
    },
    integer: (below) => Math.floor((next() / 2 ** 32) * below),
    fraction: () => next() / 2 ** 32,
    split: (name) => newSeededRandom(`${text}/${name}`),
  }
}
