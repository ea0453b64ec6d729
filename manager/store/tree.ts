/**
 * Tree: a persistent B+tree, an ordered map from string to V. A version of the map is its root, so
 * keeping one costs nothing and it never changes (docs/store.md has the figures that chose it).
 * Every operation that changes takes a root and an `Edit`, and gives a root: nodes made under the
 * same edit are changed in place, all others are copied first. Whoever keeps a root for later goes
 * on under a new edit. Counting is left to the caller, who knows whether a key was there.
 */
import { assert, defined } from '../../lib/assert.ts'

/** The right to change nodes in place: only those made under this very object. */
export type Edit = { readonly name: 'edit' }

/**
 * Invariant: `keys` ascend. A leaf has a value for each key. A branch has a child for each key, and
 * child i holds the keys from keys[i] on and below keys[i + 1]; keys[0] is never read. No node but
 * the root is empty.
 */
export type Node<V> = {
  readonly edit: Edit
  readonly keys: string[]
  readonly values: V[]
  /** Undefined in a leaf; a branch has no values. */
  readonly children: Node<V>[] | undefined
}

/** The most keys in a node. Measured: 16 to 64 differ little, and 32 was the best of all writes. */
const WIDTH = 32
const SMALL = WIDTH / 4

export function newEdit(): Edit {
  return { name: 'edit' }
}

/** The root of an empty tree. */
export function newTree<V>(): Node<V> {
  return { edit: newEdit(), keys: [], values: [], children: undefined }
}

/** The value of `key`, or undefined. */
export function findValue<V>(root: Node<V>, key: string): V | undefined {
  let node = root
  while (node.children !== undefined) node = childAt(node.children, childPosition(node.keys, key))
  const position = lowerBound(node.keys, key)
  return node.keys[position] === key ? node.values[position] : undefined
}

/** Afterwards `key` has `value`. It must be new. */
export function insertValue<V>(root: Node<V>, key: string, value: V, edit: Edit): Node<V> {
  let top = owned(root, edit)
  if (top.keys.length === WIDTH) {
    top = { edit, keys: [top.keys[0] ?? ''], values: [], children: [top] }
    splitChild(top, 0, key)
  }
  let node = top
  while (node.children !== undefined) {
    let position = childPosition(node.keys, key)
    if (childAt(node.children, position).keys.length === WIDTH) {
      splitChild(node, position, key)
      position = childPosition(node.keys, key)
    }
    node = ownedChild(node, node.children, position)
  }
  const position = lowerBound(node.keys, key)
  assert(node.keys[position] !== key, 'an inserted key is new', { key })
  node.keys.splice(position, 0, key)
  node.values.splice(position, 0, value)
  return top
}

/** Afterwards `key`, which must be there, has `value`. */
export function replaceValue<V>(root: Node<V>, key: string, value: V, edit: Edit): Node<V> {
  const top = owned(root, edit)
  let node = top
  while (node.children !== undefined)
    node = ownedChild(node, node.children, childPosition(node.keys, key))
  const position = lowerBound(node.keys, key)
  assert(node.keys[position] === key, 'a replaced key is there', { key })
  node.values[position] = value
  return top
}

/** Afterwards `key`, which must be there, is not. */
export function removeValue<V>(root: Node<V>, key: string, edit: Edit): Node<V> {
  const top = owned(root, edit)
  let node = top
  while (node.children !== undefined) {
    let position = childPosition(node.keys, key)
    if (childAt(node.children, position).keys.length <= SMALL && node.children.length > 1) {
      joinChild(node, node.children, position)
      position = childPosition(node.keys, key)
    }
    node = ownedChild(node, node.children, position)
  }
  const position = lowerBound(node.keys, key)
  assert(node.keys[position] === key, 'a removed key is there', { key })
  node.keys.splice(position, 1)
  node.values.splice(position, 1)
  return withoutSingleBranches(top)
}

/** The values in ascending order of their keys. */
export function* walkValues<V>(root: Node<V>): Generator<V, undefined> {
  if (root.children === undefined) {
    for (const value of root.values) yield value
    return
  }
  const path: { readonly nodes: readonly Node<V>[]; next: number }[] = [
    { nodes: root.children, next: 0 },
  ]
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const node = top.nodes[top.next]
    top.next += 1
    if (node === undefined) path.pop()
    else if (node.children !== undefined) path.push({ nodes: node.children, next: 0 })
    else for (const value of node.values) yield value
  }
}

/** The first position whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] ?? '') < key) low = middle + 1
    else high = middle
  }
  return low
}

/** The child of a branch that has or would have `key`. */
function childPosition(keys: readonly string[], key: string): number {
  let low = 1
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] ?? '') <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

function childAt<V>(children: readonly Node<V>[], position: number): Node<V> {
  return defined(children[position], 'a branch has a child for each key')
}

function owned<V>(node: Node<V>, edit: Edit): Node<V> {
  if (node.edit === edit) return node
  return {
    edit,
    keys: node.keys.slice(),
    values: node.values.slice(),
    children: node.children?.slice(),
  }
}

/** The child as one that may be changed; `parent` may be, and has it afterwards. */
function ownedChild<V>(parent: Node<V>, children: Node<V>[], position: number): Node<V> {
  const child = owned(childAt(children, position), parent.edit)
  children[position] = child
  return child
}

/** Splits the child; `key` is the one about to be inserted. */
function splitChild<V>(parent: Node<V>, position: number, key: string): void {
  const children = defined(parent.children, 'only a branch has children')
  const keys = childAt(children, position).keys
  // Keys that come in ascending order, as from a snapshot, would leave half-full nodes behind.
  const ascends = position === children.length - 1 && (keys.at(-1) ?? '') < key
  splitAt(parent, position, ascends ? WIDTH - 1 : WIDTH / 2)
}

function splitAt<V>(parent: Node<V>, position: number, half: number): void {
  const children = defined(parent.children, 'only a branch has children')
  const left = ownedChild(parent, children, position)
  const right: Node<V> = {
    edit: parent.edit,
    keys: left.keys.splice(half),
    values: left.values.splice(half),
    children: left.children?.splice(half),
  }
  parent.keys.splice(position + 1, 0, defined(right.keys[0], 'both halves have keys'))
  children.splice(position + 1, 0, right)
}

/** Joins the child with a neighbour; where that is too much for one node, both get half. */
function joinChild<V>(parent: Node<V>, children: Node<V>[], position: number): void {
  const at = position === 0 ? 0 : position - 1
  const left = ownedChild(parent, children, at)
  const right = childAt(children, at + 1)
  const bound = defined(parent.keys[at + 1], 'a branch has a key for each child')
  // keys[0] of a branch is not kept true, so the parent's bound takes its place.
  if (right.children !== undefined) left.keys.push(bound, ...right.keys.slice(1))
  else left.keys.push(...right.keys)
  left.values.push(...right.values)
  left.children?.push(...(right.children ?? []))
  parent.keys.splice(at + 1, 1)
  children.splice(at + 1, 1)
  if (left.keys.length > WIDTH) splitAt(parent, at, left.keys.length >>> 1)
}

function withoutSingleBranches<V>(root: Node<V>): Node<V> {
  let top = root
  while (top.children?.length === 1) top = childAt(top.children, 0)
  return top
}
