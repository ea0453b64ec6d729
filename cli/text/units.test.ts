/** Tables of durations, sizes and processors, to and fro. */
import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  parseBytes,
  parseCount,
  parseCpus,
  parseDuration,
  parseRatio,
} from './units.ts'

describe('units', () => {
  test.each([
    ['0', 0],
    ['5s', 5e9],
    ['1m30s', 90e9],
    ['1.5h', 5400e9],
    ['500ms', 5e8],
    ['2h0m0s', 7200e9],
    ['10us', 1e4],
  ])('parseDuration() reads %s', (text, nanoseconds) => {
    expect(parseDuration(text, 'x')).toBe(nanoseconds)
  })

  test.each(['', '5', '-5s', '5 s', 's', '1d', '1m30'])('parseDuration() refuses "%s"', (text) => {
    expect(() => parseDuration(text, 'restart-delay')).toThrow(/"--restart-delay"/)
  })

  test.each([
    ['0', 0],
    ['4096', 4096],
    ['512m', 2 ** 29],
    ['512MB', 2 ** 29],
    ['512MiB', 2 ** 29],
    ['1.5g', 1.5 * 2 ** 30],
    ['1 kb', 1024],
  ])('parseBytes() reads %s', (text, bytes) => {
    expect(parseBytes(text, 'x')).toBe(bytes)
  })

  test.each(['', 'm', '-1m', '1x', '1mm'])('parseBytes() refuses "%s"', (text) => {
    expect(() => parseBytes(text, 'limit-memory')).toThrow(/"--limit-memory"/)
  })

  test('formatBytes() shows four digits', () => {
    expect([0, 1023, 1024, 8_200_000_000].map(formatBytes)).toEqual([
      '0B',
      '1023B',
      '1KiB',
      '7.637GiB',
    ])
  })

  test('parseCpus() reads decimals and refuses what is no number', () => {
    expect(['0.5', '2', '.25', '0.001'].map((text) => parseCpus(text, 'x'))).toEqual([
      5e8, 2e9, 2.5e8, 1e6,
    ])
    for (const text of ['', '-1', 'a', '1e3', '0.0000000001'])
      expect(() => parseCpus(text, 'limit-cpu')).toThrow(/"--limit-cpu"/)
  })

  test('counts and ratios are not negative', () => {
    expect([parseCount('10', 'x'), parseRatio('0.25', 'x')]).toEqual([10, 0.25])
    for (const text of ['-1', '1.5', '', '99999999999999999999'])
      expect(() => parseCount(text, 'replicas')).toThrow(/"--replicas"/)
    expect(() => parseRatio('-0.1', 'x')).toThrow(/number/)
  })
})
