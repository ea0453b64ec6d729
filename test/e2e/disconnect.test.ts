/**
 * Hosts that are cut off, with real daemons and processes (docs/disconnect.md): a fenced task is stopped
 * by its own agent, also by one that starts again while it is cut off, and only then does its replacement
 * run; an original that is to be kept has its slot back. What runs is read from the kernel.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Host, sleep, waitFor } from '../../deploy/quickstart/cluster.ts'
import { asJson, type Cluster, isGone, openCluster, serviceSpec, type TaskView } from './cluster.ts'

const WAIT_MS = 120_000
const SECOND = 1_000_000_000
const STOP_AFTER_MS = 10_000
/** (10 s, 1 s of grace, 10 s of margin) · 11/9, and five heartbeat periods before that. */
const FENCE_MS = 25_667 + 10_000

let cluster: Cluster
let first: Host

beforeAll(async () => {
  cluster = await openCluster(19, { hosts: 3, managers: 1, runtime: 'process' })
  first = cluster.host(1)
})

afterAll(() => cluster.close())

/** A service whose one task runs on a worker; the task and its host. */
async function begin(name: string, disconnect: object): Promise<{ task: TaskView; host: Host }> {
  const spec = serviceSpec({ name, constraints: ['node.role==worker'] })
  const template = { ...asJson(spec['TaskTemplate']), Disconnect: disconnect }
  await cluster.call(first, 'POST', '/services/create', { ...spec, TaskTemplate: template })
  const [task] = await cluster.untilRunning(first, name, 1)
  const node = (await cluster.listNodes(first)).find(({ id }) => id === task?.nodeId)
  const host = cluster.hosts.find((candidate) => candidate.name === node?.hostname)
  if (task === undefined || host === undefined) throw new Error(`${name} runs on a host`)
  return { task, host }
}

async function end(name: string, tasks: readonly TaskView[]): Promise<void> {
  await cluster.call(first, 'DELETE', `/services/${name}`)
  await waitFor(`the tasks of ${name} to go`, WAIT_MS, async () =>
    tasks.every(({ pid }) => isGone(pid)) ? true : undefined,
  )
}

/** The task that stands in for `task` runs; until then `look` is called again and again. */
async function untilReplaced(
  name: string,
  task: TaskView,
  look: () => Promise<void>,
): Promise<TaskView> {
  return waitFor(`a replacement of ${task.id}`, WAIT_MS, async () => {
    await look()
    const tasks = await cluster.listTasks(first, name)
    const replacement = tasks.find(({ id, pid }) => id !== task.id && pid !== 0)
    return replacement !== undefined && !isGone(replacement.pid) ? replacement : undefined
  })
}

test('a fenced task is stopped by its host, and its replacement runs only after that', async () => {
  const { task, host } = await begin('writer', { StopAfter: STOP_AFTER_MS * 1e6 })
  const beganMs = performance.now()
  let goneMs = 0

  cluster.setLink(host, false)
  const replacement = await untilReplaced('writer', task, async () => {
    if (goneMs === 0 && isGone(task.pid)) goneMs = performance.now()
  })
  const replacedMs = performance.now()
  cluster.setLink(host, true)
  await cluster.untilReady(first, 3)
  await sleep(6_000)

  expect(goneMs - beganMs).toBeGreaterThan(STOP_AFTER_MS - 2_500)
  expect(goneMs - beganMs).toBeLessThan(STOP_AFTER_MS + 10_000)
  expect(replacedMs - beganMs).toBeGreaterThan(FENCE_MS - 3_000)
  expect(isGone(replacement.pid)).toBe(false)
  const fenced = (await cluster.listTasks(first, 'writer')).find(({ id }) => id === task.id)
  expect(fenced).toMatchObject({
    state: 'failed',
    error: 'task: no manager was reached for 10s',
  })
  await end('writer', [task, replacement])
})

test('a daemon that is started again while its host is cut off stops it at once', async () => {
  const { task, host } = await begin('restarted', { StopAfter: STOP_AFTER_MS * 1e6 })

  cluster.setLink(host, false)
  await cluster.end(host, 'SIGKILL')
  await sleep(STOP_AFTER_MS + 1_000)
  const before = isGone(task.pid)
  const startedMs = performance.now()
  await cluster.start(host)
  await waitFor('the container to be stopped', WAIT_MS, async () => isGone(task.pid) || undefined)
  const stoppedMs = performance.now() - startedMs
  cluster.setLink(host, true)
  await cluster.untilReady(first, 3)

  expect(before).toBe(false)
  expect(stoppedMs).toBeLessThan(20_000)
  await end('restarted', [task])
})

test('a task that is not fenced runs on, and has its slot back where it is to be kept', async () => {
  const { task, host } = await begin('shard', { LostAfter: 5 * SECOND, Keep: 'original' })

  cluster.setLink(host, false)
  const replacement = await untilReplaced('shard', task, async () => undefined)
  const isLiving = !isGone(task.pid)
  cluster.setLink(host, true)
  await waitFor('the replacement to end', WAIT_MS, async () => isGone(replacement.pid) || undefined)

  expect(isLiving).toBe(true)
  expect(isGone(task.pid)).toBe(false)
  const [kept] = await cluster.untilRunning(first, 'shard', 1)
  expect(kept?.id).toBe(task.id)
  await end('shard', [task, replacement])
})
