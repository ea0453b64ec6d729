/**
 * Branches: the ranking of a group with preferences or affinities. Nodes are put into a tree, a level
 * for each preference, a branch for each value of its label; a node without the label is in the
 * branch of ''. From the root down the branch is taken that has the fewest tasks of the service
 * among all its nodes, then the first by value, and in the leaf the node that ranks first. So totals
 * are evened out level by level (swarm-mode.md 2.5). Branches without a usable node are passed over.
 */
import { defined } from '../../lib/assert.ts'
import { findLabel } from '../model/constraint.ts'
import type { Candidates } from './candidates.ts'
import { Heap } from './heap.ts'
import type { NodeInfo } from './node-info.ts'
import type { Ranking } from './ranking.ts'

type Branch = {
  readonly value: string
  /** Tasks of the service on nodes of this branch, usable or not. */
  taskCount: number
  /** In a leaf: its usable nodes. */
  nodes: Heap<NodeInfo>
  /** Else: its branches with usable nodes. Undefined in a leaf. */
  branches: Heap<Branch> | undefined
}

/** A branch while the tree is being made. */
type Growing = {
  readonly value: string
  taskCount: number
  readonly nodes: NodeInfo[]
  readonly branches: Map<string, Growing>
}

export class BranchRanking implements Ranking {
  readonly #candidates: Candidates
  readonly #root: Branch
  readonly #touched: NodeInfo[] = []
  /** From the root to the leaf of the node that `next` gave. */
  #path: readonly Branch[] = []

  /** `labels` as in preferences, the first is the coarsest. */
  constructor(candidates: Candidates, labels: readonly string[], all: readonly NodeInfo[]) {
    this.#candidates = candidates
    // Where affinities leave few nodes and nothing is spread, the others need not be looked at.
    const nodes = labels.length === 0 ? (candidates.affine ?? all) : all
    this.#root = this.#ripen(grow(candidates, labels, nodes), labels.length)
  }

  next(): NodeInfo | undefined {
    const path = [this.#root]
    for (let branch: Branch | undefined = this.#root; branch !== undefined; ) {
      branch = branch.branches?.peek()
      if (branch !== undefined) path.push(branch)
    }
    this.#path = path
    return path.at(-1)?.nodes.peek()
  }

  placed(info: NodeInfo): void {
    const { pool } = this.#candidates
    pool.judge(info)
    this.#touched.push(info)
    let below: Branch | undefined
    for (const branch of this.#path.toReversed()) {
      branch.taskCount += 1
      if (below === undefined) {
        branch.nodes.pop()
        if (this.#candidates.isUsable(info)) branch.nodes.push(info)
      } else {
        const heap = defined(branch.branches, 'a branch above another has branches')
        heap.pop()
        if (!isEmpty(below)) heap.push(below)
      }
      below = branch
    }
  }

  close(): void {
    this.#candidates.pool.seatAll(this.#touched)
    this.#candidates.pool.skipChanges()
  }

  #ripen({ value, taskCount, nodes, branches }: Growing, levels: number): Branch {
    const isLeaf = levels === 0
    const ripe = isLeaf
      ? []
      : [...branches.values()]
          .map((branch) => this.#ripen(branch, levels - 1))
          .filter((branch) => !isEmpty(branch))
    return {
      value,
      taskCount,
      nodes: new Heap<NodeInfo>((a, b) => this.#candidates.isBefore(a, b), nodes),
      branches: isLeaf ? undefined : new Heap(isBranchBefore, ripe),
    }
  }
}

function grow(
  candidates: Candidates,
  labels: readonly string[],
  nodes: Iterable<NodeInfo>,
): Growing {
  const root = newGrowing('')
  for (const info of nodes) {
    const count = candidates.countOn(info)
    const isUsable = candidates.isUsable(info)
    if (!isUsable && count === 0) continue
    let branch = root
    branch.taskCount += count
    for (const label of labels) {
      branch = branchOf(branch, findLabel(label, info.node) ?? '')
      branch.taskCount += count
    }
    if (isUsable) branch.nodes.push(info)
  }
  return root
}

function branchOf(above: Growing, value: string): Growing {
  const known = above.branches.get(value)
  if (known !== undefined) return known
  const made = newGrowing(value)
  above.branches.set(value, made)
  return made
}

function newGrowing(value: string): Growing {
  return { value, taskCount: 0, nodes: [], branches: new Map() }
}

function isEmpty({ branches, nodes }: Branch): boolean {
  return branches === undefined ? nodes.peek() === undefined : branches.peek() === undefined
}

function isBranchBefore(a: Branch, b: Branch): boolean {
  return a.taskCount !== b.taskCount ? a.taskCount < b.taskCount : a.value < b.value
}
