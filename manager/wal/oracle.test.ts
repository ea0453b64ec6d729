/**
 * The oracle of the log: random operations, faults and a crash or a kill at any moment, and a
 * restart gives all that was synced, and at most all that was written.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isDiskError } from '../../lib/disk.ts'
import { newSeededRandom } from '../../lib/random.ts'
import type { SnapshotMeta } from '../../proto/gen/wal.ts'
import { SimDisk, SimulatedCrash } from '../../test/sim/disk.ts'
import { type Entry, emptyConfState, type HardState } from '../raft/message.ts'
import { type OpenedWal, openWal, type Wal, type WalOptions } from './wal.ts'

const DIRECTORY = 'raft'

class World {
  readonly disk: SimDisk
  readonly options: WalOptions

  constructor(seed: number) {
    const random = newSeededRandom(seed)
    this.disk = new SimDisk({ random: random.split('disk') })
    this.options = {
      identity: { clusterId: 'c1', raftId: 7 },
      keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) },
      random: random.split('wal'),
      segmentBytes: 8192,
      mark: 'identity/log.mark',
    }
    this.disk.makeDirectory('identity')
    this.disk.syncDirectory('')
  }

  open(): OpenedWal {
    return openWal(this.disk, DIRECTORY, this.options)
  }
}

/** Entries of one term with the same data, from index `first` on. */
function entries(
  first: number,
  count: number,
  change: Pick<Entry, 'term' | 'data'>,
): readonly Entry[] {
  return Array.from({ length: count }, (_, i) => {
    return { index: first + i, type: 'normal', confChange: undefined, ...change }
  })
}

const meta = (index: number, term: number): SnapshotMeta => ({
  index,
  term,
  confState: { ...emptyConfState, voters: [7, 8] },
})

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

function read(wal: Wal): string {
  return [...wal.readSnapshot()].map((chunk) => new TextDecoder().decode(chunk)).join('')
}

type State = {
  readonly hardState: HardState
  readonly entries: readonly Entry[]
  readonly snapshot: SnapshotMeta | undefined
}

/** What may come back after a crash: from what is safe to all that was written. */
class Model {
  candidates: readonly State[] = [
    { hardState: { term: 0, vote: 0, commit: 0 }, entries: [], snapshot: undefined },
  ]

  get now(): State {
    const state = this.candidates.at(-1)
    if (state === undefined) throw new Error('a model has a state')
    return state
  }

  get lastIndex(): number {
    return this.now.entries.at(-1)?.index ?? this.now.snapshot?.index ?? 0
  }

  write(state: State): void {
    this.candidates = [...this.candidates, state]
  }

  settle(): void {
    this.candidates = [this.now]
  }
}

const operation = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    overwritten: fc.nat(3),
    count: fc.nat(4),
    dataBytes: fc.constantFrom(0, 10, 300, 700, 3000),
    termStep: fc.nat(1),
    commitStep: fc.nat(3),
    isSynced: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('commit' as const), commitStep: fc.nat(3) }),
  fc.record({ kind: fc.constant('snapshot' as const), ahead: fc.nat(6) }),
  fc.record({ kind: fc.constantFrom('compact', 'prepare', 'setKeys', 'restart' as const) }),
  fc.record({ kind: fc.constant('full' as const), roomBytes: fc.constantFrom(0, 3000, 9000) }),
  fc.record({
    kind: fc.constant('crash' as const),
    keep: fc.constantFrom('none', 'some', 'some', 'all' as const),
  }),
  fc.record({ kind: fc.constantFrom('kill', 'failedSync' as const) }),
  fc.record({ kind: fc.constant('die' as const), after: fc.nat(12) }),
)
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

test('whatever happens, a restart gives all that was synced, and at most all that was written', () => {
  fc.assert(
    fc.property(fc.nat(), fc.array(operation, { maxLength: 40 }), (seed, operations) => {
      const run = new OracleRun(seed)
      for (const one of operations) run.step(one)
      run.crash('some')
    }),
    { numRuns: 500 },
  )
})

class OracleRun {
  readonly #world: World
  readonly #model = new Model()
  #wal: Wal

  constructor(seed: number) {
    this.#world = new World(seed)
    this.#wal = this.#world.open().wal
  }

  step(one: Operation): void {
    try {
      this.#carryOut(one)
    } catch (error) {
      if (error instanceof SimulatedCrash) this.crash('some')
      else if (isDiskError(error, 'enospc')) {
        expect(this.#wal.lastIndex).toBe(this.#model.lastIndex)
        this.#world.disk.capacityBytes = Number.POSITIVE_INFINITY
      } else throw error
    }
  }

  crash(keep: 'none' | 'some' | 'all'): void {
    const { disk } = this.#world
    disk.crash(keep)
    disk.heal()
    this.#open()
  }

  /** A restart on a full disk fails, changes nothing, and succeeds once there is room. */
  #reopen(): OpenedWal {
    try {
      return this.#world.open()
    } catch (error) {
      if (!isDiskError(error, 'enospc')) throw error
      this.#world.disk.capacityBytes = Number.POSITIVE_INFINITY
      return this.#world.open()
    }
  }

  #open(): void {
    const opened = this.#reopen()
    const found = { ...opened, wal: undefined, torn: undefined }
    const match = this.#model.candidates.find((state) => isSame(state, found))
    if (match === undefined) expect(found).toEqual(this.#model.candidates)
    this.#model.write({ ...found })
    this.#model.settle()
    this.#wal = opened.wal
  }

  #carryOut(one: Operation): void {
    const { disk } = this.#world
    switch (one.kind) {
      case 'append':
        this.#append(one)
        return
      case 'commit':
        this.#append({ ...one, overwritten: 0, count: 0, dataBytes: 0, termStep: 0 })
        return
      case 'snapshot':
        this.#snapshot(one.ahead)
        return
      case 'compact':
        this.#wal.compact(this.#model.lastIndex)
        return
      case 'prepare':
        this.#wal.prepare()
        return
      case 'setKeys':
        this.#wal.setKeys(this.#world.options.keys)
        return
      case 'restart':
        this.#open()
        return
      case 'full': {
        const sizes = disk.list(DIRECTORY).map((name) => disk.size(`${DIRECTORY}/${name}`))
        disk.capacityBytes = sizes.reduce((sum, size) => sum + size, 0) + one.roomBytes
        return
      }
      case 'crash':
        this.crash(one.keep)
        return
      case 'kill':
        disk.kill()
        this.#open()
        return
      case 'failedSync':
        this.#failSync()
        return
      case 'die':
        disk.dieAfter(one.after)
        return
      default:
        one satisfies never
    }
  }

  #append(one: {
    readonly overwritten: number
    readonly count: number
    readonly dataBytes: number
    readonly termStep: number
    readonly commitStep: number
    readonly isSynced?: boolean
  }): void {
    const { now, lastIndex } = this.#model
    const { commit } = now.hardState
    const first =
      one.count === 0 ? lastIndex + 1 : Math.max(commit + 1, lastIndex + 1 - one.overwritten)
    const term = now.hardState.term + one.termStep
    const data = new Uint8Array(one.dataBytes).fill(term)
    const added = entries(first, one.count, { term, data })
    const kept = now.entries.filter((each) => each.index < first)
    const end = added.at(-1)?.index ?? lastIndex
    const vote = one.termStep === 0 ? now.hardState.vote : 7
    const next = { term, vote, commit: Math.min(commit + one.commitStep, end) }
    const state = { ...now, hardState: next, entries: [...kept, ...added] }
    const isDeferred = one.count === 0 && one.termStep === 0
    this.#attempt(state, isDeferred, () => this.#wal.append({ hardState: next, entries: added }))
    if (one.isSynced !== true) return
    this.#wal.sync()
    this.#model.settle()
  }

  #snapshot(ahead: number): void {
    const { now, lastIndex } = this.#model
    const replacesLog = ahead > 3
    const index = replacesLog ? lastIndex + ahead : now.hardState.commit
    if (index <= (now.snapshot?.index ?? 0)) return
    const term = replacesLog
      ? now.hardState.term + 1
      : (now.entries.find((each) => each.index === index)?.term ?? 0)
    const next = replacesLog ? { term, vote: 0, commit: index } : now.hardState
    const state = {
      hardState: next,
      snapshot: meta(index, term),
      entries: replacesLog ? [] : now.entries.filter((each) => each.index > index),
    }
    this.#attempt(state, false, () => {
      this.#wal.saveSnapshot(meta(index, term), [text(`state ${index}`)], {
        hardState: next,
        snapshotReplacesLog: replacesLog,
      })
    })
    this.#model.settle()
    expect(read(this.#wal)).toBe(`state ${index}`)
  }

  /** The daemon ends, as it must, and is started again on a machine that was not. */
  #failSync(): void {
    const { disk } = this.#world
    const { now, lastIndex } = this.#model
    const { term } = now.hardState
    const added = entries(lastIndex + 1, 1, { term, data: new Uint8Array(2000) })
    const state = { ...now, entries: [...now.entries, ...added] }
    this.#attempt(state, false, () => this.#wal.append({ entries: added }))
    disk.dieAfter(Number.POSITIVE_INFINITY)
    disk.inject({ operation: 'sync', kind: 'eio' })
    expect(() => this.#wal.sync()).toThrow('the log in "raft" stopped')
    disk.kill()
    this.#open()
  }

  /** The state may be there from now on; it is not if the disk was full. */
  #attempt(state: State, isDeferred: boolean, act: () => void): void {
    const before = this.#model.candidates
    this.#model.write(state)
    try {
      act()
    } catch (error) {
      if (isDiskError(error, 'enospc')) this.#model.candidates = before
      throw error
    }
    // Whatever came before was synced, unless nothing was written at all.
    if (!isDeferred) this.#model.candidates = this.#model.candidates.slice(-2)
  }
}

/** Equal but for a commit index that was not yet written. */
function isSame(state: State, found: State): boolean {
  const { commit } = found.hardState
  if (commit > state.hardState.commit) return false
  const expected = { ...state, hardState: { ...state.hardState, commit } }
  try {
    expect({ ...found }).toMatchObject(expected)
  } catch {
    return false
  }
  return found.entries.length === state.entries.length
}
