/**
 * Reader and Writer where the generated code's tests do not reach: every 64-bit number against
 * BigInt's arithmetic, memory, order of map entries. The rest of them is tested through messages,
 * in `generate.test.ts`.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { decodeTask, emptyTask, encodeTask } from './gen/objects.ts'
import { emptyContainerSpec, emptyTaskSpec, type TaskSpec, writeTaskSpec } from './gen/specs.ts'
import { decode, encode, Reader, refuseEnumValue, Shared, sortedEntries, Writer } from './wire.ts'

const anyUint64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
  fc.nat({ max: 64 }).map((bits) => 2n ** BigInt(bits) % 2n ** 64n),
)

test('uint64() reads every safe number, and refuses every other one', () => {
  fc.assert(
    fc.property(anyUint64, (value) => {
      const reader = new Reader(varint(value))
      if (value <= Number.MAX_SAFE_INTEGER) expect(reader.uint64()).toBe(Number(value))
      else expect(() => reader.uint64()).toThrow(/beyond 2\^53/)
    }),
  )
})

test('int64() reads every safe number, and refuses every other one', () => {
  fc.assert(
    fc.property(anyUint64, (bits) => {
      const value = BigInt.asIntN(64, bits)
      const reader = new Reader(varint(bits))
      if (Number.isSafeInteger(Number(value))) expect(reader.int64()).toBe(Number(value))
      else expect(() => reader.int64()).toThrow(/beyond 2\^53/)
    }),
  )
})

test('int64() and uint64() write what BigInt makes of the number', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      const signed = written((writer) => writer.int64(value))
      expect(signed).toEqual(varint(BigInt.asUintN(64, BigInt(value))))
      if (value < 0) return
      expect(written((writer) => writer.uint64(value))).toEqual(varint(BigInt(value)))
    }),
  )
})

test.each([
  ['int32', 2 ** 31 - 1, -(2 ** 31), 2 ** 31],
  ['uint32', 2 ** 32 - 1, 0, 2 ** 32],
  ['fixed32', 2 ** 32 - 1, 0, -1],
] as const)('%s() holds its range', (type, max, min, beyond) => {
  for (const value of [max, min]) {
    expect(new Reader(written((writer) => writer[type](value)))[type]()).toBe(value)
  }

  expect(() => new Writer()[type](beyond)).toThrow(SwarmError)
  expect(() => new Writer()[type](0.5)).toThrow(SwarmError)
})

test('encode() gives arrays that later messages do not change, of any size', () => {
  const sizes = [0, 1, 63, 64, 65, 1000, 70_000, 5, 200_000, 1]

  const all = sizes.map((size) =>
    encode(new Uint8Array(size).fill(size), (value, writer) => writer.raw(value)),
  )

  expect(all.map((bytes) => bytes.length)).toEqual(sizes)
  for (const [i, bytes] of all.entries()) {
    expect(bytes.every((byte) => byte === (sizes[i] ?? 0) % 256)).toBe(true)
    expect(bytes.buffer.byteLength).toBe(bytes.length)
  }
})

test('bytes() gives arrays that share no memory with the input', () => {
  const input = new Uint8Array([3, 1, 2, 3, 100, ...new Uint8Array(100).fill(9)])
  const reader = new Reader(input)

  const short = reader.bytes()
  const long = reader.bytes()
  input.fill(0)

  expect(short).toEqual(Uint8Array.of(1, 2, 3))
  expect(long).toEqual(new Uint8Array(100).fill(9))
  expect(short.constructor).toBe(Uint8Array)
})

test('keep() puts skipped fields of every wire type together', () => {
  const kept = Uint8Array.of(0x08, 0x96, 0x01, 0x15, 1, 2, 3, 4, 0x1a, 1, 7, 0x23, 0x08, 1, 0x24)
  const reader = new Reader(kept)

  let unknown: Writer | undefined
  while (reader.position < kept.length) {
    reader.tag()
    unknown = reader.keep(unknown)
  }

  expect(unknown?.finish()).toEqual(kept)
})

test('decode() names the message, and keeps refusals as they are', () => {
  const refusal = new SwarmError('unimplemented', 'of later')

  const act = (error: Error) => () =>
    decode(new Uint8Array(0), 'p.Message', () => {
      throw error
    })

  expect(act(new RangeError('oops'))).toThrow(
    expect.objectContaining({ code: 'invalid-argument', message: 'malformed p.Message: oops' }),
  )
  expect(act(refusal)).toThrow(refusal)
})

test('refuseEnumValue() says what to do', () => {
  expect(() => refuseEnumValue('TaskState', 9)).toThrow(
    'unknown value 9 of TaskState: upgrade this node first',
  )
})

test('sortedEntries() goes by key, whatever the order of insertion', () => {
  const map = new Map([
    ['b', 1],
    ['', 2],
    ['B', 3],
    ['a', 4],
  ])

  expect(sortedEntries(map).map(([key]) => key)).toEqual(['', 'B', 'a', 'b'])
  expect(
    sortedEntries(
      new Map([
        [10, 'x'],
        [9, 'y'],
      ]),
    ).map(([key]) => key),
  ).toEqual([9, 10])
})

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer()
  write(writer)
  return writer.finish()
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Uint8Array.of(...bytes, Number(rest))
}

test('an equal message of a shared field is the same object, one that differs is not', () => {
  const bytesOf = (image: string): Uint8Array =>
    encodeTask({
      ...emptyTask,
      spec: { ...emptyTaskSpec, container: { ...emptyContainerSpec, image } },
    })
  const long = 'x'.repeat(5_000)

  const [first, other, again] = ['a', 'b', 'a'].map((image) => decodeTask(bytesOf(image)))
  const longOnes = [long, long].map((image) => decodeTask(bytesOf(image)))

  expect(again?.spec).toBe(first?.spec)
  expect(other?.spec?.container?.image).toBe('b')
  expect(longOnes[1]?.spec).not.toBe(longOnes[0]?.spec)
  expect(longOnes[1]).toEqual(longOnes[0])
})

test('a shared field is not taken over from where it nested less deep', () => {
  const shared = new Shared<string>()
  const bytes = { buf: new Uint8Array([1, 2, 3]), start: 1, end: 3 }
  shared.keep(bytes, 2, 'made')

  expect(shared.find(bytes, 2)).toBe('made')
  expect(shared.find({ buf: new Uint8Array([2, 3]), start: 0, end: 2 }, 2)).toBe('made')
  expect(shared.find(bytes, 3)).toBeUndefined()
  expect(shared.find({ ...bytes, end: 2 }, 2)).toBeUndefined()
})

test('a shared field is written alike however often, and whatever is written between', () => {
  const specs = ['a', 'b'].map((image) => ({
    ...emptyTaskSpec,
    container: { ...emptyContainerSpec, image: image.repeat(200) },
  }))
  const property = fc.property(fc.array(fc.constantFrom(...specs)), (order) => {
    const shared = new Shared<TaskSpec>()
    const writer = new Writer()
    const plain = new Writer()
    for (const spec of order) {
      writer.shared(shared, spec, writeTaskSpec)
      plain.open()
      writeTaskSpec(spec, plain)
      plain.close()
    }

    expect(writer.finish()).toEqual(plain.finish())
  })
  fc.assert(property)
})
