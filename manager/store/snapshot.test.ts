/**
 * Snapshots: saved and restored is the same; equal states give equal bytes; damage is found.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyTo, cluster, config, node, storeWith, task } from '../../test/build.ts'
import { changeFor, modelOf, wish } from '../../test/changes.ts'
import { CHUNK_BYTES_MAX, SnapshotReader, saveSnapshot } from './snapshot.ts'
import { Store } from './store.ts'

test('restore gives what was saved, however the bytes are cut', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 })
  const property = fc.property(
    fc.array(wish, { maxLength: 80, size: 'max' }),
    cuts,
    (wishes, cuts) => {
      const store = new Store()
      for (const each of wishes) {
        const change = changeFor(store.view(), each)
        if (change !== undefined) applyTo(store, [change])
      }

      const restored = restore(bytesOf(store), cuts)

      expect(modelOf(restored.view())).toEqual(modelOf(store.view()))
      expect([restored.view().index, restored.view().timeMs]).toEqual([
        store.view().index,
        store.view().timeMs,
      ])
      expect(restored.digest()).toEqual(store.digest())
      expect(bytesOf(restored)).toEqual(bytesOf(store))
    },
  )
  fc.assert(property, { numRuns: 60 })
})

test('a snapshot is of the state when it was asked for, in chunks that are full but the last', () => {
  const data = new Uint8Array(600_000).fill(7)
  const store = storeWith({
    clusters: [cluster()],
    configs: [config({ id: 'c1', spec: { data } }), config({ id: 'c2', spec: { data } })],
  })

  const chunks = saveSnapshot(store)
  applyTo(store, [{ kind: 'remove', table: 'configs', id: 'c2' }])
  const sizes: number[] = []
  const reader = new SnapshotReader()
  for (const chunk of chunks) {
    sizes.push(chunk.length)
    reader.feed(chunk)
  }

  expect(sizes.slice(0, -1)).toEqual(sizes.slice(0, -1).map(() => CHUNK_BYTES_MAX))
  expect(sizes).toHaveLength(19)
  expect(reader.finish().view().configs.size).toBe(2)
})

test('a restored store goes on as the saved one does', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' })], tasks: [task()], index: 1_020 })
  const restored = restore(bytesOf(store), [1_000])

  for (const each of [store, restored])
    applyTo(each, [
      {
        kind: 'update',
        table: 'nodes',
        object: node({ id: 'n1', spec: { availability: 'pause' } }),
      },
    ])

  expect(modelOf(restored.view())).toEqual(modelOf(store.view()))
  expect(restored.digest()).toEqual(store.digest())
})

test('any changed byte of the objects is found', () => {
  const bytes = bytesOf(storeWith({ nodes: [node({ description: undefined })], index: 3 }))
  const missed: number[] = []

  for (let i = 0; i < bytes.length; i++) {
    const damaged = bytes.slice()
    damaged[i] = (damaged[i] ?? 0) ^ 1
    try {
      const store = restore(damaged, [1_000])
      // Index and time are not part of the digest; the file they come in has a checksum.
      if (store.view().index === 3 && store.view().timeMs === 1_000) missed.push(i)
    } catch (error) {
      if (!(error instanceof Error)) throw error
    }
  }

  expect(missed).toEqual([])
})

test.each([
  ['cut short', (bytes: Uint8Array) => bytes.slice(0, -1), 'ends in the middle'],
  [
    'one record short',
    (bytes: Uint8Array) => bytes.slice(0, recordEnd(bytes)),
    '0 objects instead of 1',
  ],
  ['empty', () => new Uint8Array(0), 'ends in the middle'],
  ['too long a record', () => new Uint8Array([255, 255, 255, 255, 1]), 'has a record of'],
  ['twice the same object', (bytes: Uint8Array) => withLastRecordTwice(bytes), 'twice'],
])('a snapshot that is %s is refused', (_, damage, message) => {
  const bytes = damage(bytesOf(storeWith({ nodes: [node()] })))

  expect(() => restore(bytes, [1_000])).toThrow(message)
})

function bytesOf(store: Store): Uint8Array {
  return new Uint8Array(Buffer.concat([...saveSnapshot(store)]))
}

function restore(bytes: Uint8Array, cuts: readonly number[]): Store {
  const reader = new SnapshotReader()
  let position = 0
  for (let i = 0; position < bytes.length; i++) {
    const length = cuts[i % cuts.length] ?? 1
    reader.feed(bytes.subarray(position, position + length))
    position += length
  }
  return reader.finish()
}

/** Where the head ends; it is shorter than 128 bytes. */
function recordEnd(bytes: Uint8Array): number {
  return 1 + (bytes[0] ?? 0)
}

function withLastRecordTwice(bytes: Uint8Array): Uint8Array {
  const last = bytes.subarray(recordEnd(bytes))
  return new Uint8Array([...bytes, ...last])
}
