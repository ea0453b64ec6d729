/**
 * A container that writes 1 MB/s of numbered lines while its daemon is dead, and its keeper is killed
 * again and again: lines that are missing, for how long none was written, and after how long the
 * keeper was back. A host of its own, as the quickstart makes them; root on Linux only.
 * `-- --seconds N --every MS`: how long the daemon is dead, and how long after each of its starts
 * the keeper is killed; `--every 50` kills it in the midst of what piled up.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readLogRecord } from '../agent/runtime/log-file.ts'
import { callApi } from '../deploy/quickstart/api.ts'
import {
  type Host,
  IMAGE,
  isContainers,
  newState,
  type Place,
  removeAll,
  sleep,
  startDaemon,
  stopDaemon,
  waitFor,
} from '../deploy/quickstart/cluster.ts'
import { kill } from '../deploy/quickstart/processes.ts'
import { silentLog } from '../lib/log.ts'
import { KeeperClient } from '../node/keeper/client.ts'
import { type HostPaths, openHostPaths } from '../node/keeper/host-paths.ts'
import { form, newBenchFolder } from './cluster/loopback.ts'
import { printFigures } from './report.ts'

const WAIT_MS = 60_000
const MUST_BE_BACK_MS = 2_000
const LINE_BYTES = 100
/** Some 1 MB/s with what starting `usleep` takes. */
const WRITER =
  'awk \'BEGIN { for (;;) { for (k = 0; k < 200; k++) printf("%08d %090d\\n", i++, 0); fflush(); system("usleep 12000") } }\''

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '60' },
      every: { type: 'string', default: '5000' },
    },
  })
  if (!isContainers) throw new Error('containers need root on Linux')
  const place: Place = { folder: newBenchFolder('keeper'), net: { prefix: 'tsbk', number: 97 } }
  try {
    const state = newState(place, { hosts: 1, managers: 1 })
    const [host] = state.hosts
    if (host === undefined) return
    await startDaemon(state, host)
    await form(state)
    const taskId = await startWriter(host)
    const containerd = readContainerd(host)
    const keeper = new KeeperClient({
      paths: openHostPaths(host.stateDirectory),
      log: silentLog,
      launch: () => undefined,
    })
    await stopDaemon(state, host)
    const outagesMs = await killAgainAndAgain(keeper, {
      endMs: performance.now() + Number(values.seconds) * 1_000,
      everyMs: Number(values.every),
    })
    keeper.close()
    await startDaemon(state, host)
    await waitFor('the task to be known as running', WAIT_MS, () => findRunningTask(host))
    report({ host, taskId, outagesMs, isSameContainerd: readContainerd(host) === containerd })
  } finally {
    removeAll(place)
  }
}

async function startWriter(host: Host): Promise<string> {
  const body = {
    Name: 'writer',
    TaskTemplate: { ContainerSpec: { Image: IMAGE, Command: ['sh', '-c', WRITER] } },
    Mode: { Replicated: { Replicas: 1 } },
  }
  const path = '/services/create'
  const { status } = await callApi({ socket: host.socket, method: 'POST', path, body })
  if (status !== 201) throw new Error(`the writer was not created: ${status}`)
  return waitFor('the writer to run', WAIT_MS, () => findRunningTask(host))
}

async function findRunningTask(host: Host): Promise<string | undefined> {
  const { body } = await callApi({ socket: host.socket, path: '/tasks' })
  const tasks: readonly { readonly ID?: string; readonly Status?: { readonly State?: string } }[] =
    Array.isArray(body) ? body : []
  return tasks.find((task) => task.Status?.State === 'running')?.ID
}

type Killing = { readonly endMs: number; readonly everyMs: number }

/** How long each time until the next keeper answered. */
async function killAgainAndAgain(keeper: KeeperClient, killing: Killing): Promise<number[]> {
  const outagesMs: number[] = []
  let pid = await keeper.pid()
  while (performance.now() < killing.endMs) {
    await sleep(killing.everyMs)
    const killedMs = performance.now()
    kill(pid)
    const killed = pid
    while (pid === killed) pid = await keeper.pid().catch(() => killed)
    outagesMs.push(performance.now() - killedMs)
  }
  return outagesMs
}

type Outcome = {
  readonly host: Host
  readonly taskId: string
  readonly outagesMs: readonly number[]
  readonly isSameContainerd: boolean
}

function report({ host, taskId, outagesMs, isSameContainerd }: Outcome): void {
  const lines = readLines(openHostPaths(host.stateDirectory), taskId)
  // The oldest files go when there are ten; numbers start where they begin.
  const first = lines[0]?.number ?? 0
  const expected = (lines.at(-1)?.number ?? -1) - first + 1
  const longestMs = lines.reduce(
    (longest, line, at) => Math.max(longest, line.atMs - (lines[at - 1]?.atMs ?? line.atMs)),
    0,
  )
  const spanMs = (lines.at(-1)?.atMs ?? 0) - (lines[0]?.atMs ?? 0)
  printFigures('a container writes while its daemon is dead and its keeper is killed', [
    { name: 'keeper back after', unit: 'ms', samples: outagesMs, reference: MUST_BE_BACK_MS },
    { name: 'longest time without a line', unit: 'ms', samples: [longestMs] },
    { name: 'written', unit: 'MB/s', samples: [(lines.length * LINE_BYTES) / 1_000 / spanMs] },
  ])
  const lost = expected - lines.length
  process.stdout.write(
    `${outagesMs.length} kills, ${expected} lines, ${lost} lost; containerd ${isSameContainerd ? 'untouched' : 'NOT the same'}\n`,
  )
  if (lost !== 0 || !isSameContainerd || Math.max(...outagesMs) > MUST_BE_BACK_MS)
    process.exitCode = 1
}

type Line = { readonly number: number; readonly atMs: number }

/** Whole lines in the order in which they were logged. */
function readLines(paths: HostPaths, taskId: string): readonly Line[] {
  const directory = join(paths.logDirectory, taskId)
  const lines: Line[] = []
  let begun = ''
  for (const name of readdirSync(directory).sort()) {
    const bytes = readFileSync(join(directory, name))
    for (let found = readLogRecord(bytes, 0); found; found = readLogRecord(bytes, found.end)) {
      const { data, partial, timestampMs } = found.record
      begun += Buffer.from(data).toString()
      if (partial) continue
      lines.push({ number: Number(begun.slice(0, 8)), atMs: timestampMs })
      begun = ''
    }
  }
  return lines
}

function readContainerd(host: Host): string {
  const { runDirectory } = openHostPaths(host.stateDirectory)
  return readFileSync(join(runDirectory, 'containerd.json'), 'utf8')
}
