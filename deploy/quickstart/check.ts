/**
 * `./quickstart --check`: what the quickstart promises, tried on a cluster that was just made: each
 * replica on its own host, a daemon that is killed and started again without touching a container,
 * a host whose power is cut and that comes back, and the cluster serving all the while.
 */
import {
  cutPower,
  type Host,
  mustTsswarm,
  type State,
  startDaemon,
  stopDaemon,
  tsswarm,
  waitFor,
} from './cluster.ts'
import { isRunningTask, listAnswers, listTasks, REPLICAS } from './hello.ts'

/** From the power cut to replacements elsewhere: five missed heartbeats, and the start. */
const REPLACED_MS = 20_000
const BACK_MS = 30_000

export async function checkCluster(state: State, step: (text: string) => void): Promise<void> {
  const [first, ...others] = state.hosts
  const last = others.at(-1)
  if (first === undefined || last === undefined) {
    await listAnswers(state)
    return
  }
  const before = await runningIds(first)
  expect(before.length === REPLICAS, `${REPLICAS} replicas run, found ${before.length}`)

  await stopDaemon(state, last)
  await startDaemon(state, last)
  await waitForNodes(first, state.hosts.length)
  expect(isSame(await runningIds(first), before), 'a restarted daemon keeps its tasks')
  step('a killed daemon came back, no task was replaced')

  if (state.managers >= 3) {
    await stopDaemon(state, first)
    await waitFor('another leader', BACK_MS, async () =>
      (await tsswarm(last, ['node', 'ls', '-q'])).exitCode === 0 ? true : undefined,
    )
    await startDaemon(state, first)
    await waitForNodes(first, state.hosts.length)
    expect(isSame(await runningIds(first), before), 'a change of leader keeps all tasks')
    step('the first manager was killed, another one led')
  }

  if (state.managers < 3 && state.managers === state.hosts.length) return
  cutPower(state, last)
  await waitFor('the node to be down', REPLACED_MS, async () => {
    const { stdout } = await tsswarm(first, ['node', 'ls', '--format', '{{.Status}}'])
    return /Down/.test(stdout) ? true : undefined
  })
  step('a host lost its power, and shows Down')
  await startDaemon(state, last)
  await waitForNodes(first, state.hosts.length)
  await waitFor('three running replicas again', BACK_MS, async () =>
    (await runningIds(first)).length === REPLICAS ? true : undefined,
  )
  await listAnswers(state)
  step('it came back, and every replica answers')
  const leftover = await mustTsswarm(first, 'service', 'ls', '--format', '{{.Replicas}}')
  expect(leftover.trim() === `${REPLICAS}/${REPLICAS}`, `service ls shows ${leftover.trim()}`)
}

async function waitForNodes(host: Host, count: number): Promise<void> {
  await waitFor(`${count} ready nodes`, BACK_MS, async () => {
    const { stdout } = await tsswarm(host, ['node', 'ls', '--format', '{{.Status}}'])
    const ready = stdout.split('\n').filter((status) => status.trim() === 'Ready')
    return ready.length === count ? true : undefined
  })
}

async function runningIds(host: Host): Promise<readonly string[]> {
  const tasks = await listTasks(host)
  return tasks
    .filter(isRunningTask)
    .map((task) => task.ID)
    .sort()
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.join() === b.join()
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`check failed: ${what}`)
}
