/** The registry of nonces, on the bytes that the log itself writes. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../../lib/random.ts'
import { openWal, type Wal } from '../../../manager/wal/wal.ts'
import { SimDisk } from '../disk.ts'
import { SealChecker } from './seals.ts'

function watched(): { readonly disk: SimDisk; readonly problems: string[] } {
  const checker = new SealChecker()
  const problems: string[] = []
  const disk = new SimDisk({
    random: newSeededRandom(1),
    observe: (operation, path, bytes) => problems.push(...checker.observe(operation, path, bytes)),
  })
  return { disk, problems }
}

function open(disk: SimDisk, seed: number): Wal {
  return openWal(disk, 'raft', {
    identity: { clusterId: 'c', raftId: 1 },
    keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(7)]]) },
    random: newSeededRandom(seed),
    segmentBytes: 16 * 1024,
  }).wal
}

function append(wal: Wal, text: string): void {
  const data = new TextEncoder().encode(text)
  const index = wal.lastIndex + 1
  wal.append({
    hardState: { term: 1, vote: 1, commit: 0 },
    entries: [{ term: 1, index, type: 'normal', data, confChange: undefined }],
  })
}

test('a log that is cut and goes on uses no nonce twice', () => {
  const { disk, problems } = watched()
  const wal = open(disk, 1)
  append(wal, 'safe')
  wal.sync()
  append(wal, 'lost')
  disk.crash('none')

  append(open(disk, 2), 'other')

  expect(problems).toEqual([])
})

test('a log that goes on with the salt of the segment before uses nonces twice', () => {
  const { disk, problems } = watched()
  const wal = open(disk, 1)
  append(wal, 'safe')
  wal.sync()
  append(wal, 'lost')
  disk.crash('none')

  append(open(disk, 1), 'other')

  expect(problems.join()).toMatch(/D: nonce \d+ was used under one key for two records/)
})
