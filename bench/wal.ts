/**
 * How many batches a second the log makes safe on a real disk: append and fdatasync, for batches of
 * 256 bytes to 64 KiB of entry data, beside what the disk itself does with writes of that length.
 * The directory is a new one under the system's temporary directory, or under BENCH_DIRECTORY: on
 * a memory file system the figures mean nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newSeededRandom } from '../lib/random.ts'
import { openWal, type Wal } from '../manager/wal/wal.ts'
import { NodeDisk } from '../node/io/disk.ts'

const BATCH_BYTES = [256, 1024, 4096, 16_384, 65_536] as const
const ROUND_MS = 1500
const RAW_FILE_BYTES = 16 * 1024 * 1024

/** Prints a line for each batch length. */
export function run(): Promise<void> {
  const { BENCH_DIRECTORY: parent = tmpdir() } = process.env
  const root = mkdtempSync(join(parent, 'tsswarm-bench-'))
  try {
    using disk = new NodeDisk(root)
    console.log('wal: append + fdatasync, one writer, segments of 16 MiB')
    for (const bytes of BATCH_BYTES) console.log(lineOf(disk, bytes))
  } finally {
    rmSync(root, { recursive: true })
  }
  return Promise.resolve()
}

function lineOf(disk: NodeDisk, bytes: number): string {
  const raw = measure(newRawWrite(disk, bytes))
  const { wal } = openWal(disk, `wal-${bytes}`, {
    identity: { clusterId: 'bench', raftId: 1 },
    keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) },
    random: newSeededRandom('bench'),
  })
  const logged = measure(newAppend(wal, bytes))
  return (
    `${String(bytes).padStart(6)} B  ${perSecond(logged)} appends/s  p50 ${ms(logged, 0.5)}  ` +
    `p99 ${ms(logged, 0.99)}  max ${ms(logged, 1)}  raw ${perSecond(raw)} writes/s`
  )
}

/** One batch of one entry. The next segment is made ahead, as the consensus thread does. */
function newAppend(wal: Wal, bytes: number): () => void {
  const data = new Uint8Array(bytes).fill(7)
  let index = 0
  return () => {
    index += 1
    const entry = { term: 1, index, type: 'normal', data, confChange: undefined } as const
    wal.append({ entries: [entry] })
    wal.sync()
    wal.prepare()
  }
}

/** One write into a preallocated file, around and around. */
function newRawWrite(disk: NodeDisk, bytes: number): () => void {
  const path = `raw-${bytes}`
  const block = new Uint8Array(bytes).fill(7)
  disk.create(path, RAW_FILE_BYTES)
  disk.sync(path)
  let at = 0
  return () => {
    disk.write(path, at, block)
    disk.sync(path)
    at = (at + Math.max(bytes, 512)) % (RAW_FILE_BYTES - bytes)
  }
}

/** How long each call took, in milliseconds, ascending. */
function measure(act: () => void): readonly number[] {
  const durations: number[] = []
  const end = performance.now() + ROUND_MS
  for (let before = performance.now(); before < end; ) {
    act()
    const after = performance.now()
    durations.push(after - before)
    before = after
  }
  return durations.sort((left, right) => left - right)
}

function perSecond(durations: readonly number[]): string {
  const total = durations.reduce((sum, duration) => sum + duration, 0)
  return Math.round((durations.length * 1000) / total)
    .toString()
    .padStart(6)
}

function ms(durations: readonly number[], quantile: number): string {
  const at = Math.min(durations.length - 1, Math.floor(durations.length * quantile))
  return `${(durations[at] ?? 0).toFixed(3)} ms`
}
