/** A group of one out of a survivor's log: nothing it holds is lost, and everybody follows it. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { decodeSnapshotPayload } from '../proto/gen/consensus.ts'
import { emptyConfig } from '../proto/gen/objects.ts'
import type { Member } from '../proto/gen/types.ts'
import { defaultClusterSpec, newCluster } from './ca/ca.ts'
import { planNewGroup, type SurvivingLog } from './force-new-cluster.ts'
import { type Entry, emptyConfState } from './raft/message.ts'
import { newBootstrapSnapshot } from './raft-core.ts'
import type { Change } from './store/change.ts'
import { encodeEntry } from './store/entry.ts'
import { SnapshotReader } from './store/snapshot.ts'
import type { View } from './store/view.ts'

const WALL_MS = 1_900_000_000_000
const OLD: Member = { raftId: 7, nodeId: 'a', raftAddr: 'a:7946', addr: 'a:2377' }
const NEW: Member = { ...OLD, raftId: 77 }
const cluster = newCluster(
  { certificatePem: 'root', keyPem: 'key', digest: 'd' },
  defaultClusterSpec,
  newSeededRandom(1),
)

function entry(index: number, changes: readonly Change[], term = 2): Entry {
  const data =
    changes.length === 0 ? new Uint8Array(0) : encodeEntry(changes, { timeMs: index, wallMs: 0 })
  return { term, index, type: 'normal', data, confChange: undefined }
}

const config = (id: string): Change => ({
  ...{ kind: 'create', table: 'configs' },
  object: { ...emptyConfig, id },
})

/** A bootstrap, the cluster object, a configuration change, and configs `one` to `three`. */
const log: SurvivingLog = {
  hardState: { term: 5, vote: 9, commit: 4 },
  snapshot: newBootstrapSnapshot(OLD),
  entries: [
    entry(2, []),
    entry(3, [{ kind: 'create', table: 'clusters', object: cluster }]),
    { ...entry(4, []), type: 'conf-change' },
    entry(5, [config('one'), config('two')], 3),
    entry(6, [config('three')], 4),
  ],
}

function viewOf(bytes: Uint8Array): View {
  const reader = new SnapshotReader()
  reader.feed(decodeSnapshotPayload(bytes).store)
  return reader.finish().view()
}

test('a new group holds the whole log, also what was not known to be committed', () => {
  const { snapshot, hardState, uncommitted } = planNewGroup(log, NEW, WALL_MS)

  const view = viewOf(snapshot.data)
  expect([...view.configs.list()].map(({ id }) => id).sort()).toEqual(['one', 'three', 'two'])
  expect(view.index).toBe(7)
  expect(hardState).toEqual({ term: 6, vote: 0, commit: 7 })
  expect(snapshot).toMatchObject({ index: 7, term: 6 })
  expect(uncommitted).toBe(2)
})

test('a new group is this member alone, in the next epoch', () => {
  const { snapshot, epoch } = planNewGroup(log, NEW, WALL_MS)

  expect(snapshot.confState).toEqual({ ...emptyConfState, voters: [77] })
  expect(decodeSnapshotPayload(snapshot.data).members).toEqual([NEW])
  expect(epoch).toBe(cluster.epoch + 1)
  expect([...viewOf(snapshot.data).clusters.list()][0]).toMatchObject({ id: cluster.id, epoch })
})

test('a new group can be made of a new group', () => {
  const first = planNewGroup(log, NEW, WALL_MS)
  const second = planNewGroup({ ...first, entries: [] }, { ...NEW, raftId: 78 }, WALL_MS)

  expect(second.epoch).toBe(first.epoch + 1)
  expect(second.hardState).toEqual({ term: 7, vote: 0, commit: 8 })
  expect(viewOf(second.snapshot.data).configs.size).toBe(3)
})

test('a log that never held a cluster is refused', () => {
  const empty = { ...log, entries: log.entries.slice(0, 1) }

  expect(() => planNewGroup(empty, NEW, WALL_MS)).toThrow('holds no cluster yet')
})
