/**
 * Tree: a persistent B+tree, an ordered map from a key to V, or a set of keys. A version of it is
 * its root, so keeping one costs nothing and it never changes (docs/store.md has the figures).
 * Every operation that changes takes a root and an `Edit`, and gives a root: nodes made under the
 * same edit are changed in place, all others are copied first. Whoever keeps a root for later goes
 * on under a new edit. Counting is left to the caller, who knows whether a key was there.
 */
import { assert, defined } from '../../lib/assert.ts'

/**
 * Keys are ordered by rank, then by text. Comparing texts alone would mean a cache miss each time,
 * as strings lie all over the heap; ranks lie in a row.
 */
export type Key = { readonly rank: number; readonly text: string }

/** The right to change nodes in place: only what was made under this very object. */
export type Edit = { readonly name: 'edit' }

/**
 * Invariant: keys, each in `ranks` and `texts`, ascend. A leaf of a map has a value for each, of a
 * set none. A branch has a child for each, and child i holds the keys from key i on and below key
 * i + 1. A branch's key 0 is also its parent's key for it, but on the left edge of the tree, where
 * it means nothing and is not read. Only a root is empty, and no branch has a single child.
 */
export type Node<V> = {
  /** Under which its values and children were made. */
  readonly edit: Edit
  /** Under which its keys were: a copy for another value has the keys of the node that it replaces. */
  keysEdit: Edit
  ranks: number[]
  texts: string[]
  readonly values: V[]
  /** Undefined in a leaf; a branch has no values. */
  readonly children: Node<V>[] | undefined
}

/** The most keys in a node. */
const WIDTH = 32
/** A child with so few is joined with a neighbour before anything below it is removed. */
const SMALL = WIDTH / 4
/** So many digits of CLASSES values are a safe integer. */
const RANK_CHARACTERS = 10
const CLASSES = 39

/**
 * A key in the order of the text itself: the rank is its first ten characters, so that two ids
 * differ by it, as good as always. Ids are lower-case letters and digits: each has a value of its own,
 * and all that is below, between or above them has one together, after which the rank tells no more.
 */
export function orderedKey(text: string): Key {
  let rank = 0
  let isExact: boolean = true
  for (let i = 0; i < RANK_CHARACTERS; i++) {
    const value: number = isExact && i < text.length ? classOf(text.charCodeAt(i)) : 0
    rank = rank * CLASSES + value
    isExact &&= value !== 0 && value !== BETWEEN && value !== ABOVE
  }
  return { rank, text }
}

/** Above the ten digits, and above the letters too. */
const BETWEEN = 11
const ABOVE = 38

/** The end of a text, or what is below '0', is 0. */
function classOf(code: number): number {
  if (code < 0x30) return 0
  if (code <= 0x39) return code - 0x2f
  if (code < 0x61) return BETWEEN
  return code <= 0x7a ? code - 0x61 + BETWEEN + 1 : ABOVE
}

/** A key for where any order will do: texts that begin alike have ranks that differ. */
export function hashedKey(text: string): Key {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return { rank: hash >>> 0, text }
}

export function newEdit(): Edit {
  return { name: 'edit' }
}

/** The root of an empty tree. */
export function newTree<V>(): Node<V> {
  const edit = newEdit()
  return { edit, keysEdit: edit, ranks: [], texts: [], values: [], children: undefined }
}

/** The value of `key`, or undefined. */
export function findValue<V>(root: Node<V>, key: Key): V | undefined {
  let node = root
  while (node.children !== undefined) node = childAt(node.children, childPosition(node, key))
  const position = lowerBound(node, key)
  return node.texts[position] === key.text ? node.values[position] : undefined
}

/** Afterwards the map has `key`, which must be new, with `value`. */
export function insertValue<V>(root: Node<V>, key: Key, value: V, edit: Edit): Node<V> {
  const top = ownedWithRoom(root, key, edit)
  const leaf = leafWithRoom(top, key)
  insertAt(leaf.values, insertText(leaf, key), value)
  return top
}

/** Afterwards the set has `key`, which must be new. */
export function insertKey(root: Node<never>, key: Key, edit: Edit): Node<never> {
  const top = ownedWithRoom(root, key, edit)
  insertText(leafWithRoom(top, key), key)
  return top
}

/** Afterwards `key`, which must be there, has `value`. */
export function replaceValue<V>(root: Node<V>, key: Key, value: V, edit: Edit): Node<V> {
  const place = ownPlace(root, key, edit)
  place.leaf.values[place.position] = value
  return place.root
}

/** Where a value is: it may be read there, and be set to another. */
export type Place<V> = {
  readonly root: Node<V>
  readonly leaf: { readonly values: V[] }
  readonly position: number
}

/** The place of `key`, which must be there, in a tree of which the way to it may be changed. */
export function ownPlace<V>(from: Node<V>, key: Key, edit: Edit): Place<V> {
  const root = owned(from, edit)
  let leaf = root
  while (leaf.children !== undefined)
    leaf = ownedChild(leaf, leaf.children, childPosition(leaf, key))
  const position = lowerBound(leaf, key)
  assert(leaf.texts[position] === key.text, 'a replaced key is there', { key: key.text })
  return { root, leaf, position }
}

/** Afterwards `key`, which must be there, is not. */
export function removeValue<V>(root: Node<V>, key: Key, edit: Edit): Node<V> {
  const top = owned(root, edit)
  let node = top
  while (node.children !== undefined) {
    let position = childPosition(node, key)
    if (childAt(node.children, position).texts.length <= SMALL) {
      joinChild(node, position)
      position = childPosition(node, key)
    }
    node = ownedChild(node, node.children, position)
  }
  const position = lowerBound(node, key)
  assert(node.texts[position] === key.text, 'a removed key is there', { key: key.text })
  ownKeys(node)
  removeAt(node.ranks, position)
  removeAt(node.texts, position)
  if (node.values.length > 0) removeAt(node.values, position)
  return top.children?.length === 1 ? childAt(top.children, 0) : top
}

/** The values in ascending order of their keys. */
export function* walkValues<V>(root: Node<V>): Generator<V, undefined> {
  for (const leaf of walkLeaves(root)) yield* leaf.values
}

/** The texts of the keys in ascending order of the keys. */
export function* walkTexts(root: Node<unknown>): Generator<string, undefined> {
  for (const leaf of walkLeaves(root)) yield* leaf.texts
}

function* walkLeaves<V>(root: Node<V>): Generator<Node<V>, undefined> {
  const path: { readonly nodes: readonly Node<V>[]; next: number }[] = [{ nodes: [root], next: 0 }]
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const node = top.nodes[top.next]
    top.next += 1
    if (node === undefined) path.pop()
    else if (node.children !== undefined) path.push({ nodes: node.children, next: 0 })
    else yield node
  }
}

/** The root as one that may be changed and is not full. */
function ownedWithRoom<V>(root: Node<V>, key: Key, edit: Edit): Node<V> {
  const top = owned(root, edit)
  if (top.texts.length < WIDTH) return top
  const above: Node<V> = {
    ...{ edit, keysEdit: edit, ranks: [key.rank], texts: [key.text] },
    ...{ values: [], children: [top] },
  }
  splitChild(above, 0, key)
  return above
}

/** The leaf that is to have `key`, not full; the nodes down to it may be changed. */
function leafWithRoom<V>(top: Node<V>, key: Key): Node<V> {
  let node = top
  while (node.children !== undefined) {
    let position = childPosition(node, key)
    if (childAt(node.children, position).texts.length === WIDTH) {
      splitChild(node, position, key)
      position = childPosition(node, key)
    }
    node = ownedChild(node, node.children, position)
  }
  return node
}

/** Puts a new key into a leaf, and gives its position. */
function insertText<V>(leaf: Node<V>, key: Key): number {
  const position = lowerBound(leaf, key)
  assert(leaf.texts[position] !== key.text, 'an inserted key is new', { key: key.text })
  insertOwnKey(leaf, position, key)
  return position
}

/** The first position whose key is not below `key`. */
function lowerBound<V>(node: Node<V>, key: Key): number {
  let low = 0
  let high = node.ranks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isBelow(node, middle, key)) low = middle + 1
    else high = middle
  }
  return low
}

/** The child of a branch that has or would have `key`. */
function childPosition<V>(node: Node<V>, key: Key): number {
  let low = 1
  let high = node.ranks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAbove(node, middle, key)) high = middle
    else low = middle + 1
  }
  return low - 1
}

function isBelow<V>(node: Node<V>, position: number, key: Key): boolean {
  const rank = node.ranks[position] ?? 0
  return rank < key.rank || (rank === key.rank && (node.texts[position] ?? '') < key.text)
}

function isAbove<V>(node: Node<V>, position: number, key: Key): boolean {
  const rank = node.ranks[position] ?? 0
  return rank > key.rank || (rank === key.rank && (node.texts[position] ?? '') > key.text)
}

function childAt<V>(children: readonly Node<V>[], position: number): Node<V> {
  return defined(children[position], 'a branch has a child for each key')
}

/** The node as one whose values and children may be changed; before its keys are, `ownKeys`. */
function owned<V>(node: Node<V>, edit: Edit): Node<V> {
  if (node.edit === edit) return node
  const { keysEdit, ranks, texts, children } = node
  // Sets and branches have no values, ever: then the empty list need not be copied.
  const values = node.values.length === texts.length ? node.values.slice() : node.values
  return { edit, keysEdit, ranks, texts, values, children: children?.slice() }
}

/** Puts a key into a node that may be changed. */
function insertOwnKey<V>(node: Node<V>, position: number, { rank, text }: Key): void {
  if (node.keysEdit === node.edit) {
    insertAt(node.ranks, position, rank)
    insertAt(node.texts, position, text)
    return
  }
  // A copy that is then added to would be allocated twice, the second time with room for many more.
  node.keysEdit = node.edit
  node.ranks = node.ranks.toSpliced(position, 0, rank)
  node.texts = node.texts.toSpliced(position, 0, text)
}

/** Afterwards the keys of a node that may be changed may be, too. */
function ownKeys<V>(node: Node<V>): void {
  if (node.keysEdit === node.edit) return
  node.keysEdit = node.edit
  node.ranks = node.ranks.slice()
  node.texts = node.texts.slice()
}

/** The child as one that may be changed; `parent` may be, and has it afterwards. */
function ownedChild<V>(parent: Node<V>, children: Node<V>[], position: number): Node<V> {
  const child = owned(childAt(children, position), parent.edit)
  children[position] = child
  return child
}

/** Splits a full child of a branch that may be changed; `key` is about to be inserted. */
function splitChild<V>(parent: Node<V>, position: number, key: Key): void {
  const children = childrenOf(parent)
  const child = childAt(children, position)
  // Keys that come in ascending order, as from a snapshot, would leave half-full nodes behind.
  const ascends = position === children.length - 1 && isBelow(child, WIDTH - 1, key)
  splitAt(parent, position, ascends ? WIDTH - 2 : WIDTH / 2)
}

function splitAt<V>(parent: Node<V>, position: number, half: number): void {
  const children = childrenOf(parent)
  const left = ownedChild(parent, children, position)
  ownKeys(parent)
  ownKeys(left)
  const right: Node<V> = {
    edit: parent.edit,
    keysEdit: parent.edit,
    ranks: left.ranks.splice(half),
    texts: left.texts.splice(half),
    values: left.values.splice(half),
    children: left.children?.splice(half),
  }
  insertAt(parent.ranks, position + 1, defined(right.ranks[0], 'both halves have keys'))
  insertAt(parent.texts, position + 1, defined(right.texts[0], 'both halves have keys'))
  insertAt(children, position + 1, right)
}

/** Joins the child with a neighbour; where that is too much for one node, both get half. */
function joinChild<V>(parent: Node<V>, position: number): void {
  const children = childrenOf(parent)
  const at = position === 0 ? 0 : position - 1
  const left = ownedChild(parent, children, at)
  const right = childAt(children, at + 1)
  ownKeys(parent)
  ownKeys(left)
  left.ranks.push(...right.ranks)
  left.texts.push(...right.texts)
  left.values.push(...right.values)
  left.children?.push(...childrenOf(right))
  parent.ranks.splice(at + 1, 1)
  parent.texts.splice(at + 1, 1)
  children.splice(at + 1, 1)
  if (left.texts.length > WIDTH) splitAt(parent, at, left.texts.length >>> 1)
}

function childrenOf<V>(branch: Node<V>): Node<V>[] {
  return defined(branch.children, 'a branch has children')
}

/** As splice(), without the array it gives. */
function insertAt<T>(list: T[], position: number, value: T): void {
  list.push(value)
  for (let i = list.length - 1; i > position; i--) {
    const before = list[i - 1]
    if (before !== undefined) list[i] = before
  }
  list[position] = value
}

/** As splice(), without the array it gives. */
function removeAt<T>(list: T[], position: number): void {
  for (let i = position + 1; i < list.length; i++) {
    const after = list[i]
    if (after !== undefined) list[i - 1] = after
  }
  list.pop()
}
