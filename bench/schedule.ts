/**
 * The scheduler's figures: `npm run bench -- schedule [SCENARIO…] [times N]`. From tasks that are
 * pending in a store to their assignments committed to it, with the watch feed on: the loop is run
 * by the leader's own `Leader`, a round at a time, each round is one entry of the store, and a
 * subscriber takes every event. Reading the whole state at the start counts. `writer` adds what a
 * leader does besides: the working view, and entries as bytes there and back. The digest of it all,
 * which the store counts a little with each entry whenever one is due, is counted at the end and
 * told apart. Each scenario runs in a process of its own. SwarmKit's figures are those of its scheduler benchmark on a machine like the
 * one that docs/scheduler.md names.
 */
import { spawnSync } from 'node:child_process'
import { newId } from '../lib/id.ts'
import { newSeededRandom } from '../lib/random.ts'
import { Leader } from '../manager/leader.ts'
import { newTaskId } from '../manager/model/task.ts'
import { Scheduler } from '../manager/scheduler/scheduler.ts'
import type { Change } from '../manager/store/change.ts'
import { decodeEntry, encodeEntry, newEntry } from '../manager/store/entry.ts'
import { Store } from '../manager/store/store.ts'
import { decodeNode, decodeTask, encodeNode, encodeTask } from '../proto/gen/objects.ts'
import type { TaskSpec } from '../proto/gen/specs.ts'
import { node, service, task } from '../test/build.ts'
import { medianOf, printFigures } from './report.ts'
import { batchesOf } from './store/world.ts'

type Scenario = {
  readonly name: string
  readonly nodes: number
  readonly tasks: number
  readonly tasksPerService: number
  /** Half of the nodes satisfy it. */
  readonly hasConstraint: boolean
  /** Of SwarmKit. */
  readonly referenceMs: number
  readonly mustMs: number
}

const SCENARIOS: readonly Scenario[] = [
  scenario('single', { nodes: 1_000, tasksPerService: 1, referenceMs: 8_500, mustMs: 900 }),
  scenario('grouped', { nodes: 1_000, tasksPerService: 100, referenceMs: 5_400, mustMs: 600 }),
  scenario('constraint', {
    ...{ nodes: 5_000, tasksPerService: 1, hasConstraint: true },
    ...{ referenceMs: 32_000, mustMs: 2_000 },
  }),
  scenario('large', {
    ...{ nodes: 100_000, tasks: 1_000_000, tasksPerService: 100 },
    ...{ referenceMs: 125_000, mustMs: 30_000 },
  }),
]

const MIB = 2 ** 20
const ENTRY = 2_000
const WALL_MS = 1_700_000_000_000
const HEAP_MIB = 3_600

/** What one process found. */
type Found = {
  readonly ms: number
  /** Of the processor, by the thread that does it all: what else is at work here hardly shows. */
  readonly cpuMs: number
  /** The same for the digest of what has changed, afterwards. */
  readonly digestMs: number
  readonly roundsMs: readonly number[]
  readonly rssMib: number
}

export function run(args: readonly string[]): void {
  if (args[0] === 'once') {
    const found = measure(findScenario(args[1] ?? ''), args.includes('writer'))
    process.stdout.write(JSON.stringify(found))
    return
  }
  const at = args.indexOf('times')
  const times = at < 0 ? 3 : Number(args[at + 1])
  const names = new Set(args.filter((arg) => SCENARIOS.some(({ name }) => name === arg)))
  for (const each of SCENARIOS)
    if (names.size === 0 || names.has(each.name)) report(each, times, args.includes('writer'))
}

function report(each: Scenario, times: number, isWhole: boolean): void {
  const { name, nodes, tasks, tasksPerService, hasConstraint, referenceMs, mustMs } = each
  const found = Array.from({ length: times }, () => spawn(name, isWhole))
  const reference = isWhole ? undefined : referenceMs
  const rounds = found.flatMap(({ roundsMs }) => roundsMs).sort((a, b) => a - b)
  const services = tasksPerService === 1 ? 'one-task services' : `services of ${tasksPerService}`
  const title = `${name}: ${nodes} nodes, ${tasks} tasks in ${services}`
  printFigures(`${title}${hasConstraint ? ', with a constraint' : ''}`, [
    {
      name: `pending to assigned (must ${mustMs}, aim ${mustMs / 2})`,
      unit: 'ms',
      samples: found.map(({ ms }) => ms),
      reference,
    },
    { name: 'processor time', unit: 'ms', samples: found.map(({ cpuMs }) => cpuMs) },
    { name: 'for one task', unit: 'µs', samples: found.map(({ cpuMs }) => (cpuMs * 1e3) / tasks) },
    {
      name: 'the digest of it, afterwards',
      unit: 'ms',
      samples: found.map(({ digestMs }) => digestMs),
    },
    { name: 'a round of the scheduler, median', unit: 'ms', samples: [medianOf(rounds)] },
    {
      name: 'a round of the scheduler, p99.9',
      unit: 'ms',
      samples: [rounds[Math.floor(rounds.length * 0.999)] ?? 0],
    },
    { name: 'memory of the process', unit: 'MiB', samples: found.map(({ rssMib }) => rssMib) },
  ])
}

function spawn(name: string, isWhole: boolean): Found {
  const child = spawnSync(
    process.execPath,
    [
      `--max-old-space-size=${HEAP_MIB}`,
      ...[`${import.meta.dirname}/main.ts`, 'schedule', 'once', name],
      ...(isWhole ? ['writer'] : []),
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 * MIB },
  )
  if (child.status !== 0) throw new Error(`scenario ${name} ended with ${child.status}`)
  const found: Found = JSON.parse(child.stdout)
  return found
}

/** One run over a new world. */
function measure(each: Scenario, isWhole: boolean): Found {
  const store = newWorld(each)
  const scheduler = new Scheduler()
  const leader = new Leader([
    { name: 'scheduler', reconcile: (round) => scheduler.reconcile(round), knowsOwn: true },
  ])
  const subscription = store.feed.subscribe({ eventsMax: 10 * ENTRY })
  const working = isWhole ? store.working() : undefined
  const random = newSeededRandom('bench/schedule')
  const roundsMs: number[] = []
  let assigned = 0
  const began = performance.now()
  const cpuBegan = process.threadCpuUsage()
  for (;;) {
    const roundBegan = performance.now()
    const ran = leader.runNext({
      view: working?.view ?? store.view(),
      ...{ now: 2_000, wallMs: WALL_MS, random },
    })
    roundsMs.push(performance.now() - roundBegan)
    if (ran === undefined) break
    for (const part of batchesOf(ran.outcome.changes, ENTRY)) {
      working?.apply(part)
      commit(store, working?.takeChanges() ?? part, isWhole)
    }
    leader.noteChanges(ran.outcome.changes, ran.name)
    for (const delivery of subscription.drain())
      if (delivery.kind === 'entry') assigned += delivery.events.length
  }
  const ms = performance.now() - began
  const cpuMs = threadMs(cpuBegan)
  const digestBegan = process.threadCpuUsage()
  store.digest()
  const digestMs = threadMs(digestBegan)
  if (assigned !== each.tasks) throw new Error(`${assigned} of ${each.tasks} tasks were assigned`)
  return { ms, cpuMs, digestMs, roundsMs, rssMib: process.resourceUsage().maxRSS / 1024 }
}

function threadMs(began: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(began)
  return (user + system) / 1000
}

function commit(store: Store, changes: readonly Change[], isWhole: boolean): void {
  const stamp = { timeMs: 2_000, wallMs: WALL_MS }
  const index = store.view().index + 1
  const entry = isWhole ? decodeEntry(encodeEntry(changes, stamp)) : newEntry(changes, stamp)
  store.apply(index, entry)
}

function newWorld(each: Scenario): Store {
  const random = newSeededRandom(`bench/schedule/${each.name}`)
  const store = new Store()
  const create = (changes: readonly Change[]): void => {
    for (const part of batchesOf(changes, ENTRY))
      store.apply(store.view().index + 1, newEntry(part, { timeMs: 1_000, wallMs: WALL_MS }))
  }
  create(
    Array.from({ length: each.nodes }, (_, i): Change => {
      const labels = new Map([['zone', i % 2 === 0 ? 'a' : 'b']])
      const id = newId(random)
      const made = node({
        id,
        ...{ status: { state: 'ready' }, spec: { annotations: { labels } } },
        description: { resources: { nanoCpus: 64e9, memoryBytes: 2 ** 38 } },
      })
      return { kind: 'create', table: 'nodes', object: decodeNode(encodeNode(made)) }
    }),
  )
  for (let made = 0; made < each.tasks; ) {
    const changes: Change[] = []
    while (changes.length < ENTRY && made < each.tasks) {
      const count = Math.min(each.tasksPerService, each.tasks - made)
      changes.push(...newService(newId(random), count, each.hasConstraint, random))
      made += count
    }
    create(changes)
  }
  return store
}

function newService(
  id: string,
  count: number,
  hasConstraint: boolean,
  random: Parameters<typeof newId>[0],
): readonly Change[] {
  const constraints = hasConstraint ? ['node.labels.zone==a'] : []
  const { spec: serviceSpec } = service({ id, spec: { task: { placement: { constraints } } } })
  const spec: TaskSpec | undefined = serviceSpec?.task
  const base = task({ serviceId: id, status: { state: 'pending' } })
  return Array.from({ length: count }, (_, i): Change => {
    const made = { ...base, id: newTaskId(id, random), slot: i + 1, spec, specVersion: 1 }
    // As in life: every object has memory of its own, and the shape that decoding gives.
    return { kind: 'create', table: 'tasks', object: decodeTask(encodeTask(made)) }
  })
}

function scenario(name: string, given: Partial<Scenario>): Scenario {
  return {
    name,
    ...{ nodes: 0, tasks: 100_000, tasksPerService: 1, hasConstraint: false },
    ...{ referenceMs: 0, mustMs: 0 },
    ...given,
  }
}

function findScenario(name: string): Scenario {
  const found = SCENARIOS.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no scenario ${name}`)
  return found
}
