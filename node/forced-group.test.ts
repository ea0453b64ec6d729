/** Force-new-cluster on a real disk, and what a start makes of it that comes after a crash. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import { defaultClusterSpec, newCluster } from '../manager/ca/ca.ts'
import { loadSnapshot, persistAll } from '../manager/persist.ts'
import { newBootstrapSnapshot } from '../manager/raft-core.ts'
import { encodeEntry } from '../manager/store/entry.ts'
import { openWal } from '../manager/wal/wal.ts'
import { decodeSnapshotPayload } from '../proto/gen/consensus.ts'
import { findForcedGroup, forceNewGroup, type OldMember } from './forced-group.ts'
import { NodeDisk } from './io/disk.ts'
import { systemRandom } from './io/random.ts'

const PLACE = { nodeId: 'n1', raftAddr: '10.0.0.1:7946', addr: '10.0.0.1:2377' }
const options = { place: PLACE, wallMs: 1_900_000_000_000, log: silentLog }
const root = { certificatePem: 'root', keyPem: 'key', digest: 'd' }
const cluster = newCluster(root, defaultClusterSpec, newSeededRandom(1))
let old: OldMember

beforeEach(() => {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'tsswarm-forced-'))
  mkdirSync(join(stateDirectory, 'identity'))
  const keys = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) }
  old = { stateDirectory, clusterId: 'c1', raftId: 7, keys }
})

afterEach(() => rmSync(old.stateDirectory, { recursive: true }))

/** A log of member 7: a bootstrap, and unless it is young the cluster's object, not yet committed. */
function writeLog(isYoung = false): void {
  using disk = new NodeDisk(old.stateDirectory)
  const { clusterId, raftId, keys } = old
  const { wal } = openWal(disk, 'raft', {
    identity: { clusterId, raftId },
    keys,
    random: systemRandom,
  })
  const data = encodeEntry([{ kind: 'create', table: 'clusters', object: cluster }], {
    timeMs: 0,
    wallMs: 0,
  })
  const bootstrap = newBootstrapSnapshot({ raftId, ...PLACE })
  const none = { hardState: undefined, entries: [], snapshot: undefined, compaction: undefined }
  persistAll(wal, [
    {
      ...none,
      sequence: 1,
      hardState: { term: 1, vote: 0, commit: 1 },
      snapshot: bootstrap,
      mustSync: true,
    },
    {
      ...none,
      sequence: 2,
      entries: isYoung ? [] : [{ term: 1, index: 2, type: 'normal', data, confChange: undefined }],
      mustSync: true,
    },
  ])
}

test('the log is the new member\u2019s, and a start that knows only the old one finds it', () => {
  writeLog()
  expect(findForcedGroup(old)).toBeUndefined()

  const { raftId, epoch } = forceNewGroup(old, options)

  expect(epoch).toBe(2)
  expect(findForcedGroup(old)).toBe(raftId)
  expect(findForcedGroup({ ...old, raftId })).toBeUndefined()
  using disk = new NodeDisk(old.stateDirectory)
  const identity = { clusterId: 'c1', raftId }
  const opened = openWal(disk, 'raft', { identity, keys: old.keys, random: systemRandom })
  expect(opened.hardState).toEqual({ term: 2, vote: 0, commit: 3 })
  const members = decodeSnapshotPayload(loadSnapshot(opened)?.data ?? new Uint8Array(0)).members
  expect(members).toEqual([{ raftId, ...PLACE }])
})

test('a log that never held a cluster is refused and stays as it is', () => {
  writeLog(true)

  expect(() => forceNewGroup(old, options)).toThrow('holds no cluster yet')
  expect(findForcedGroup(old)).toBeUndefined()
  expect(() =>
    findForcedGroup({ ...old, stateDirectory: `${old.stateDirectory}/none` }),
  ).not.toThrow()
})

test('damage that is met before the log is opened is named with its whole path', () => {
  writeLog()
  const folder = join(old.stateDirectory, 'raft')
  const segment = readdirSync(folder).find((name) => name.endsWith('.segment')) ?? ''
  const path = join(folder, segment)
  truncateSync(path, 514)

  expect(() => findForcedGroup(old)).toThrow(`"${path}" is damaged at byte 512`)
})
