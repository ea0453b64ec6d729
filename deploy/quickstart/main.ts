/**
 * `./quickstart`: makes hosts, forms a cluster with `init` and `join` as a user would, creates a
 * service, shows it and leaves it running. Further commands look at it, stop and start daemons, cut
 * the power of a host, and remove every trace; `--check` does all of it and verifies.
 */
import { parseArgs } from 'node:util'
import { checkCluster } from './check.ts'
import {
  cutPower,
  findState,
  type Host,
  isContainers,
  isRunning,
  mustTsswarm,
  newState,
  QUICKSTART,
  removeAll,
  type State,
  startDaemon,
  stopDaemon,
} from './cluster.ts'
import { createHello, listAnswers } from './hello.ts'

const HELP = `Usage: ./quickstart [--hosts N] [--managers M]   form a cluster and run a service on it
       ./quickstart status [--json]              the hosts, and whether their daemons run
       ./quickstart stop|start HOST              end a daemon (SIGKILL, containers go on), start it
       ./quickstart kill HOST                    cut a host's power: daemon, containerd, containers
       ./quickstart down                         remove every trace but installed packages
       ./quickstart --check                      do all of it, verify, remove it, exit 0 or not

As root on Linux hosts are network namespaces with containerd; elsewhere processes on loopback.
`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      hosts: { type: 'string', default: '3' },
      managers: { type: 'string' },
      json: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  const [command = values.check ? 'check' : 'up', name] = positionals
  const hosts = countOf('hosts', values.hosts)
  const managers = countOf('managers', values.managers ?? String(Math.min(hosts, 3)))
  switch (command) {
    case 'up':
      await up(hosts, managers)
      break
    case 'status':
      showStatus(values.json)
      break
    case 'start':
      await withHost(name, startDaemon)
      break
    case 'stop':
      await withHost(name, stopDaemon)
      break
    case 'kill':
      await withHost(name, cutPower)
      break
    case 'down':
      removeAll(QUICKSTART)
      say('every trace of the cluster is removed')
      break
    case 'check':
      await check(hosts, managers)
      break
    default:
      process.stderr.write(`quickstart: "${command}" is no command\n${HELP}`)
      process.exitCode = 125
  }
}

async function up(hosts: number, managers: number): Promise<State> {
  if (managers < 1 || managers > hosts)
    throw new Error(`--managers ${managers} does not go with --hosts ${hosts}`)
  const known = findState(QUICKSTART)
  if (known?.hosts.some(isRunning))
    throw new Error(
      'a cluster is there already: see ./quickstart status, or remove it with ./quickstart down',
    )
  if (known !== undefined) removeAll(QUICKSTART)
  if (!isContainers)
    say('Not root on Linux: the hosts are processes on loopback, without images and isolation.')
  const state = newState(QUICKSTART, { hosts, managers })
  step(`${hosts} hosts in ${QUICKSTART.folder}`)
  await Promise.all(state.hosts.map((host) => startDaemon(state, host)))
  step('a daemon runs on each host')
  const first = await form(state)
  step(`a cluster of ${managers} managers and ${hosts - managers} workers`)
  await createHello(state)
  step('service hello with three replicas')
  say('')
  await show(first, 'node', 'ls')
  await show(first, 'service', 'ps', 'hello')
  for (const answer of await listAnswers(state)) say(answer)
  say('')
  say(`Go on with: export TSSWARM_HOST=unix://${first.socket}; cli/tsswarm service ls`)
  say('Remove it with: ./quickstart down')
  return state
}

/** `init` on the first host, `join` on the others, by what `join-token` prints. */
async function form(state: State): Promise<Host> {
  const [first, ...others] = state.hosts
  if (first === undefined) throw new Error('a cluster needs a host')
  await mustTsswarm(first, 'init')
  const tokens = {
    manager: (await mustTsswarm(first, 'join-token', '-q', 'manager')).trim(),
    worker: (await mustTsswarm(first, 'join-token', '-q', 'worker')).trim(),
  }
  const at = first.flags[first.flags.indexOf('--advertise-addr') + 1] ?? ''
  for (const [index, host] of others.entries()) {
    const role = index + 1 < state.managers ? 'manager' : 'worker'
    await mustTsswarm(host, 'join', '--token', tokens[role], at)
  }
  return first
}

async function check(hosts: number, managers: number): Promise<void> {
  if (findState(QUICKSTART) !== undefined) say('removing the cluster that is there')
  removeAll(QUICKSTART)
  try {
    await checkCluster(await up(hosts, managers), step)
    step('checked')
  } finally {
    removeAll(QUICKSTART)
  }
}

function showStatus(isJson: boolean): void {
  const hosts = (findState(QUICKSTART)?.hosts ?? []).map((host) => ({
    name: host.name,
    address: host.address,
    netns: host.netns,
    pid: isRunning(host) ? host.pid : 0,
    socket: host.socket,
    state: isRunning(host) ? 'running' : 'stopped',
  }))
  if (isJson) {
    process.stdout.write(`${JSON.stringify({ hosts })}\n`)
    return
  }
  if (hosts.length === 0) say('no cluster: make one with ./quickstart')
  for (const host of hosts)
    say(
      `${host.name.padEnd(5)} ${host.state.padEnd(8)} ${host.address.padEnd(15)} pid ${String(host.pid).padEnd(7)} ${host.socket}`,
    )
}

async function show(host: Host, ...args: readonly string[]): Promise<void> {
  say(`$ tsswarm ${args.join(' ')}`)
  say(await mustTsswarm(host, ...args))
}

function getState(): State {
  const state = findState(QUICKSTART)
  if (state === undefined) throw new Error('there is no cluster: make one with ./quickstart')
  return state
}

/** The host is part of the state that is given with it: what is done to it is kept by that. */
async function withHost(
  name: string | undefined,
  act: (state: State, host: Host) => Promise<void> | void,
): Promise<void> {
  const state = getState()
  const { hosts } = state
  const host = hosts.find((known) => known.name === name)
  if (host === undefined)
    throw new Error(
      `"${name ?? ''}" is no host: name one of ${hosts.map((known) => known.name).join(', ')}`,
    )
  await act(state, host)
}

function countOf(name: string, text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1 || count > 50)
    throw new Error(`--${name} "${text}" is no number from 1 to 50`)
  return count
}

const startedMs = performance.now()

function step(text: string): void {
  say(`✓ ${text} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

main().catch((error: unknown) => {
  process.stderr.write(`quickstart: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
