/** What a node offers to tasks: what the machine has, less what the system keeps. */
import { expect, test } from 'vitest'
import { emptyResources } from '../proto/gen/types.ts'
import { offered } from './runtime.ts'

const machine = { ...emptyResources, nanoCpus: 2e9, memoryBytes: 4_096 }

test('what is reserved for the system is not offered', () => {
  const reserved = { nanoCpus: 5e8, memoryBytes: 96 }

  expect(offered(machine, { reserved })).toEqual({
    ...machine,
    nanoCpus: 1.5e9,
    memoryBytes: 4_000,
  })
})

test.each([
  [{ nanoCpus: 2e9, memoryBytes: 0 }, /--reserve-cpu leaves nothing to tasks: .* 2 processors/],
  [{ nanoCpus: 0, memoryBytes: 4_096 }, /--reserve-memory leaves nothing/],
])('%j is refused', (reserved, message) => {
  expect(() => offered(machine, { reserved })).toThrow(message)
})
