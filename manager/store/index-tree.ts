/**
 * Index trees: from each key of an index to the ids that have it. And the same kept late: changes are
 * only noted, and put into the tree when somebody asks, all of a key at once. For indexes that nearly
 * every change of an object concerns and few ask for: `node` of tasks (docs/store.md has the figures).
 * Both are persistent as `tree.ts` is, whose rule of edits they follow: what is noted under an edit is
 * added to in place, what was noted before it is shared.
 */
import { assert, defined } from '../../lib/assert.ts'
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
} from './tree.ts'

/** The ids that have one key of an index. Most have one: then it is that id itself. */
export type Ids = string | Node<never>

export type IndexTree = Node<Ids>

/** An object has a key from now on, or has it no more. */
export type Link = { readonly key: string; readonly id: Key; readonly isLinked: boolean }

/** Afterwards the tree has what the links, which are all of one key, say. */
export function withLinks(tree: IndexTree, links: readonly Link[], edit: Edit): IndexTree {
  const [first] = links
  if (first === undefined) return tree
  const key = hashedKey(first.key)
  const before = findValue(tree, key)
  let after = before
  for (const { id, isLinked } of links)
    after = isLinked ? withId(after, id, edit) : withoutId(after, id, edit)
  if (after === before) return tree
  if (before === undefined && after !== undefined) return insertValue(tree, key, after, edit)
  return after === undefined ? removeValue(tree, key, edit) : replaceValue(tree, key, after, edit)
}

/** An index of which the last changes are not in a tree yet. */
export type LateIndex = {
  /** Under which `links` may be added to, until `tree` is there. */
  readonly edit: Edit
  readonly links: Link[]
  /** How many links there are here and before. */
  count: number
  /** What came before these links; undefined once `tree` is there. */
  before: LateIndex | undefined
  /** With all of them; undefined until somebody asks. */
  tree: IndexTree | undefined
}

/** So many links are put into the tree even if nobody asks: about five milliseconds. */
const LINKS_MAX = 4_096

/** An empty one. */
export function newLateIndex(): LateIndex {
  return { edit: newEdit(), links: [], count: 0, before: undefined, tree: newTree() }
}

/** Afterwards the index has what the link says. */
export function withLateLink(index: LateIndex, link: Link, edit: Edit): LateIndex {
  if (index.count >= LINKS_MAX) treeOf(index)
  if (index.edit !== edit || index.tree !== undefined) {
    const count = index.tree === undefined ? index.count + 1 : 1
    return { edit, links: [link], count, before: index, tree: undefined }
  }
  index.links.push(link)
  index.count += 1
  return index
}

/** The tree with all that was noted. It is kept: who comes later goes on from it. */
export function treeOf(index: LateIndex): IndexTree {
  if (index.tree !== undefined) return index.tree
  const late: LateIndex[] = []
  let known = index
  for (; known.tree === undefined; known = defined(known.before, 'the first one has a tree'))
    late.push(known)
  const byKey = new Map<string, Link[]>()
  for (const { links } of late.toReversed()) {
    for (const link of links) {
      const others = byKey.get(link.key)
      if (others === undefined) byKey.set(link.key, [link])
      else others.push(link)
    }
  }
  const edit = newEdit()
  let tree = known.tree
  for (const links of byKey.values()) tree = withLinks(tree, links, edit)
  index.tree = tree
  index.before = undefined
  return tree
}

function withId(ids: Ids | undefined, id: Key, edit: Edit): Ids {
  if (ids === undefined) return id.text
  const others = typeof ids === 'string' ? insertKey(newTree(), orderedKey(ids), edit) : ids
  return insertKey(others, id, edit)
}

/** Undefined when that was the last one. */
function withoutId(ids: Ids | undefined, id: Key, edit: Edit): Ids | undefined {
  assert(ids !== undefined, 'an indexed key is there', { id: id.text })
  if (typeof ids === 'string') {
    assert(ids === id.text, 'an id is found by its key', { ids, id: id.text })
    return undefined
  }
  const rest = removeValue(ids, id, edit)
  return rest.children === undefined && rest.texts.length === 1 ? rest.texts[0] : rest
}
