/**
 * `tsswarm swarm init|join|leave|join-token|update`, of which all but the last also stand at the
 * top. Flags, calls and texts are Docker's (swarm-mode.md 5.1, 6.8), the hints name tsswarm. A
 * setting that no flag names is left to the server, also at init.
 */
import { type Client, untilInSequence } from '../client.ts'
import { type CommandSpec, type FlagSpec, type Flags, nameOfFlag, type World } from '../command.ts'
import { compact, flagAt, type Json, type JsonObject, numberAt, objectAt, textAt } from '../json.ts'
import { parseChoice, parseCount, parseDuration, parseInteger } from '../text/units.ts'
import { usageError } from '../usage-error.ts'

const AVAILABILITY_FLAG: FlagSpec = {
  flags: '--availability <STATE>',
  help: 'active, pause or drain (default active)',
}

const LISTEN_FLAG: FlagSpec = {
  flags: '--listen-addr <ADDR>',
  help: 'Where to listen: IP[:PORT] (default: as the daemon was started)',
}

const ADDRESS_FLAGS: readonly FlagSpec[] = [
  {
    flags: '--advertise-addr <ADDR>',
    help: 'What other nodes reach this one at: IP[:PORT] or interface',
  },
  LISTEN_FLAG,
  AVAILABILITY_FLAG,
]

const SETTING_FLAGS: readonly FlagSpec[] = [
  { flags: '--cert-expiry <DURATION>', help: 'Life of node certificates' },
  { flags: '--dispatcher-heartbeat <DURATION>', help: 'Period of the heartbeats of agents' },
  { flags: '--max-snapshots <N>', help: 'Old snapshots that managers keep beside the newest' },
  { flags: '--snapshot-interval <N>', help: 'Log entries between snapshots' },
  { flags: '--task-history-limit <N>', help: 'Ended tasks kept for each slot' },
]

export const initCommand: CommandSpec = {
  name: 'init',
  summary: 'Start a swarm with this node as its manager',
  args: '',
  flags: [
    ...ADDRESS_FLAGS,
    ...SETTING_FLAGS,
    {
      flags: '--force-new-cluster',
      help: 'On one manager of a swarm that lost its quorum for good: go on with it alone',
    },
  ],
  examples: ['tsswarm init', 'tsswarm init --advertise-addr 192.168.1.10'],
  refused: [
    'autolock',
    'data-path-addr',
    'data-path-port',
    'default-addr-pool',
    'default-addr-pool-mask-length',
    'external-ca',
  ],
  run: async ({ flags, world, client }) => {
    const isForced = flags.has('force-new-cluster')
    if (isForced) refuseSettings(flags)
    const nodeId = await client.post('/swarm/init', {
      body: {
        ...addressBody(flags),
        ...(isForced ? { ForceNewCluster: true } : { Spec: withSettings({}, flags) }),
      },
    })
    if (flags.has('json')) {
      world.print(JSON.stringify({ NodeID: nodeId }))
      return
    }
    world.print(`Swarm initialized: current node (${String(nodeId)}) is now a manager.\n`)
    await printJoinHint(client, world, { role: 'worker', nodeId: String(nodeId) })
    world.print(
      "To add a manager to this swarm, run 'tsswarm join-token manager' and follow the instructions.\n",
    )
  },
}

/** The swarm that goes on has its settings, and this node its availability. */
function refuseSettings(flags: Flags): void {
  const refused = [...SETTING_FLAGS, AVAILABILITY_FLAG, LISTEN_FLAG]
  for (const name of refused.map(({ flags: spelling }) => nameOfFlag(spelling)))
    if (flags.isGiven(name))
      throw usageError(
        `--${name} does not go with --force-new-cluster: the swarm keeps its settings, change them afterwards`,
      )
}

export const joinCommand: CommandSpec = {
  name: 'join',
  summary: 'Join a swarm as a worker or manager',
  args: '<HOST:PORT>',
  flags: [
    ...ADDRESS_FLAGS,
    { flags: '--token <TOKEN>', help: 'Token of the swarm, which says the role too' },
  ],
  examples: ['tsswarm join --token SWMTKN-1-… 192.168.1.10:2377'],
  refused: ['data-path-addr'],
  run: async ({ args, flags, world, client }) => {
    const token = flags.text('token')
    if (!token) throw usageError("--token is missing: see 'tsswarm join-token worker' on a manager")
    const remote = args[0] ?? ''
    await client.post('/swarm/join', {
      body: { ...addressBody(flags), RemoteAddrs: [remote], JoinToken: token },
    })
    const info = await client.get('/info')
    const role = flagAt(info, 'Swarm', 'ControlAvailable') ? 'manager' : 'worker'
    if (flags.has('json'))
      world.print(JSON.stringify({ NodeID: textAt(info, 'Swarm', 'NodeID'), Role: role }))
    else world.print(`This node joined a swarm as a ${role}.`)
  },
}

export const leaveCommand: CommandSpec = {
  name: 'leave',
  summary: 'Leave the swarm',
  args: '',
  flags: [
    { flags: '-f, --force', help: 'Leave also as a manager, whatever that does to the swarm' },
  ],
  examples: ['tsswarm leave', 'tsswarm leave --force'],
  run: async ({ flags, world, client }) => {
    await client.post('/swarm/leave', { query: { force: flags.has('force') ? '1' : undefined } })
    world.print(flags.has('json') ? '{}' : 'Node left the swarm.')
  },
}

export const joinTokenCommand: CommandSpec = {
  name: 'join-token',
  summary: 'Show or rotate the token that nodes join with',
  args: '<worker|manager>',
  flags: [
    { flags: '-q, --quiet', help: 'Print the token alone' },
    { flags: '--rotate', help: 'Make a new token; the old one is refused from then on' },
  ],
  examples: ['tsswarm join-token worker', 'tsswarm join-token --rotate -q manager'],
  run: async ({ args, flags, world, client }) => {
    const role = parseRole(args[0] ?? '')
    const isQuiet = flags.has('quiet') || flags.has('json')
    if (flags.has('rotate')) {
      await updateSwarm(client, { edit: (spec) => spec, rotate: role })
      if (!isQuiet) world.print(`Successfully rotated ${role} join token.\n`)
    }
    if (isQuiet) {
      const token = tokenOf(await client.get('/swarm'), role)
      world.print(flags.has('json') ? JSON.stringify({ Role: role, Token: token }) : token)
      return
    }
    const nodeId = textAt(await client.get('/info'), 'Swarm', 'NodeID')
    await printJoinHint(client, world, { role, nodeId })
  },
}

const updateCommand: CommandSpec = {
  name: 'update',
  summary: 'Change the settings of the swarm',
  args: '',
  flags: SETTING_FLAGS,
  examples: ['tsswarm swarm update --task-history-limit 10'],
  refused: ['autolock', 'external-ca'],
  run: async ({ flags, world, client }) => {
    if (SETTING_FLAGS.every(({ flags: flag }) => !flags.isGiven(nameOfFlag(flag))))
      throw usageError('no setting was given')
    await updateSwarm(client, { edit: (spec) => withSettings(spec, flags), rotate: undefined })
    world.print(flags.has('json') ? '{}' : 'Swarm updated.')
  },
}

export const swarmCommands: readonly CommandSpec[] = [
  initCommand,
  joinCommand,
  leaveCommand,
  joinTokenCommand,
  updateCommand,
]

function addressBody(flags: Flags): JsonObject {
  return {
    ListenAddr: flags.text('listen-addr') ?? '',
    AdvertiseAddr: flags.text('advertise-addr') ?? '',
    Availability: parseChoice(flags.text('availability') ?? 'active', 'availability', [
      'active',
      'pause',
      'drain',
    ]),
  }
}

/** The spec with what was asked for; everything else as it was. */
function withSettings(spec: JsonObject, flags: Flags): JsonObject {
  const given = {
    Orchestration: {
      TaskHistoryRetentionLimit: parsed(flags, 'task-history-limit', parseInteger),
    },
    Raft: {
      SnapshotInterval: parsed(flags, 'snapshot-interval', parseCount),
      KeepOldSnapshots: parsed(flags, 'max-snapshots', parseCount),
    },
    Dispatcher: { HeartbeatPeriod: parsed(flags, 'dispatcher-heartbeat', parseDuration) },
    CAConfig: { NodeCertExpiry: parsed(flags, 'cert-expiry', parseDuration) },
  }
  const sections = Object.entries(given)
    .map(([section, values]) => [section, compact(values)] as const)
    .filter(([, values]) => Object.keys(values).length > 0)
    .map(([section, values]) => [section, { ...objectAt(spec, section), ...values }] as const)
  return compact({ ...spec, ...Object.fromEntries(sections) })
}

function parsed(
  flags: Flags,
  name: string,
  parse: (text: string, flag: string) => number,
): number | undefined {
  const text = flags.text(name)
  return text === undefined ? undefined : parse(text, name)
}

function parseRole(text: string): Role {
  if (text === 'worker' || text === 'manager') return text
  throw usageError(`unknown role "${text}": use worker or manager`)
}

type Role = 'worker' | 'manager'

/** The swarm has the spec that `edit` makes of its present one, and a new token for a role. */
function updateSwarm(
  client: Client,
  change: { readonly edit: (spec: JsonObject) => JsonObject; readonly rotate: Role | undefined },
): Promise<void> {
  return untilInSequence(async () => {
    const swarm = await client.get('/swarm')
    await client.post('/swarm/update', {
      query: {
        version: String(numberAt(swarm, 'Version', 'Index')),
        rotateWorkerToken: String(change.rotate === 'worker'),
        rotateManagerToken: String(change.rotate === 'manager'),
      },
      body: change.edit(objectAt(swarm, 'Spec')),
    })
  })
}

async function printJoinHint(
  client: Client,
  world: World,
  join: { readonly role: Role; readonly nodeId: string },
): Promise<void> {
  const [node, swarm] = await Promise.all([
    client.get(`/nodes/${encodeURIComponent(join.nodeId)}`),
    client.get('/swarm'),
  ])
  const address = textAt(node, 'ManagerStatus', 'Addr')
  world.print(
    `To add a ${join.role} to this swarm, run the following command:\n\n` +
      `    tsswarm join --token ${tokenOf(swarm, join.role)} ${address}\n`,
  )
}

function tokenOf(swarm: Json, role: Role): string {
  return textAt(swarm, 'JoinTokens', role === 'worker' ? 'Worker' : 'Manager')
}
