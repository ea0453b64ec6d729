/**
 * Placing one group: its tasks that have a node are confirmed or say why not, the others get nodes,
 * the oldest slot first, in the order of the group's ranking, until none fits. Generic resources are
 * claimed here. Which group is next, and how much is done in a round, is the scheduler's.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { claimGeneric } from '../model/generic-resources.ts'
import { type Place, withManagerState, withPlace } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Round } from '../store/round.ts'
import { nameKey } from '../store/schema.ts'
import { BranchRanking } from './branches.ts'
import { Candidates, type Surroundings } from './candidates.ts'
import type { ClusterIndex } from './cluster-index.ts'
import { explain, type Requirement } from './filters.ts'
import type { NodeInfo } from './node-info.ts'
import type { Pools } from './pool.ts'
import { PoolRanking, type Ranking } from './ranking.ts'
import type { Group, Known, ServiceState } from './service-state.ts'

const ASSIGNED = 'scheduler assigned task to node'
const CONFIRMED = 'scheduler confirmed task can run on preassigned node'
const PENDING = 'pending task scheduling'
/** Looking at this many nodes counts as much as placing a task. */
const NODES_PER_WORK = 64

/** What is left of a group: tasks that were not tried, tasks that fit nowhere now, or none. */
export type Rest = 'untried' | 'waiting' | 'none'

/** A round, and what comes of it. */
export type Work = {
  readonly round: Round
  readonly index: ClusterIndex
  readonly pools: Pools
  readonly around: Surroundings
  readonly changes: Change[]
  /** How much more is done in this round; goes down. */
  left: number
}

/** A round that does so much. */
export function newWork(round: Round, index: ClusterIndex, pools: Pools, left: number): Work {
  const around: Surroundings = {
    nodes: index.nodes,
    now: round.now,
    findTasks: (name) => {
      const [service] = round.view.services.by('name', nameKey(name))
      return index.nodesOf(service?.id)
    },
    isAnyShunning: () => index.isAnyShunning,
    findShunning: (name) => index.shunning(name),
  }
  return { round, index, pools, around, changes: [], left }
}

/** Places what it can of the group; nothing is placed that is not among `work.changes`. */
export function placeGroup(group: Group, work: Work): Rest {
  work.left -= 1
  sortFree(group)
  const task = findFirst(group)
  if (task === undefined) return 'none'
  const fixed = group.fixed.length === 0 ? 'none' : confirmFixed(group, task, work)
  const free = group.free.length === 0 ? 'none' : placeFree(group, task, work)
  if (fixed === 'untried' || free === 'untried') return 'untried'
  return fixed === 'waiting' || free === 'waiting' ? 'waiting' : 'none'
}

/** Those with a node: each may run there, or says why not. */
function confirmFixed(group: Group, first: Task, work: Work): Rest {
  const candidates = new Candidates(group, first, work.pools.get(first), work.around)
  for (; group.fixedNext < group.fixed.length; group.fixedNext++) {
    if (work.left <= 0) return 'untried'
    const known = group.fixed[group.fixedNext]
    if (known?.isWaiting) confirm(known, candidates, work)
  }
  group.fixed = group.fixed.filter(({ isWaiting }) => isWaiting)
  group.fixedNext = 0
  return group.fixed.length === 0 ? 'none' : 'waiting'
}

function confirm(known: Known, candidates: Candidates, work: Work): void {
  work.left -= 1
  const { pool } = candidates
  const info = work.index.nodes.get(known.task.nodeId)
  const reason = info && (pool.reasonOf(info) ?? candidates.reasonOf(info))
  if (info === undefined || reason !== undefined) {
    refuse(known, explain(new Map(reason === undefined ? [] : [[reason, 1]])), work)
    return
  }
  const { service } = candidates
  assign(known, { info, service, message: CONFIRMED, requirement: pool.requirement }, work)
  pool.seat(info.ordinal)
}

/** Those without: each gets the node that ranks first when it is its turn. */
function placeFree(group: Group, first: Task, work: Work): Rest {
  const candidates = new Candidates(group, first, work.pools.get(first), work.around)
  if (candidates.pool.fitCount === 0) return refuseAll(group, candidates, work)
  const ranking = newRanking(candidates, first, work)
  const { service } = candidates
  const { requirement } = candidates.pool
  try {
    for (let at = 0; ; at++) {
      const known = group.free[at]
      if (known === undefined || (at > 0 && (work.left <= 0 || candidates.isOpening))) {
        dropTried(group, at)
        return known === undefined ? 'none' : 'untried'
      }
      if (!known.isWaiting) continue
      const info = ranking.next()
      if (info === undefined) {
        dropTried(group, at)
        return refuseAll(group, candidates, work)
      }
      work.left -= 1
      assign(known, { info, service, message: ASSIGNED, requirement }, work)
      ranking.placed(info)
    }
  } finally {
    ranking.close()
  }
}

/** The first `count` of those without a node were placed. */
function dropTried(group: Group, count: number): void {
  group.free = count === group.free.length ? NONE : group.free.slice(count)
  group.sortedCount = group.free.length
}

function newRanking(candidates: Candidates, { spec }: Task, work: Work): Ranking {
  const labels = (spec?.placement?.preferences ?? []).map(({ label }) => label)
  if (labels.length === 0 && candidates.affine === undefined) return new PoolRanking(candidates)
  const nodes = work.index.nodes.list()
  work.left -= Math.min(work.left, Math.ceil(nodes.length / NODES_PER_WORK))
  return new BranchRanking(candidates, labels, nodes)
}

type Assignment = {
  readonly info: NodeInfo
  /** Of the task. */
  readonly service: ServiceState
  readonly message: string
  readonly requirement: Requirement
}

function assign(known: Known, at: Assignment, work: Work): void {
  const { info, message, requirement } = at
  const { generic } = requirement
  const total = info.node.description?.resources?.generic ?? []
  const place: Place = {
    nodeId: info.node.id,
    generic: generic.length === 0 ? [] : claimGeneric(generic, total, info.claims),
  }
  const { now, wallMs } = work.round
  const assigned = withPlace(known.task, place, { now, wallMs, message })
  work.changes.push({ kind: 'update', table: 'tasks', object: assigned })
  work.index.place(known, assigned, at)
}

/** The rest of the group says why it waits. */
function refuseAll(group: Group, candidates: Candidates, work: Work): Rest {
  const error = candidates.explain()
  for (const known of group.free) {
    if (!known.isWaiting || known.task.status?.error === error) continue
    refuse(known, error, work)
    work.left -= 1
    if (work.left <= 0) return 'untried'
  }
  return 'waiting'
}

/** The task says why it waits, unless it does already. */
function refuse(known: Known, error: string, { round, changes }: Work): void {
  if (known.task.status?.error === error) return
  const { now, wallMs } = round
  const said = { now, wallMs, message: PENDING, error }
  const refused = withManagerState(known.task, 'pending', said)
  known.task = refused
  changes.push({ kind: 'update', table: 'tasks', object: refused })
}

/** Those that came since the last time are put in their places; those that are gone go. */
function sortFree(group: Group): void {
  if (group.sortedCount === group.free.length) return
  if (group.free.length > 1)
    group.free = group.free
      .filter(({ isWaiting }) => isWaiting)
      .sort(({ task: a }, { task: b }) => a.slot - b.slot || (a.id < b.id ? -1 : 1))
  group.sortedCount = group.free.length
}

const NONE: never[] = []

function findFirst({ free, fixed }: Group): Task | undefined {
  const [first] = free
  if (first?.isWaiting) return first.task
  const waits = ({ isWaiting }: Known): boolean => isWaiting
  return (free.find(waits) ?? fixed.find(waits))?.task
}
