/**
 * The tree against a sorted Map: same contents in the same order, and old roots stay as they were.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newId } from '../../lib/id.ts'
import { newSeededRandom } from '../../lib/random.ts'
import {
  type Edit,
  findValue,
  hashedKey,
  insertKey,
  insertValue,
  type Key,
  type Node,
  newEdit,
  newTree,
  orderedKey,
  removeValue,
  replaceValue,
  walkTexts,
  walkValues,
} from './tree.ts'

test('orderedKey() has ranks in the order of texts', () => {
  const texts = fc.oneof(
    fc.string({ unit: fc.constantFrom('0', '9', 'a', 'z', '-', 'A', '~', ' ', '\u{1f600}') }),
    fc.string({ unit: 'binary' }),
  )
  const property = fc.property(texts, texts, (left, right) => {
    const [low, high] = left < right ? [left, right] : [right, left]
    expect(orderedKey(low).rank).toBeLessThanOrEqual(orderedKey(high).rank)
    expect(Number.isSafeInteger(orderedKey(high).rank)).toBe(true)
  })
  fc.assert(property, { numRuns: 2_000 })
})

test('orderedKey() tells ids apart that differ in one of their first ten characters', () => {
  const ids = ['0', '9', 'a', 'z'].flatMap((each) => [`${each}bcdefghij`, `abcdefghi${each}`])

  expect(new Set(ids.map((id) => orderedKey(id).rank)).size).toBe(ids.length)
})

/** Few texts, so that operations meet; many that begin alike, so that ranks do too. */
const text = fc.oneof(
  fc.integer({ min: 0, max: 400 }).map((i) => `prefixed${i}`),
  fc.string({ minLength: 0, maxLength: 3 }),
  fc.constantFrom('', 'ä', 'ab', 'ab\u0000', '\u{1f600}'),
)
const command = fc.record({
  text,
  kind: fc.constantFrom('put', 'put', 'remove', 'keep'),
})

test.each([
  ['ordered', orderedKey],
  ['hashed', hashedKey],
])('tree with %s keys holds what a map holds, and old roots do not change', (_, keyOf) => {
  const property = fc.property(fc.array(command, { maxLength: 900, size: 'max' }), (commands) => {
    const kept: [Node<number>, ReadonlyMap<string, number>][] = []
    const model = new Map<string, number>()
    let root = newTree<number>()
    let edit = newEdit()

    commands.forEach(({ kind, text }, i) => {
      const key = keyOf(text)
      if (kind === 'keep') {
        kept.push([root, new Map(model)])
        edit = newEdit()
      } else if (kind === 'put') {
        root = put(root, key, i, edit)
        model.set(text, i)
      } else if (model.delete(text)) root = removeValue(root, key, edit)
    })

    for (const [old, entries] of [...kept, [root, model] as const]) expectEqual(old, entries, keyOf)
  })
  fc.assert(property, { numRuns: 60 })
})

test.each([
  ['ordered', orderedKey],
  ['hashed', hashedKey],
])('tree with %s keys stays in shape while it grows and shrinks in any order', (_, keyOf) => {
  const random = newSeededRandom('tree')
  const names = Array.from({ length: 6_000 }, () => newId(random))
  const model = new Map<string, number>()
  let root = newTree<number>()
  const edit = newEdit()

  for (let step = 0; step < 24_000; step++) {
    const name = names[random.integer(names.length)] ?? ''
    // Grows for a while, then shrinks to little, twice.
    const isPut = random.integer(10) < (step % 12_000 < 6_000 ? 9 : 1)
    if (isPut) {
      root = put(root, keyOf(name), step, edit)
      model.set(name, step)
    } else if (model.delete(name)) root = removeValue(root, keyOf(name), edit)
    if (step % 3_000 === 2_999) expectEqual(root, model, keyOf)
  }
})

test('tree keeps ascending keys in nodes that are nearly full', () => {
  const edit = newEdit()
  const model = new Map<string, number>()
  let root = newTree<number>()
  for (let i = 0; i < 30_000; i++) {
    const name = String(i).padStart(7, '0')
    root = insertValue(root, orderedKey(name), i, edit)
    model.set(name, i)
  }

  const leaves = countLeaves(root)

  expectEqual(root, model, orderedKey)
  expect(leaves).toBeLessThanOrEqual(30_000 / 30)
})

test('tree asserts that an inserted key is new and that others are there', () => {
  const edit = newEdit()
  const root = insertValue(newTree<number>(), orderedKey('a'), 1, edit)

  expect(() => insertValue(root, orderedKey('a'), 2, edit)).toThrow('an inserted key is new')
  expect(() => replaceValue(root, orderedKey('b'), 2, edit)).toThrow('a replaced key is there')
  expect(() => removeValue(root, orderedKey('b'), edit)).toThrow('a removed key is there')
})

test('a set gives its texts in ascending order', () => {
  const edit = newEdit()
  let root: Node<never> = newTree()
  for (let i = 99; i >= 0; i--) root = insertKey(root, orderedKey(String(i).padStart(3, '0')), edit)

  const texts = [...walkTexts(root)]

  expect(texts).toHaveLength(100)
  expect(texts).toEqual([...texts].sort())
})

function put(root: Node<number>, key: Key, value: number, edit: Edit): Node<number> {
  return findValue(root, key) === undefined
    ? insertValue(root, key, value, edit)
    : replaceValue(root, key, value, edit)
}

function expectEqual(
  root: Node<number>,
  model: ReadonlyMap<string, number>,
  keyOf: (text: string) => Key,
): void {
  const entries = [...model].sort(([a], [b]) => compareKeys(keyOf(a), keyOf(b)))
  expect([...walkTexts(root)]).toEqual(entries.map(([name]) => name))
  expect([...walkValues(root)]).toEqual(entries.map(([, value]) => value))
  expect(entries.filter(([name, value]) => findValue(root, keyOf(name)) !== value)).toEqual([])
  expect(findValue(root, keyOf('absent'))).toBeUndefined()
  expect(listFaults(root, true)).toEqual([])
}

function compareKeys(a: Key, b: Key): number {
  if (a.rank !== b.rank) return a.rank - b.rank
  return a.text < b.text ? -1 : 1
}

function countLeaves(node: Node<number>): number {
  if (node.children === undefined) return 1
  return node.children.reduce((count, child) => count + countLeaves(child), 0)
}

/** Where the tree breaks its invariant. */
function listFaults(node: Node<number>, isRoot: boolean): readonly string[] {
  const { ranks, texts, values, children } = node
  const faults: string[] = []
  if (ranks.length !== texts.length) faults.push('a key without rank or text')
  if (texts.length > 32) faults.push(`${texts.length} keys`)
  if (texts.length === 0 && !isRoot) faults.push('an empty node')
  if (values.length !== (children === undefined ? texts.length : 0)) faults.push('odd values')
  if (children === undefined) return faults
  if (children.length !== texts.length) faults.push('odd children')
  if (children.length < 2) faults.push('a single child')
  return [...faults, ...children.flatMap((child) => listFaults(child, false))]
}
