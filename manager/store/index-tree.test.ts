/**
 * An index that is kept late against one that is not: whoever asks, when, and on whichever fork.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type IndexTree,
  type LateIndex,
  type Link,
  newLateIndex,
  treeOf,
  withLateLink,
  withLinks,
} from './index-tree.ts'
import { findValue, hashedKey, newEdit, newTree, orderedKey, walkTexts } from './tree.ts'

const KEYS = ['a', 'b', 'c']

/** The same index twice, and what may be added to in place. */
type Fork = { late: LateIndex; prompt: IndexTree; edit: ReturnType<typeof newEdit> }

const command = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('link' as const), ...picks() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fork' as const), ...picks() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ask' as const), ...picks() }) },
)

test('a late index has what a prompt one has, on every fork', () => {
  const property = fc.property(fc.array(command, { maxLength: 300, size: 'max' }), (commands) => {
    const forks: Fork[] = [{ late: newLateIndex(), prompt: newTree(), edit: newEdit() }]

    for (const { kind, at, id, key } of commands) {
      const fork = forks[at % forks.length]
      if (fork === undefined) continue
      if (kind === 'fork') {
        fork.edit = newEdit()
        forks.push({ ...fork, edit: newEdit() })
      } else if (kind === 'ask')
        expect(contentOf(treeOf(fork.late))).toEqual(contentOf(fork.prompt))
      else for (const link of toggle(fork.prompt, `id${id}`, key)) add(fork, link)
    }

    for (const { late, prompt } of forks) expect(contentOf(treeOf(late))).toEqual(contentOf(prompt))
  })
  fc.assert(property, { numRuns: 200 })
})

test('a late index that nobody asks for holds a bounded number of links', () => {
  let late = newLateIndex()

  for (let i = 0; i < 20_000; i++)
    late = withLateLink(late, { key: 'a', id: orderedKey(`id${i}`), isLinked: true }, newEdit())

  let waiting = 0
  for (let each: LateIndex | undefined = late; each?.tree === undefined; each = each?.before)
    waiting += each?.links.length ?? 0
  expect(waiting).toBeLessThanOrEqual(4_096)
  expect(contentOf(treeOf(late))['a']?.length).toBe(20_000)
})

function picks() {
  return {
    at: fc.nat({ max: 20 }),
    id: fc.nat({ max: 12 }),
    key: fc.constantFrom(...KEYS),
  }
}

function add(fork: Fork, link: Link): void {
  fork.late = withLateLink(fork.late, link, fork.edit)
  fork.prompt = withLinks(fork.prompt, [link], fork.edit)
}

/** The id gets the key, and loses the one it had; or only loses it where it is the same. */
function toggle(tree: IndexTree, text: string, key: string): readonly Link[] {
  const content = contentOf(tree)
  const id = orderedKey(text)
  const had = KEYS.find((each) => content[each]?.includes(text))
  return [
    ...(had === undefined ? [] : [{ key: had, id, isLinked: false }]),
    ...(had === key ? [] : [{ key, id, isLinked: true }]),
  ]
}

function contentOf(tree: IndexTree): Readonly<Record<string, readonly string[]>> {
  const entries = KEYS.map((key) => {
    const ids = findValue(tree, hashedKey(key))
    return [key, typeof ids === 'string' ? [ids] : [...(ids === undefined ? [] : walkTexts(ids))]]
  })
  return Object.fromEntries(entries)
}
