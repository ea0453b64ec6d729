/**
 * The quickstart's service: a small web server with three replicas, each answering on port 8080 of
 * its own host; where hosts are processes, a command that says hello in its log.
 */
import { type Host, IMAGE, mustTsswarm, PORT, type State, tsswarm, waitFor } from './cluster.ts'

export const REPLICAS = 3
const CONVERGE_MS = 60_000

export type TaskRow = {
  readonly ID: string
  readonly Name: string
  readonly Node: string
  readonly DesiredState: string
  readonly CurrentState: string
  readonly Error: string
  readonly Ports: string
}

/** The service exists and has converged. */
export async function createHello(state: State): Promise<void> {
  const [first] = state.hosts
  if (first === undefined) return
  const create = ['service', 'create', '--name', 'hello', '--replicas', String(REPLICAS), '-q']
  if (state.kind === 'containers') {
    // With fewer hosts than replicas some would wait for the port: each gets a free one instead.
    const published = state.hosts.length >= REPLICAS ? `,published=${PORT}` : ''
    const publish = ['--publish', `mode=host,target=80${published}`]
    await mustTsswarm(first, ...create, ...publish, '--update-monitor', '1s', IMAGE)
  } else {
    const script = 'echo "hello from $(hostname), process $$"; exec sleep 1000000'
    await mustTsswarm(first, ...create, '--update-monitor', '1s', 'hello', 'sh', '-c', script)
  }
}

/** The tasks of the service that are meant to run, by `service ps`. */
export async function listTasks(host: Host): Promise<readonly TaskRow[]> {
  const { exitCode, stdout } = await tsswarm(host, [
    ...['service', 'ps', 'hello', '--no-trunc', '--format', 'json'],
    ...['--filter', 'desired-state=running'],
  ])
  if (exitCode !== 0) return []
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

/** One answer of each replica; where hosts are processes, what it says in its log. */
export async function listAnswers(state: State): Promise<readonly string[]> {
  const [first] = state.hosts
  if (first === undefined) return []
  const tasks = await waitFor(`${REPLICAS} running replicas`, CONVERGE_MS, async () => {
    const running = (await listTasks(first)).filter(isRunningTask)
    return running.length === REPLICAS ? running : undefined
  })
  return waitFor('an answer of each replica', CONVERGE_MS, async () => {
    const answers = await (state.kind === 'containers'
      ? Promise.all(tasks.map((task) => ask(state, task)))
      : readLogs(first, tasks))
    const given = answers.filter((answer) => answer !== undefined)
    return given.length === REPLICAS ? given : undefined
  })
}

export function isRunningTask(task: TaskRow): boolean {
  return task.CurrentState.startsWith('Running')
}

async function ask(state: State, task: TaskRow): Promise<string | undefined> {
  const host = state.hosts.find(({ name }) => name === task.Node)
  const port = /^\*:(\d+)->/.exec(task.Ports)?.[1]
  if (host === undefined || port === undefined) return undefined
  const url = `http://${host.address}:${port}/`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    return `${url} answers: ${(await response.text()).trim()}`
  } catch {
    return undefined
  }
}

async function readLogs(
  first: Host,
  tasks: readonly TaskRow[],
): Promise<readonly (string | undefined)[]> {
  const { stdout } = await tsswarm(first, ['service', 'logs', 'hello'])
  const lines = stdout.split('\n')
  // Tasks that were replaced may still have logs.
  return tasks.map(({ ID }) =>
    lines.find((line) => line.includes(ID.slice(0, 12)) && line.includes('hello from')),
  )
}
