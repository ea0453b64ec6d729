/**
 * `tsswarm node …`: the members of the cluster (swarm-mode.md 5.2). `self` stands for the node that
 * is asked, in `inspect` and `ps` alone, as with Docker.
 */
import { type Client, encodeFilters, untilInSequence } from '../client.ts'
import { type CommandSpec, forEachArgument } from '../command.ts'
import { filterFlag, readFilters } from '../filters.ts'
import { INSPECT_FLAGS, inspect } from '../inspect.ts'
import { flagAt, type Json, type JsonObject, listAt, numberAt, objectAt, textAt } from '../json.ts'
import { editLabels } from '../service/label.ts'
import { capitalize, fetchNames, printTasks, TASK_LIST_FLAGS } from '../task-table.ts'
import { printListing } from '../text/list.ts'
import { compareNatural } from '../text/table.ts'
import type { TemplateObject } from '../text/template.ts'
import { parseChoice, parseDuration } from '../text/units.ts'
import { usageError } from '../usage-error.ts'

const HEADINGS = {
  ID: 'ID',
  Self: '',
  Hostname: 'HOSTNAME',
  Status: 'STATUS',
  Availability: 'AVAILABILITY',
  ManagerStatus: 'MANAGER STATUS',
  TLSStatus: 'TLS STATUS',
  EngineVersion: 'ENGINE VERSION',
}

const lsCommand: CommandSpec = {
  name: 'ls',
  aliases: ['list'],
  summary: 'List nodes',
  args: '',
  flags: [
    filterFlag('id, label, node.label, membership, name, role'),
    { flags: '--format <FORMAT>', help: 'table, json or a Go template' },
    { flags: '-q, --quiet', help: 'Print ids alone' },
  ],
  examples: [
    'tsswarm node ls',
    'tsswarm node ls --filter role=manager -q',
    "tsswarm node ls --format '{{.Hostname}}: {{.Status}}'",
  ],
  run: async ({ flags, world, client }) => {
    const filters = encodeFilters(readFilters(flags))
    const [reply, info] = await Promise.all([
      client.get('/nodes', { filters }),
      client.get('/info'),
    ])
    const nodes = [...listAt(reply)].sort((a, b) => compareNatural(hostname(a), hostname(b)))
    printListing(world, flags, {
      rows: nodes.map((node) => rowOf(node, info)),
      headings: HEADINGS,
      table:
        '{{.ID}} {{if eq .Self true}}*{{else}} {{end}}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}',
      quiet: '{{.ID}}',
      objects: nodes,
    })
  },
}

function rowOf(node: Json, info: Json): TemplateObject {
  return {
    ID: textAt(node, 'ID'),
    Self: textAt(node, 'ID') === textAt(info, 'Swarm', 'NodeID'),
    Hostname: hostname(node),
    Status: capitalize(textAt(node, 'Status', 'State')),
    Availability: capitalize(textAt(node, 'Spec', 'Availability')),
    ManagerStatus: flagAt(node, 'ManagerStatus', 'Leader')
      ? 'Leader'
      : capitalize(textAt(node, 'ManagerStatus', 'Reachability')),
    TLSStatus: tlsStatus(node, info),
    EngineVersion: textAt(node, 'Description', 'Engine', 'EngineVersion'),
  }
}

function tlsStatus(node: Json, info: Json): string {
  const own = objectAt(node, 'Description', 'TLSInfo')
  const cluster = objectAt(info, 'Swarm', 'Cluster', 'TLSInfo')
  if (textAt(own, 'TrustRoot') === '' || textAt(cluster, 'TrustRoot') === '') return 'Unknown'
  const isSame = ['TrustRoot', 'CertIssuerSubject', 'CertIssuerPublicKey'].every(
    (name) => textAt(own, name) === textAt(cluster, name),
  )
  return isSame ? 'Ready' : 'Needs Rotation'
}

function hostname(node: Json): string {
  return textAt(node, 'Description', 'Hostname')
}

const inspectCommand: CommandSpec = {
  name: 'inspect',
  summary: 'Show nodes in full',
  args: '<node...>',
  flags: INSPECT_FLAGS,
  examples: [
    'tsswarm node inspect self --pretty',
    "tsswarm node inspect worker1 --format '{{.Status.Addr}}'",
  ],
  run: async ({ args, flags, world, client }) => {
    const { formatNode } = await import('../pretty/node.ts')
    await inspect(world, flags, {
      refs: args,
      find: async (ref) => getNode(client, await resolveSelf(client, ref)),
      formatPretty: formatNode,
    })
  },
}

const psCommand: CommandSpec = {
  name: 'ps',
  summary: 'List tasks on nodes (this one by default)',
  args: '[node...]',
  flags: [filterFlag('id, name, label, desired-state'), ...TASK_LIST_FLAGS],
  examples: ['tsswarm node ps', 'tsswarm node ps worker1 --filter desired-state=running'],
  run: async ({ args, flags, world, client }) => {
    const filters = readFilters(flags)
    const tasks: Json[] = []
    try {
      await forEachArgument(args.length === 0 ? ['self'] : args, async (ref) => {
        const node = await getNode(client, await resolveSelf(client, ref))
        const query = { filters: encodeFilters({ ...filters, node: [textAt(node, 'ID')] }) }
        tasks.push(...listAt(await client.get('/tasks', query)))
      })
    } finally {
      if (tasks.length > 0 || args.length < 2)
        printTasks(world, flags, { tasks, names: await fetchNames(client) })
    }
  },
}

const updateCommand: CommandSpec = {
  name: 'update',
  summary: 'Change a node',
  args: '<node>',
  flags: [
    { flags: '--availability <STATE>', help: 'active, pause or drain' },
    {
      flags: '--drain-deadline <DURATION>',
      help: 'How long a drain waits for services that ask for it (default 1h)',
    },
    { flags: '--role <ROLE>', help: 'worker or manager' },
    { flags: '--label-add <KEY=VALUE>', help: 'Add or change a label', isList: true },
    { flags: '--label-rm <KEY>', help: 'Remove a label', isList: true },
  ],
  examples: [
    'tsswarm node update --availability drain worker1',
    'tsswarm node update --availability drain --drain-deadline 10m worker1',
    'tsswarm node update --label-add zone=a worker1',
  ],
  run: async ({ args, flags, world, client }) => {
    const ref = args[0] ?? ''
    const availability = flags.text('availability')
    const role = flags.text('role')
    const deadline = flags.text('drain-deadline')
    await updateNode(client, ref, (spec) => ({
      ...spec,
      ...(availability === undefined
        ? {}
        : {
            Availability: parseChoice(availability, 'availability', ['active', 'pause', 'drain']),
          }),
      ...(deadline === undefined
        ? {}
        : { DrainDeadline: parseDuration(deadline, 'drain-deadline') }),
      ...(role === undefined ? {} : { Role: parseChoice(role, 'role', ['worker', 'manager']) }),
      Labels: editLabels(spec['Labels'], {
        add: flags.list('label-add'),
        remove: flags.list('label-rm'),
      }),
    }))
    world.print(flags.has('json') ? JSON.stringify({ ID: ref }) : ref)
  },
}

function roleCommand(command: {
  readonly name: string
  readonly role: 'worker' | 'manager'
  readonly summary: string
  readonly done: (ref: string) => string
}): CommandSpec {
  return {
    name: command.name,
    summary: command.summary,
    args: '<node...>',
    flags: [],
    examples: [`tsswarm node ${command.name} node2 node3`],
    run: ({ args, flags, world, client }) =>
      forEachArgument(args, async (ref) => {
        const { id, isChanged } = await updateNode(client, ref, (spec) =>
          textAt(spec, 'Role') === command.role ? undefined : { ...spec, Role: command.role },
        )
        const text = isChanged ? command.done(ref) : `Node ${ref} is already a ${command.role}.`
        world.print(flags.has('json') ? JSON.stringify({ ID: id, Changed: isChanged }) : text)
      }),
  }
}

const rmCommand: CommandSpec = {
  name: 'rm',
  aliases: ['remove'],
  summary: 'Remove nodes from the swarm',
  args: '<node...>',
  flags: [{ flags: '-f, --force', help: 'Also a node that is not down' }],
  examples: ['tsswarm node rm worker1', 'tsswarm node rm --force worker1'],
  run: ({ args, flags, world, client }) =>
    forEachArgument(args, async (ref) => {
      const force = flags.has('force') ? '1' : undefined
      await client.delete(`/nodes/${encodeURIComponent(ref)}`, { force })
      world.print(flags.has('json') ? JSON.stringify({ ID: ref }) : ref)
    }),
}

export const nodeCommands: readonly CommandSpec[] = [
  lsCommand,
  inspectCommand,
  psCommand,
  updateCommand,
  roleCommand({
    name: 'promote',
    role: 'manager',
    summary: 'Make nodes managers',
    done: (ref) => `Node ${ref} promoted to a manager in the swarm.`,
  }),
  roleCommand({
    name: 'demote',
    role: 'worker',
    summary: 'Make managers workers',
    done: (ref) => `Manager ${ref} demoted in the swarm.`,
  }),
  rmCommand,
]

async function resolveSelf(client: Client, ref: string): Promise<string> {
  if (ref !== 'self') return ref
  const id = textAt(await client.get('/info'), 'Swarm', 'NodeID')
  if (id === '') throw usageError('node "self": this node is part of no swarm')
  return id
}

function getNode(client: Client, ref: string): Promise<Json> {
  return client.get(`/nodes/${encodeURIComponent(ref)}`)
}

/** The node has the spec that `edit` makes of its present one; undefined leaves it. */
function updateNode(
  client: Client,
  ref: string,
  edit: (spec: JsonObject) => JsonObject | undefined,
): Promise<{ readonly id: string; readonly isChanged: boolean }> {
  return untilInSequence(async () => {
    const node = await getNode(client, ref)
    const id = textAt(node, 'ID')
    const spec = edit(objectAt(node, 'Spec'))
    if (spec !== undefined)
      await client.post(`/nodes/${encodeURIComponent(id)}/update`, {
        query: { version: String(numberAt(node, 'Version', 'Index')) },
        body: spec,
      })
    return { id, isChanged: spec !== undefined }
  })
}
