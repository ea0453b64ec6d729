/**
 * The real side of port Kernel: reads the host's network with `ip` and `iptables` in their JSON or
 * rule form, and carries out changes through the keeper, as many at a time as it allows. It decides
 * nothing: the commands are `agent/network/commands.ts`'s.
 */
import { readdir } from 'node:fs/promises'
import {
  formatChange,
  formatHostSides,
  formatMarks,
  formatTaskSide,
  type NetworkCommand,
} from '../../agent/network/commands.ts'
import type { LinkChange, NetworkChange, RemovedLink } from '../../agent/network/diff.ts'
import type { Kernel, KernelView } from '../../agent/network/kernel.ts'
import { findTaskOfNamespace, linkPrefix, namespaceName } from '../../agent/network/names.ts'
import type { TaskLink } from '../../agent/network/plan.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { KeeperClient } from './client.ts'
import { Fields } from './fields.ts'

const NAMESPACES = '/run/netns'
const MTU_DEFAULT = 1_500

type Link = { readonly name: string; readonly alias: string; readonly mtu: number }
type Route = { readonly destination: string; readonly link: string }

export function newKernel(keeper: KeeperClient, hash: string): Kernel {
  return {
    read: () => readKernel(keeper, hash),
    apply: async (changes) => {
      for (const group of groupByKind(changes)) await applyGroup(keeper, group)
    },
  }
}

async function readKernel(keeper: KeeperClient, hash: string): Promise<KernelView> {
  const [links, routes, namespaces, isDockerInTheWay] = await Promise.all([
    listLinks(keeper),
    listRoutes(keeper),
    readdir(NAMESPACES).catch(() => []),
    readDocker(keeper),
  ])
  const own = links.filter((link) => link.name.startsWith(`${linkPrefix(hash)}-`))
  const ownNames = new Set(own.map((link) => link.name))
  const taskIds = namespaces
    .map((name) => findTaskOfNamespace(hash, name))
    .filter((taskId) => taskId !== undefined)
  const whole: TaskLink[] = []
  const remains: RemovedLink[] = []
  for (const link of own) {
    const address = routes.find((route) => route.link === link.name)?.destination.split('/')[0]
    if (address !== undefined && taskIds.includes(link.alias)) {
      whole.push({ taskId: link.alias, address, mtu: link.mtu })
    } else remains.push({ kind: 'remove-link', link: link.name, namespace: '' })
  }
  for (const taskId of taskIds) {
    if (whole.some((link) => link.taskId === taskId)) continue
    remains.push({ kind: 'remove-link', link: '', namespace: namespaceName(hash, taskId) })
  }
  const uplink = routes.find((route) => route.destination === '0.0.0.0/0')?.link
  return {
    links: whole,
    remains,
    routes: routes.filter((route) => !ownNames.has(route.link)).map((route) => route.destination),
    mtu: links.find((link) => link.name === uplink)?.mtu ?? MTU_DEFAULT,
    isDockerInTheWay,
  }
}

async function listLinks(keeper: KeeperClient): Promise<readonly Link[]> {
  return (await readJson(keeper, ['ip', '-json', 'link', 'show'])).map((fields) => ({
    name: fields.text('ifname'),
    alias: fields.has('ifalias') ? fields.text('ifalias') : '',
    mtu: fields.integer('mtu'),
  }))
}

async function listRoutes(keeper: KeeperClient): Promise<readonly Route[]> {
  const argv = ['ip', '-json', '-4', 'route', 'show', 'table', 'all']
  return (await readJson(keeper, argv)).map((fields) => {
    const text = fields.text('dst')
    const destination = text === 'default' ? '0.0.0.0/0' : text.includes('/') ? text : `${text}/32`
    return { destination, link: fields.has('dev') ? fields.text('dev') : '' }
  })
}

/** Only asked, never made: a host without Docker has no such chain, and one without iptables none. */
async function readDocker(keeper: KeeperClient): Promise<boolean> {
  try {
    const forward = await keeper.run(['iptables', '-w', '-S', 'FORWARD'])
    if (!forward.stdout.startsWith('-P FORWARD DROP')) return false
    const chain = await keeper.run(['iptables', '-w', '-S', 'DOCKER-USER'])
    return chain.exitCode === 0
  } catch {
    return false
  }
}

async function readJson(keeper: KeeperClient, argv: readonly string[]): Promise<readonly Fields[]> {
  const result = await keeper.run(argv)
  if (result.exitCode !== 0) throw newFailure(argv, result.stderr)
  const list: unknown = JSON.parse(result.stdout === '' ? '[]' : result.stdout)
  return new Fields({ list }).objects('list', (fields) => fields)
}

/** Neighbours of one kind together: they touch different things. */
function groupByKind(changes: readonly NetworkChange[]): readonly (readonly NetworkChange[])[] {
  const groups: NetworkChange[][] = []
  for (const change of changes) {
    const last = groups.at(-1)
    if (last?.[0]?.kind === change.kind) last.push(change)
    else groups.push([change])
  }
  return groups
}

async function applyGroup(keeper: KeeperClient, group: readonly NetworkChange[]): Promise<void> {
  const links: LinkChange[] = []
  const others: Promise<void>[] = []
  for (const change of group) {
    if (change.kind === 'add-link') links.push(change)
    else others.push(applyCommands(keeper, formatChange(change)))
  }
  await Promise.all(others)
  if (links.length > 0) await addLinks(keeper, links)
}

/** What fails for one link fails for that one only; the first failure is thrown at the end. */
async function addLinks(keeper: KeeperClient, changes: readonly LinkChange[]): Promise<void> {
  const host = await settled(applyCommand(keeper, formatHostSides(changes)))
  const sides = await Promise.all(
    changes.map((change) => settled(applyCommands(keeper, formatTaskSide(change)))),
  )
  const whole = changes.filter((_, i) => sides[i]?.kind === 'done')
  const marks = await settled(applyCommand(keeper, formatMarks(whole)))
  for (const result of [host, ...sides, marks]) if (result.kind === 'failed') throw result.error
}

type Settled = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly error: unknown }

async function settled(work: Promise<void>): Promise<Settled> {
  try {
    await work
    return { kind: 'done' }
  } catch (error) {
    return { kind: 'failed', error }
  }
}

async function applyCommands(
  keeper: KeeperClient,
  commands: readonly NetworkCommand[],
): Promise<void> {
  for (const command of commands) await applyCommand(keeper, command)
}

async function applyCommand(keeper: KeeperClient, command: NetworkCommand): Promise<void> {
  switch (command.kind) {
    case 'sysctl':
      return keeper.writeSysctl(command.path, command.value)
    case 'ensure': {
      const check = await keeper.run(command.check)
      if (check.exitCode === 0) return
      return runWhole(keeper, command.argv, '')
    }
    case 'run':
      if (!command.mayFail) return runWhole(keeper, command.argv, command.input)
      // The program may be missing as well (conntrack): the probe has warned.
      await keeper.run(command.argv, { input: command.input }).catch(ignoreMissingProgram)
      return
    default:
      command satisfies never
  }
}

async function runWhole(
  keeper: KeeperClient,
  argv: readonly string[],
  input: string,
): Promise<void> {
  const result = await keeper.run(argv, { input })
  if (result.exitCode !== 0) throw newFailure(argv, result.stderr)
}

function ignoreMissingProgram(error: unknown): void {
  if (!(error instanceof SwarmError) || error.code !== 'not-found') throw error
}

function newFailure(argv: readonly string[], stderr: string): SwarmError {
  return new SwarmError(
    'internal',
    `command "${argv.join(' ')}" failed: ${stderr.trim().split('\n')[0] ?? ''}`,
    { retriable: true },
  )
}
