/** The limit of a health check's output, and what stands at its end. */
import { expect, test } from 'vitest'
import { LimitedOutput } from './limited-output.ts'

function textOf(...pieces: readonly string[]): string {
  const output = new LimitedOutput()
  const shared = new Uint8Array(10_000)
  for (const piece of pieces) {
    const { written } = new TextEncoder().encodeInto(piece, shared)
    output.push(shared.subarray(0, written))
  }
  return output.text()
}

test('LimitedOutput keeps 4,096 bytes and says when there was more', () => {
  expect(textOf()).toBe('')
  expect(textOf('a', 'b')).toBe('ab')
  expect(textOf('x'.repeat(4_096))).toBe('x'.repeat(4_096))
  expect(textOf('x'.repeat(4_000), 'y'.repeat(97))).toBe(`${'x'.repeat(4_000)}${'y'.repeat(96)}...`)
  expect(textOf('x'.repeat(9_000), 'y')).toBe(`${'x'.repeat(4_096)}...`)
})
