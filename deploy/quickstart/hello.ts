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
}

/** The service exists and has converged. */
export async function createHello(state: State): Promise<void> {
  const [first] = state.hosts
  if (first === undefined) return
  const create = ['service', 'create', '--name', 'hello', '--replicas', String(REPLICAS), '-q']
  if (state.kind === 'containers') {
    // One replica a host needs a host a replica: with fewer, the rest would wait for a free port.
    const publish =
      state.hosts.length >= REPLICAS ? ['--publish', `mode=host,target=80,published=${PORT}`] : []
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

/** One answer of each replica. */
export async function listAnswers(state: State): Promise<readonly string[]> {
  const [first] = state.hosts
  if (first === undefined) return []
  await waitFor('three running replicas', CONVERGE_MS, async () => {
    const tasks = await listTasks(first)
    const running = tasks.filter((task) => task.CurrentState.startsWith('Running'))
    return running.length === REPLICAS ? running : undefined
  })
  if (state.kind === 'processes' || state.hosts.length < REPLICAS)
    return (await mustTsswarm(first, 'service', 'logs', 'hello')).trim().split('\n')
  return waitFor('an answer of each replica', CONVERGE_MS, async () => {
    const answers = await Promise.all(state.hosts.map(ask))
    const given = answers.filter((answer) => answer !== undefined)
    return given.length === REPLICAS ? given : undefined
  })
}

async function ask(host: Host): Promise<string | undefined> {
  const url = `http://${host.address}:${PORT}/`
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    return `${url} answers: ${(await response.text()).trim()}`
  } catch {
    return undefined
  }
}
