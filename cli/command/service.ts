/**
 * `tsswarm service …`: what is to run (swarm-mode.md 5.3). Each command is its calls and its output;
 * specs, progress and logs have files of their own, loaded when they are needed.
 */
import { SwarmError } from '../../lib/errors.ts'
import { type Client, encodeFilters, untilInSequence } from '../client.ts'
import {
  type CommandSpec,
  type Flags,
  forEachArgument,
  type Invocation,
  nameOfFlag,
} from '../command.ts'
import { filterFlag, readFilters } from '../filters.ts'
import { INSPECT_FLAGS, inspect } from '../inspect.ts'
import { at, type Json, labelsAt, listAt, numberAt, textAt } from '../json.ts'
import {
  CREATE_FLAGS,
  CREATE_REFUSED,
  UPDATE_FLAGS,
  UPDATE_REFUSED,
  WAIT_FLAGS,
} from '../service/flags.ts'
import {
  fetchNames,
  formatPorts,
  printTasks,
  TASK_LIST_FLAGS,
  withoutDigest,
} from '../task-table.ts'
import { printListing } from '../text/list.ts'
import { compareNatural, shortId } from '../text/table.ts'
import type { TemplateObject, TemplateValue } from '../text/template.ts'
import { usageError } from '../usage-error.ts'

const createCommand: CommandSpec = {
  name: 'create',
  summary: 'Create a service',
  args: '<IMAGE> [COMMAND] [ARG...]',
  isPassThrough: true,
  flags: CREATE_FLAGS,
  refused: CREATE_REFUSED,
  examples: [
    'tsswarm service create --name web --replicas 3 nginx:1.27',
    'tsswarm service create --name web -p target=80,published=8080,mode=host --mode global nginx:1.27',
    'tsswarm service create --detach --env-file .env --constraint node.labels.zone==a busybox sleep 1d',
    'tsswarm service create --name db --disconnect-stop-after 30s postgres:17',
  ],
  run: async ({ args, flags, world, client }) => {
    const { createSpec } = await import('../service/create-spec.ts')
    const spec = createSpec(flags, args, world.env)
    const reply = await client.post('/services/create', {
      body: spec,
      headers: await authHeaders({ flags, image: args[0] ?? '', env: world.env }),
    })
    const id = textAt(reply, 'ID')
    for (const warning of listAt(reply, 'Warnings')) world.warn(String(warning))
    await finish({ flags, world, client }, { id, ref: id, output: reply })
  },
}

const updateCommand: CommandSpec = {
  name: 'update',
  summary: 'Change a service',
  args: '<service>',
  flags: UPDATE_FLAGS,
  refused: UPDATE_REFUSED,
  examples: [
    'tsswarm service update --image nginx:1.28 web',
    'tsswarm service update --replicas 5 --env-add LOG=debug web',
    'tsswarm service update --update-parallelism 2 --update-delay 10s --force web',
  ],
  run: async ({ args, flags, world, client }) => {
    const ref = args[0] ?? ''
    if (flags.has('rollback')) {
      refuseBesideRollback(flags)
      await rollBack({ flags, world, client }, ref)
      return
    }
    const { editSpec } = await import('../service/edit-spec.ts')
    const { id, reply } = await updateService(client, ref, async (spec) => {
      const edited = editSpec(spec, flags, world.env)
      const image = textAt(edited, 'TaskTemplate', 'ContainerSpec', 'Image')
      return { spec: edited, headers: await authHeaders({ flags, image, env: world.env }) }
    })
    for (const warning of listAt(reply, 'Warnings')) world.warn(String(warning))
    await finish({ flags, world, client }, { id, ref, output: { ID: id } })
  },
}

const rollbackCommand: CommandSpec = {
  name: 'rollback',
  summary: 'Go back to the settings that a service had before its last update',
  args: '<service>',
  flags: WAIT_FLAGS,
  examples: ['tsswarm service rollback web'],
  run: ({ args, flags, world, client }) => rollBack({ flags, world, client }, args[0] ?? ''),
}

const scaleCommand: CommandSpec = {
  name: 'scale',
  summary: 'Change the number of tasks of services',
  args: '<service=replicas...>',
  flags: [
    { flags: '-d, --detach', help: 'Exit at once instead of waiting for the services to converge' },
  ],
  examples: ['tsswarm service scale web=5', 'tsswarm service scale web=5 worker=10'],
  run: async ({ args, flags, world, client }) => {
    const { parseCount } = await import('../text/units.ts')
    const { hasReplicas, setReplicas } = await import('../service/settings.ts')
    const wanted = args.map((text) => {
      const at = text.lastIndexOf('=')
      if (at <= 0) throw usageError(`invalid scale specifier "${text}": use SERVICE=REPLICAS`)
      return { ref: text.slice(0, at), replicas: parseCount(text.slice(at + 1), 'replicas') }
    })
    const scaled: { readonly ref: string; readonly id: string }[] = []
    const scale = async (ref: string, replicas: number): Promise<void> => {
      const { id } = await updateService(client, ref, async (spec) => {
        if (!hasReplicas(spec))
          throw new SwarmError(
            'invalid-argument',
            `${ref}: scale can only be used with replicated or replicated-job mode`,
          )
        return { spec: setReplicas(spec, replicas), headers: {} }
      })
      scaled.push({ ref, id })
      const output = { ID: id, Replicas: replicas }
      world.print(flags.has('json') ? JSON.stringify(output) : `${ref} scaled to ${replicas}`)
    }
    try {
      await forEachArgument(
        wanted.map(({ ref }) => ref),
        (ref) => scale(ref, wanted.find((one) => one.ref === ref)?.replicas ?? 0),
      )
    } finally {
      for (const service of scaled) {
        if (flags.has('detach')) continue
        const { waitForService } = await import('../service/wait.ts')
        await waitForService(world, client, { ...service, isQuiet: flags.has('json') })
      }
    }
  },
}

const HEADINGS = {
  ID: 'ID',
  Name: 'NAME',
  Mode: 'MODE',
  Replicas: 'REPLICAS',
  Image: 'IMAGE',
  Ports: 'PORTS',
  Labels: 'LABELS',
  Label: (key: TemplateValue) => String(key),
}

const lsCommand: CommandSpec = {
  name: 'ls',
  aliases: ['list'],
  summary: 'List services',
  args: '',
  flags: [
    filterFlag('id, label, mode, name'),
    { flags: '--format <FORMAT>', help: 'table, json or a Go template' },
    { flags: '-q, --quiet', help: 'Print ids alone' },
  ],
  examples: [
    'tsswarm service ls',
    'tsswarm service ls --filter mode=global -q',
    "tsswarm service ls --format '{{.Name}}: {{.Replicas}}'",
  ],
  run: async ({ flags, world, client }) => {
    const query = { filters: encodeFilters(readFilters(flags)), status: 'true' }
    const services = [...listAt(await client.get('/services', query))].sort((a, b) =>
      compareNatural(textAt(a, 'Spec', 'Name'), textAt(b, 'Spec', 'Name')),
    )
    printListing(world, flags, {
      rows: services.map(rowOf),
      headings: HEADINGS,
      table: '{{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}',
      quiet: '{{.ID}}',
      objects: services,
    })
  },
}

function rowOf(service: Json): TemplateObject {
  const labels = labelsAt(service, 'Spec', 'Labels')
  const max = numberAt(service, 'Spec', 'TaskTemplate', 'Placement', 'MaxReplicas')
  const running = numberAt(service, 'ServiceStatus', 'RunningTasks')
  const desired = numberAt(service, 'ServiceStatus', 'DesiredTasks')
  return {
    ID: shortId(textAt(service, 'ID')),
    Name: textAt(service, 'Spec', 'Name'),
    Mode: modeName(service),
    Replicas: `${running}/${desired}${max > 0 ? ` (max ${max} per node)` : ''}${completions(service)}`,
    Image: withoutDigest(textAt(service, 'Spec', 'TaskTemplate', 'ContainerSpec', 'Image')),
    Ports: formatPorts(listAt(service, 'Endpoint', 'Ports')),
    Labels: [...labels].map(([key, value]) => `${key}=${value}`).join(','),
    Label: (key) => labels.get(String(key)) ?? '',
  }
}

/** As `service ls` says it. */
function modeName(service: Json): string {
  const names = [
    ['Global', 'global'],
    ['ReplicatedJob', 'replicated job'],
    ['GlobalJob', 'global job'],
  ] as const
  return (
    names.find(([mode]) => at(service, 'Spec', 'Mode', mode) !== undefined)?.[1] ?? 'replicated'
  )
}

/** Of a job, how often it was done of how often it is to be. */
function completions(service: Json): string {
  if (at(service, 'JobStatus') === undefined) return ''
  const done = numberAt(service, 'ServiceStatus', 'CompletedTasks')
  const job = at(service, 'Spec', 'Mode', 'ReplicatedJob')
  const total =
    job === undefined
      ? numberAt(service, 'ServiceStatus', 'DesiredTasks') + done
      : numberAt(job, 'TotalCompletions')
  return ` (${done}/${total} completed)`
}

const psCommand: CommandSpec = {
  name: 'ps',
  summary: 'List the tasks of services',
  args: '<service...>',
  flags: [filterFlag('id, name, node, desired-state'), ...TASK_LIST_FLAGS],
  examples: [
    'tsswarm service ps web',
    'tsswarm service ps --filter desired-state=running --no-trunc web',
    "tsswarm service ps --format '{{.Name}} {{.Node}} {{.CurrentState}}' web",
  ],
  run: async ({ args, flags, world, client }) => {
    const filters = await withSelf(client, readFilters(flags))
    const tasks: Json[] = []
    try {
      await forEachArgument(args, async (ref) => {
        const service = await findService(client, ref)
        const query = { filters: encodeFilters({ ...filters, service: [textAt(service, 'ID')] }) }
        tasks.push(...listAt(await client.get('/tasks', query)))
      })
    } finally {
      printTasks(world, flags, { tasks, names: await fetchNames(client) })
    }
  },
}

/** `node=self` as the node that is asked. */
async function withSelf(
  client: Client,
  filters: Readonly<Record<string, readonly string[]>>,
): Promise<Readonly<Record<string, readonly string[]>>> {
  const nodes = filters['node'] ?? []
  if (!nodes.includes('self')) return filters
  const own = textAt(await client.get('/info'), 'Swarm', 'NodeID')
  return { ...filters, node: nodes.map((node) => (node === 'self' ? own : node)) }
}

const inspectCommand: CommandSpec = {
  name: 'inspect',
  summary: 'Show services in full',
  args: '<service...>',
  flags: INSPECT_FLAGS,
  examples: [
    'tsswarm service inspect --pretty web',
    "tsswarm service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' web",
  ],
  run: async ({ args, flags, world, client }) => {
    const { formatService } = await import('../pretty/service.ts')
    await inspect(world, flags, {
      refs: args,
      find: (ref) => client.get(`/services/${encodeURIComponent(ref)}`, { insertDefaults: 'true' }),
      formatPretty: formatService,
    })
  },
}

const rmCommand: CommandSpec = {
  name: 'rm',
  aliases: ['remove'],
  summary: 'Remove services',
  args: '<service...>',
  flags: [],
  examples: ['tsswarm service rm web'],
  run: ({ args, flags, world, client }) =>
    forEachArgument(args, async (ref) => {
      await client.delete(`/services/${encodeURIComponent(ref)}`)
      world.print(flags.has('json') ? JSON.stringify({ ID: ref }) : ref)
    }),
}

const logsCommand: CommandSpec = {
  name: 'logs',
  summary: 'Show the log of a service or a task',
  args: '<service|task>',
  flags: [
    { flags: '-f, --follow', help: 'Go on as lines come' },
    { flags: '-n, --tail <N>', help: 'Lines from the end of each task (default all)' },
    { flags: '--since <TIME>', help: 'Since a time like 2026-01-02T13:23:37Z, or for 42m' },
    { flags: '-t, --timestamps', help: 'Show the time of each line' },
    { flags: '--details', help: 'Show further details of the log driver' },
    { flags: '--no-resolve', help: 'Show ids instead of names' },
    { flags: '--no-task-ids', help: 'Leave task ids out' },
    { flags: '--no-trunc', help: 'Show task ids in full' },
    { flags: '--raw', help: 'Show lines as they were written' },
  ],
  examples: ['tsswarm service logs -f web', 'tsswarm service logs --tail 20 --since 10m web'],
  run: async (invocation) => {
    const { printLogs } = await import('../service/logs.ts')
    await printLogs(invocation)
  },
}

export const serviceCommands: readonly CommandSpec[] = [
  createCommand,
  inspectCommand,
  logsCommand,
  lsCommand,
  psCommand,
  rmCommand,
  rollbackCommand,
  scaleCommand,
  updateCommand,
]

/** As Docker does; how to wait may be said all the same. */
function refuseBesideRollback(flags: Flags): void {
  const others = UPDATE_FLAGS.filter((flag) => flag.flags !== '--rollback')
    .filter((flag) => !WAIT_FLAGS.includes(flag))
    .map((flag) => nameOfFlag(flag.flags))
    .filter((name) => flags.isGiven(name))
  if (others.length > 0)
    throw usageError(`other flags may not be combined with --rollback: --${others.join(', --')}`)
}

async function rollBack(
  { flags, world, client }: Pick<Invocation, 'flags' | 'world' | 'client'>,
  ref: string,
): Promise<void> {
  const { id, reply } = await updateService(
    client,
    ref,
    async (spec) => ({ spec, headers: {} }),
    'previous',
  )
  for (const warning of listAt(reply, 'Warnings')) world.warn(String(warning))
  await finish({ flags, world, client }, { id, ref, output: { ID: id }, isRollback: true })
}

/** What was made or changed is named; then, unless detached, its progress follows. */
async function finish(
  { flags, world, client }: Pick<Invocation, 'flags' | 'world' | 'client'>,
  done: {
    readonly id: string
    readonly ref: string
    readonly output: Json
    readonly isRollback?: boolean
  },
): Promise<void> {
  world.print(flags.has('json') ? JSON.stringify(done.output) : done.ref)
  if (flags.has('detach')) return
  const { waitForService } = await import('../service/wait.ts')
  const isQuiet = flags.has('quiet') || flags.has('json')
  const { id, ref, isRollback = false } = done
  await waitForService(world, client, { id, ref, isQuiet, isRollback })
}

function getService(client: Client, ref: string): Promise<Json> {
  return client.get(`/services/${encodeURIComponent(ref)}`)
}

/** As `service ps` names what it does not find. */
async function findService(client: Client, ref: string): Promise<Json> {
  try {
    return await getService(client, ref)
  } catch (error) {
    if (error instanceof SwarmError && error.code === 'not-found')
      throw new SwarmError('not-found', `no such service: ${ref}`, { cause: error })
    throw error
  }
}

/** The service has the spec that `edit` makes of its present one. */
function updateService(
  client: Client,
  ref: string,
  edit: (spec: Json) => Promise<{
    readonly spec: Json
    readonly headers: Readonly<Record<string, string>>
  }>,
  rollback: 'none' | 'previous' = 'none',
): Promise<{ readonly id: string; readonly reply: Json }> {
  return untilInSequence(async () => {
    const service = await getService(client, ref)
    const id = textAt(service, 'ID')
    const { spec, headers } = await edit(at(service, 'Spec'))
    const reply = await client.post(`/services/${encodeURIComponent(id)}/update`, {
      query: {
        version: String(numberAt(service, 'Version', 'Index')),
        registryAuthFrom: 'spec',
        ...(rollback === 'none' ? {} : { rollback }),
      },
      headers,
      body: spec,
    })
    return { id, reply }
  })
}

async function authHeaders(given: {
  readonly flags: Flags
  readonly image: string
  readonly env: Readonly<Record<string, string | undefined>>
}): Promise<Readonly<Record<string, string>>> {
  if (!given.flags.has('with-registry-auth')) return {}
  const { findRegistryAuth } = await import('../service/registry-auth.ts')
  const auth = findRegistryAuth(given.image, given.env)
  return auth === '' ? {} : { 'X-Registry-Auth': auth }
}
