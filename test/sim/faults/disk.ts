/**
 * Faults of disks (peers.md 3.3, D). Torn tails and the loss of what was not synced (D1, D2) come with
 * each crash. Damage to a log (D5, D6, D7, D9) is done only where the atlas allows it.
 */
import { newSeededRandom } from '../../../lib/random.ts'
import { openWal } from '../../../manager/wal/wal.ts'
import { type DirectoryCopy, SimDisk } from '../disk.ts'
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'

const LOG = 'raft'
const BLOCK_BYTES = 512
/** Of the last record, which is longer. */
const TAIL_BYTES = 64
const SEGMENT_BYTES = 32 * 1024
/** A leader knows by then that a member is gone. */
const NOTICED_MS = 2_000

export const diskFaults: readonly Fault[] = [
  { name: 'full disk', classes: ['D3'], weight: 1, act: fillDisk },
  { name: 'no space for a file', classes: ['D3'], weight: 0.5, act: failCreate },
  { name: 'failed sync', classes: ['D4'], weight: 1, act: failSync },
  { name: 'failed write', classes: ['D4'], weight: 0.5, act: failWrite },
  { name: 'failed read', classes: ['D4'], weight: 0.5, act: failRead },
  { name: 'slow disk', classes: ['D8'], weight: 1, act: slowDown },
  { name: 'bit rot', classes: ['D5'], weight: 1, act: rot },
  { name: 'truncation', classes: ['D6'], weight: 1, act: cutOff },
  { name: 'misdirected block', classes: ['D7'], weight: 1, act: misdirect },
  { name: 'backup', classes: [], weight: 1, act: copyLog },
  { name: 'older self', classes: ['D9'], weight: 1, act: restoreLog },
  { name: 'file of another cluster', classes: ['D9'], weight: 1, act: bringForeignFile },
]

type File = readonly [path: string, bytes: Uint8Array]
/** What was done to the file, in words; undefined where nothing could be. */
type Damage = (path: string, bytes: Uint8Array) => string | undefined

function fillDisk({ world, random }: FaultContext, node: SimNode): boolean {
  node.disk.fill()
  world.schedule.after(1_000 + random.integer(15_000), () => node.disk.heal())
  return true
}

/** There is no space just when a segment or a snapshot is begun. */
function failCreate({ random }: FaultContext, node: SimNode): boolean {
  node.disk.inject({ operation: 'create', kind: 'enospc', path: LOG, skip: random.integer(2) })
  return true
}

/** The page cache is lost with it: the process must end, and not try again. */
function failSync({ random }: FaultContext, node: SimNode): boolean {
  node.disk.inject({ operation: 'sync', kind: 'eio', skip: random.integer(4) })
  return true
}

function failWrite({ random }: FaultContext, node: SimNode): boolean {
  node.disk.inject({ operation: 'write', kind: 'eio', skip: random.integer(8) })
  return true
}

/** At the next start, which ends; the one after that finds what is there. */
function failRead({ world, random }: FaultContext, node: SimNode): boolean {
  if (node.manager === undefined) return false
  node.disk.inject({ operation: 'read', kind: 'eio', path: LOG, skip: random.integer(6) })
  node.crash('all')
  world.restartLater(node)
  return true
}

/** Each sync takes from 10 ms to 10 s. */
function slowDown(context: FaultContext, node: SimNode): boolean {
  node.diskSlowMs = 10 * 1_000 ** context.random.fraction()
  context.later(2_000 + context.random.integer(20_000), () => {
    node.diskSlowMs = 0
  })
  return true
}

/**
 * A manager whose log can be spared is down, and when the leader knows that, its log is as `damage` leaves
 * it. Sooner, another one could be demoted on the strength of it.
 */
function damageLog(
  context: FaultContext,
  node: SimNode,
  damage: Damage,
  choose: (files: readonly File[]) => File | undefined = (files) =>
    files[context.random.integer(Math.max(1, files.length))],
): boolean {
  return whenSpared(context, node, () => {
    const files = [...node.disk.snapshotDirectory(LOG)].filter(([path]) => !path.endsWith('.tmp'))
    const [path, bytes] = choose(files) ?? []
    const what = path === undefined || bytes === undefined ? undefined : damage(path, bytes)
    if (what === undefined) return
    context.world.trace(`${node.id} has ${what}`)
    context.world.atlas.damaged(node, false)
  })
}

function whenSpared({ world, later }: FaultContext, node: SimNode, act: () => void): boolean {
  if (node.manager === undefined || !world.atlas.isSpare(node)) return false
  node.crash('all')
  later(NOTICED_MS, () => {
    if (node.isUp || world.nodes.get(node.id) !== node) return
    node.disk.heal()
    if (node.hasLog && world.atlas.isSpare(node)) act()
    world.restartLater(node)
  })
  return true
}

/**
 * One bit, in what is in use: anywhere in a segment or a snapshot, or half of the times in the last
 * record, which alone could be taken for torn.
 */
function rot(context: FaultContext, node: SimNode): boolean {
  const { random } = context
  const isTail = random.integer(2) === 0
  const damage: Damage = (path, bytes) => {
    const used = usedBytes(bytes)
    if (used === 0) return undefined
    const at = isTail ? Math.max(0, used - 1 - random.integer(TAIL_BYTES)) : random.integer(used)
    node.disk.flipBit(path, at * 8 + random.integer(8))
    return `rot in ${path} at ${at} of ${used}`
  }
  return damageLog(context, node, damage, isTail ? lastSegment : undefined)
}

/** The newest segment that holds anything. */
function lastSegment(files: readonly File[]): File | undefined {
  return files
    .filter(([path, bytes]) => path.endsWith('.segment') && usedBytes(bytes) > 0)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .at(-1)
}

function cutOff(context: FaultContext, node: SimNode): boolean {
  return damageLog(context, node, (path, bytes) => {
    if (bytes.length === 0) return undefined
    const length = context.random.integer(bytes.length)
    node.disk.cutOff(path, length)
    return `lost the end of ${path} from ${length} of ${bytes.length}`
  })
}

/**
 * A block holds what belongs elsewhere. None becomes all zero: in the last record that is how a torn
 * write looks, which nobody can tell apart (docs/log.md).
 */
function misdirect(context: FaultContext, node: SimNode): boolean {
  return damageLog(context, node, (path, bytes) => {
    const count = Math.floor(usedBytes(bytes) / BLOCK_BYTES)
    if (count < 2) return undefined
    const from = context.random.integer(count)
    const to = (from + 1 + context.random.integer(count - 1)) % count
    const block = bytes.slice(from * BLOCK_BYTES, (from + 1) * BLOCK_BYTES)
    if (usedBytes(block) === 0) return undefined
    node.disk.corrupt(path, to * BLOCK_BYTES, block)
    return `block ${from} of ${path} at ${to}`
  })
}

/** Of a manager's log, for later. */
function copyLog(_: FaultContext, node: SimNode): boolean {
  // Set back to when it was alone a manager leads alone again, and no group can keep it from that (seed 79057).
  const isAlone = (node.consensus?.confState.voters.length ?? 0) < 2
  if (node.manager === undefined || isAlone) return false
  copies.set(node, { raftId: node.raftId, copy: node.disk.snapshotDirectory(LOG) })
  return true
}

const copies = new WeakMap<SimNode, { readonly raftId: number; readonly copy: DirectoryCopy }>()

/** The log is as it was some time ago, of this member or of the one that the node was then. */
function restoreLog(context: FaultContext, node: SimNode): boolean {
  const backup = copies.get(node)
  if (backup === undefined) return false
  return whenSpared(context, node, () => {
    context.world.trace(`${node.id} has an older log`)
    context.world.atlas.damaged(node, true)
    node.disk.restore(LOG, backup.copy)
  })
}

/** A segment of another cluster lies where this log's last one was, or after it. */
function bringForeignFile(context: FaultContext, node: SimNode): boolean {
  return damageLog(context, node, (path) => {
    if (!path.endsWith('.segment')) return undefined
    const [foreign] = foreignLog(context.random.integer(2) === 0 ? 7 : 9).values()
    if (foreign === undefined) return undefined
    node.disk.remove(path)
    node.disk.create(path, 0)
    node.disk.write(path, 0, foreign)
    node.disk.sync(path)
    node.disk.syncDirectory(LOG)
    return `a file of another cluster at ${path}`
  })
}

/** The files of a log of another cluster, under this one's data key (7) or another. */
function foreignLog(key: number): DirectoryCopy {
  const random = newSeededRandom('foreign')
  const disk = new SimDisk({ random })
  openWal(disk, LOG, {
    identity: { clusterId: 'another', raftId: 5 },
    keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(key)]]) },
    random,
    segmentBytes: SEGMENT_BYTES,
  })
  return disk.snapshotDirectory(LOG)
}

/** Up to the last byte that is not zero: segments are made full of zeros. */
function usedBytes(bytes: Uint8Array): number {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0) length--
  return length
}
