/**
 * A rolling update whose leader is killed again and again: three managers, 12 replicas of containers
 * that take a while to end, three slots at a time. It finishes, and at no moment on the way are more
 * than three slots without a container (stop-first), or three with two (start-first). What runs is
 * read from the kernel, all the time; what is said to run, from managers that are asked what they
 * have (swarm-mode.md 2.9, docs/task-model.md).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callApi } from '../../deploy/quickstart/api.ts'
import { sleep, waitFor } from '../../deploy/quickstart/cluster.ts'
import { asJson, asList, type Cluster, openCluster, serviceSpec } from './cluster.ts'

const REPLICAS = 12
const PARALLELISM = 3
const LEADER_LIVES_MS = 3_000
const DEAD_MS = 1_000
const UPDATE_MS = 75_000
const SECOND = 1_000_000_000
/** Ends two seconds after it was told to. */
const SLOW_END = 'trap "sleep 2; exit 0" TERM; while :; do sleep 1000 & wait; done'

const ENDED = new Set(['complete', 'shutdown', 'failed', 'rejected', 'orphaned', 'remove'])

let cluster: Cluster

beforeAll(async () => {
  cluster = await openCluster(12, { hosts: 3, managers: 3 })
})

afterAll(() => cluster.close())

/** Ids of tasks of which a process lives, by the control groups of the machine. */
function listLiving(): ReadonlySet<string> {
  const living = new Set<string>()
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      const [, id] = /\/tsswarm\/\w+\/(\w{25})$/m.exec(cgroup) ?? []
      if (id !== undefined) living.add(id)
    } catch {
      // It ended while it was looked at.
    }
  }
  return living
}

/** Slots in which nothing is served, and tasks beside another one of their slot; and of how many looks. */
type Count = { readonly down: number; readonly extra: number; readonly looks: number }

/** Both lists name the slot of each task: of those that serve, and of those that are there. */
function countSlots(serving: readonly number[], present: readonly number[]): Count {
  return {
    down: REPLICAS - new Set(serving).size,
    extra: present.length - new Set(present).size,
    looks: 1,
  }
}

function mostOf(counts: readonly Count[]): Count {
  return {
    down: Math.max(...counts.map(({ down }) => down)),
    extra: Math.max(...counts.map(({ extra }) => extra)),
    looks: counts.length,
  }
}

/** Looks at a service until it is stopped: at the machine's processes, and through each manager in turn. */
class Watch {
  readonly #service: string
  readonly #slots: Map<string, number> = new Map()
  readonly #living: ReadonlySet<string>[] = []
  readonly #said: Count[] = []
  readonly #done: Promise<unknown>
  #isOver = false

  constructor(service: string) {
    this.#service = service
    this.#done = Promise.all([this.#look(), this.#ask()])
  }

  /** The most that ran, or that a manager said, at any moment. */
  async stop(): Promise<{ readonly runs: Count; readonly said: Count }> {
    this.#isOver = true
    await this.#done
    const runs = this.#living.map((ids) => {
      const slots = [...ids].flatMap((id) => this.#slots.get(id) ?? [])
      return countSlots(slots, slots)
    })
    return { runs: mostOf(runs), said: mostOf(this.#said) }
  }

  async #look(): Promise<void> {
    while (!this.#isOver) {
      this.#living.push(listLiving())
      await sleep(50)
    }
  }

  async #ask(): Promise<void> {
    const filters = encodeURIComponent(JSON.stringify({ service: [this.#service] }))
    const path = `/tasks?consistency=stale&filters=${filters}`
    for (let at = 0; !this.#isOver; at++) {
      const { socket = '' } = cluster.hosts[at % cluster.hosts.length] ?? {}
      const answer = await callApi({ socket, path, timeoutMs: 1_000 }).catch(() => undefined)
      if (answer?.status === 200) this.#note(asList(answer.body))
      await sleep(50)
    }
  }

  #note(tasks: readonly Readonly<Record<string, unknown>>[]): void {
    const [serving, present]: [number[], number[]] = [[], []]
    for (const task of tasks) {
      const slot = Number(task['Slot'])
      const state = String(asJson(task['Status'])['State'])
      const isWanted = task['DesiredState'] === 'running'
      this.#slots.set(String(task['ID']), slot)
      if (state === 'running' && isWanted) serving.push(slot)
      if (state === 'running' || (isWanted && !ENDED.has(state))) present.push(slot)
    }
    // A manager that has just been started may not have the service yet.
    if (tasks.length > 0) this.#said.push(countSlots(serving, present))
  }
}

/** The leader is killed every three seconds and started again a second later, until it is stopped. */
class Killer {
  #isOver = false
  readonly #done: Promise<number>

  constructor() {
    this.#done = this.#kill()
  }

  /** How many leaders were killed; all daemons run. */
  stop(): Promise<number> {
    this.#isOver = true
    return this.#done
  }

  async #kill(): Promise<number> {
    for (let count = 0; ; count++) {
      const until = performance.now() + LEADER_LIVES_MS
      while (performance.now() < until && !this.#isOver) await sleep(20)
      if (this.#isOver) return count
      const leader = await cluster.leader()
      await cluster.end(leader, 'SIGKILL')
      await sleep(DEAD_MS)
      await cluster.start(leader)
    }
  }
}

/** What one of the managers says of the service now. */
async function findStatus(service: string): Promise<string | undefined> {
  for (const { socket } of cluster.hosts) {
    const path = `/services/${service}`
    const answer = await callApi({ socket, path, timeoutMs: 2_000 }).catch(() => undefined)
    if (answer?.status !== 200) continue
    return String(asJson(asJson(answer.body)['UpdateStatus'])['State'])
  }
  return undefined
}

/** The service has been updated. */
async function update(name: string): Promise<void> {
  await cluster.updateService(cluster.host(1), name, (was) => ({
    ...was,
    TaskTemplate: { ...asJson(was['TaskTemplate']), ForceUpdate: 1 },
  }))
  await waitFor('the update to be completed', UPDATE_MS, async () =>
    (await findStatus(name)) === 'completed' ? true : undefined,
  )
}

test.each([
  ['stop-first', { down: PARALLELISM, extra: 0 }],
  ['start-first', { down: 0, extra: PARALLELISM }],
] as const)('a %s update finishes whoever leads, within its parallelism', async (Order, most) => {
  const name = Order
  const spec = serviceSpec({ name, replicas: REPLICAS, command: ['sh', '-c', SLOW_END] })
  const UpdateConfig = { Parallelism: PARALLELISM, Monitor: 2 * SECOND, Order }
  await cluster.call(cluster.host(1), 'POST', '/services/create', { ...spec, UpdateConfig })
  const before = await cluster.untilRunning(cluster.host(1), name, REPLICAS)
  const watch = new Watch(name)
  const killer = new Killer()

  await update(name).finally(() => killer.stop())
  const kills = await killer.stop()
  const after = await cluster.untilRunning(cluster.host(1), name, REPLICAS)
  const { runs, said } = await watch.stop()

  expect(kills).toBeGreaterThanOrEqual(2)
  expect(after.filter(({ id }) => before.some((task) => task.id === id))).toEqual([])
  expect(runs.down, `of ${runs.looks} looks`).toBeLessThanOrEqual(most.down)
  expect(runs.extra, `of ${runs.looks} looks`).toBeLessThanOrEqual(most.extra)
  expect(said.down, `of ${said.looks} answers`).toBeLessThanOrEqual(most.down)
  expect(said.extra, `of ${said.looks} answers`).toBeLessThanOrEqual(most.extra)
  // It was looked often enough to see three at a time.
  expect(Order === 'stop-first' ? runs.down : runs.extra).toBe(PARALLELISM)
  await cluster.insist(cluster.host(1), 'DELETE', `/services/${name}`)
})
