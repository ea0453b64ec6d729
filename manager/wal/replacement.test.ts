/** A log that takes another one's place: whole or not at all, wherever the machine dies. */
import { expect, test } from 'vitest'
import { isDiskError } from '../../lib/disk.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { type CrashKeep, SimDisk, SimulatedCrash } from '../../test/sim/disk.ts'
import { type Entry, emptyConfState } from '../raft/message.ts'
import { findReplacement, replaceLog } from './replacement.ts'
import { type OpenedWal, openWal } from './wal.ts'

const DIRECTORY = 'raft'
const KEYS = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) }
const OLD = { clusterId: 'c1', raftId: 7 }
const NEW = { clusterId: 'c1', raftId: 8 }
const STATE = {
  hardState: { term: 4, vote: 0, commit: 10 },
  snapshot: { index: 10, term: 4, confState: { ...emptyConfState, voters: [8] } },
  chunks: [new Uint8Array(5000).fill(3), new Uint8Array(10).fill(4)],
}
const OLD_HARD_STATE = { term: 3, vote: 7, commit: 5 }

class World {
  readonly disk: SimDisk
  readonly #random

  constructor(seed: number) {
    this.#random = newSeededRandom(seed)
    this.disk = new SimDisk({ random: this.#random.split('disk') })
  }

  open(identity: typeof OLD): OpenedWal {
    return openWal(this.disk, DIRECTORY, this.#options(identity))
  }

  replace(): void {
    replaceLog(this.disk, DIRECTORY, { ...this.#options(NEW), replaces: OLD }, STATE)
  }

  /** Which log the directory holds, looked at as a starting node does. */
  found(): 'old' | 'new' {
    const raftId = findReplacement(this.disk, DIRECTORY, { keys: KEYS, raftId: OLD.raftId })
    if (raftId === undefined) {
      const { entries, hardState, snapshot } = this.open(OLD)
      expect(entries.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect({ hardState, snapshot }).toEqual({ hardState: OLD_HARD_STATE, snapshot: undefined })
      return 'old'
    }
    expect(raftId).toBe(NEW.raftId)
    const { entries, hardState, snapshot, wal } = this.open(NEW)
    expect({ entries, hardState, snapshot }).toEqual({
      ...{ entries: [], hardState: STATE.hardState, snapshot: STATE.snapshot },
    })
    const bytes = [...wal.readSnapshot()].flatMap((chunk) => [...chunk])
    expect(bytes).toEqual(STATE.chunks.flatMap((chunk) => [...chunk]))
    return 'new'
  }

  #options(identity: typeof OLD): Parameters<typeof openWal>[2] {
    return { identity, keys: KEYS, random: this.#random.split('wal'), segmentBytes: 8192 }
  }
}

/** Nine entries over three segments; the last entries are not known to be committed. */
function world(seed: number): World {
  const made = new World(seed)
  const entry = (index: number): Entry => {
    const data = new Uint8Array(600).fill(index)
    return { term: 3, index, type: 'normal', data, confChange: undefined }
  }
  for (let index = 1; index <= 9; index += 3) {
    const { wal } = made.open(OLD)
    wal.append({
      hardState: index === 7 ? OLD_HARD_STATE : { term: 3, vote: 7, commit: 0 },
      entries: [entry(index), entry(index + 1), entry(index + 2)],
    })
    wal.sync()
  }
  return made
}

test('a replaced log is the new member\u2019s, and what it appends stays', () => {
  const made = world(1)
  expect(made.found()).toBe('old')

  made.replace()
  expect(made.found()).toBe('new')
  const { wal } = made.open(NEW)
  const data = new Uint8Array(10)
  wal.append({ entries: [{ term: 4, index: 11, type: 'normal', data, confChange: undefined }] })
  wal.sync()

  expect(made.open(NEW).entries.map(({ index }) => index)).toEqual([11])
  expect(() => made.open(OLD)).toThrow('belongs to member 8')
})

test('nothing of the old log is left once the new one has made a snapshot of its own', () => {
  const made = world(2)
  made.replace()
  const { wal } = made.open(NEW)
  const data = new Uint8Array(10)
  wal.append({ entries: [{ term: 4, index: 11, type: 'normal', data, confChange: undefined }] })
  wal.saveSnapshot({ ...STATE.snapshot, index: 11 }, [data], {
    hardState: { term: 4, vote: 8, commit: 11 },
  })
  wal.setKeys(KEYS)
  wal.compact(11)

  // Its metadata is gone too, so the members after it must not look like a replacement.
  expect(findReplacement(made.disk, DIRECTORY, { keys: KEYS, raftId: 7 })).toBeUndefined()
  expect(made.open(NEW).snapshot?.index).toBe(11)
})

test.each(['none', 'some', 'all', 'kill'] as const)(
  'a machine that dies at any operation of a replacement has the old log or the new one (%s)',
  (keep: CrashKeep | 'kill') => {
    const seen = new Set<string>()
    let isDone = false
    for (let operations = 0; !isDone; operations++) {
      for (let seed = 0; seed < 4; seed++) {
        const made = world(100 * operations + seed)
        made.disk.dieAfter(operations)
        try {
          made.replace()
          isDone = true
        } catch (error) {
          if (!(error instanceof SimulatedCrash)) throw error
        }
        if (keep === 'kill') made.disk.kill()
        else made.disk.crash(keep)
        const found = made.found()
        seen.add(found)
        // What was there stays there, and the old one can be replaced still.
        expect(made.found()).toBe(found)
        if (found === 'old') made.replace()
        expect(made.found()).toBe('new')
      }
    }
    expect([...seen].sort()).toEqual(['new', 'old'])
  },
)

test('a replacement on a full disk changes nothing, and succeeds once there is room', () => {
  const made = world(3)
  made.open(OLD)
  for (const room of [0, 600, 3000, 6000, 9000]) {
    made.disk.fill()
    made.disk.capacityBytes += room
    expect(() => made.replace()).toThrow(
      expect.toSatisfy((error: unknown) => isDiskError(error, 'enospc')),
    )
    made.disk.heal()
    expect(made.found()).toBe('old')
  }
  made.replace()
  expect(made.found()).toBe('new')
})
