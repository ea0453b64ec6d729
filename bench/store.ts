/**
 * The store's figures: `npm run bench -- store [nodes tasks] [ways]`, 10,000 and 100,000 if not given.
 * The whole store first: changes through a working view, an entry and back, and snapshots. With
 * `ways` also the two ways to keep tables. docs/store.md has the results and what followed.
 */

import type { Change } from '../manager/store/change.ts'
import { decodeEntry, encodeEntry } from '../manager/store/entry.ts'
import { SnapshotReader, saveSnapshot } from '../manager/store/snapshot.ts'
import { Store } from '../manager/store/store.ts'
import { cpuMs, type Figure, printFigures } from './report.ts'
import { measureWay, WAYS } from './store/ways.ts'
import { batchesOf, newWorld, type World } from './store/world.ts'

const ENTRY = 200
const TIMES = 3
const STAMP = { timeMs: 1_000, wallMs: 1_000 }

export function run(args: readonly string[]): void {
  const [nodes = 10_000, tasks = 100_000] = args.map(Number).filter(Number.isInteger)
  const world = newWorld(nodes, tasks)
  const size = `${nodes} nodes, ${tasks} tasks`
  printFigures(`whole store: ${size}, entries of ${ENTRY} changes`, measureStore(world))
  if (!args.includes('ways')) return
  for (const way of WAYS) printFigures(`${way.name}: ${size}`, measureWay(way, world))
}

function measureStore(world: World): readonly Figure[] {
  const steps = new Map<string, { readonly unit: string; readonly samples: number[] }>()
  const note = (name: string, unit: string, value: number): void => {
    const step = steps.get(name) ?? { unit, samples: [] }
    step.samples.push(value)
    steps.set(name, step)
  }
  for (let i = 0; i < TIMES; i++) measureOnce(world, note)
  return [...steps].map(([name, { unit, samples }]) => ({ name, unit, samples }))
}

type Note = (name: string, unit: string, value: number) => void

function measureOnce(world: World, note: Note): void {
  const store = new Store()
  const create: readonly Change[] = [
    ...world.nodes.map((object) => ({ kind: 'create', table: 'nodes', object }) as const),
    ...world.tasks.map((object) => ({ kind: 'create', table: 'tasks', object }) as const),
  ]
  const update = world.updates.map(
    (object) => ({ kind: 'update', table: 'tasks', object }) as const,
  )
  measureChanges('create', store, create, note)
  measureChanges('update', store, update, note)
  note(
    'digest of what is left',
    'ms',
    cpuMs(() => store.digest()),
  )
  measureSnapshot(store, note)
}

/** What becomes of a change on its leader, step by step, in µs for one. */
function measureChanges(name: string, store: Store, changes: readonly Change[], note: Note): void {
  const working = store.working()
  const spent = { work: 0, encode: 0, decode: 0, apply: 0 }
  for (const batch of batchesOf(changes, ENTRY)) {
    let taken: readonly Change[] = []
    spent.work += cpuMs(() => {
      working.apply(batch)
      taken = working.takeChanges()
    })
    let bytes: Uint8Array = new Uint8Array(0)
    spent.encode += cpuMs(() => {
      bytes = encodeEntry(taken, STAMP)
    })
    let entry = decodeEntry(new Uint8Array(0))
    spent.decode += cpuMs(() => {
      entry = decodeEntry(bytes)
    })
    spent.apply += cpuMs(() => {
      store.apply(store.view().index + 1, entry)
      store.view()
    })
  }
  working.drop()
  for (const [step, ms] of Object.entries(spent))
    note(`${name}: ${step}`, 'µs', (ms * 1000) / changes.length)
}

function measureSnapshot(store: Store, note: Note): void {
  const chunks: Uint8Array[] = []
  const saver = saveSnapshot(store)
  const saveSteps = stepsOf(() => {
    const { value } = saver.next()
    if (value !== undefined) chunks.push(value)
    return value !== undefined
  })
  const reader = new SnapshotReader()
  const restoreSteps = stepsOf(() => {
    const chunk = chunks.shift()
    if (chunk !== undefined) reader.feed(chunk)
    return chunk !== undefined
  })
  note('save a snapshot', 'ms', sumOf(saveSteps))
  note('save: longest step', 'ms', Math.max(...saveSteps))
  note('restore it', 'ms', sumOf(restoreSteps) + cpuMs(() => reader.finish()))
  note('restore: longest step', 'ms', Math.max(...restoreSteps))
}

/** How long each step takes, in ms, until one says that there was nothing left to do. */
function stepsOf(step: () => boolean): readonly number[] {
  const times: number[] = []
  for (let goesOn = true; goesOn; )
    times.push(
      cpuMs(() => {
        goesOn = step()
      }),
    )
  return times
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
