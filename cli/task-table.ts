/**
 * Tasks as `service ps` and `node ps` show them: sorted by name and within a slot newest first,
 * older tasks of a slot under ` \_ `. Names are made here (`web.1`, for global services
 * `web.<node id>`), because the API leaves them empty (swarm-mode.md 6.4).
 */
import type { Client } from './client.ts'
import type { FlagSpec, Flags, World } from './command.ts'
import { at, type Json, listAt, numberAt, objectAt, textAt, timeAt } from './json.ts'
import { formatAgo } from './text/ago.ts'
import { printListing } from './text/list.ts'
import { compareNatural, ellipsis, shortId } from './text/table.ts'
import type { TemplateObject } from './text/template.ts'

export const TASK_LIST_FLAGS: readonly FlagSpec[] = [
  { flags: '--format <FORMAT>', help: 'table, json or a Go template' },
  { flags: '--no-resolve', help: 'Show ids instead of names' },
  { flags: '--no-trunc', help: 'Show ids, images and errors in full' },
  { flags: '-q, --quiet', help: 'Print ids alone' },
]

const ERROR_LENGTH_MAX = 30
const HEADINGS = {
  ID: 'ID',
  Name: 'NAME',
  Image: 'IMAGE',
  Node: 'NODE',
  DesiredState: 'DESIRED STATE',
  CurrentState: 'CURRENT STATE',
  Error: 'ERROR',
  Ports: 'PORTS',
}
const TABLE =
  '{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}'

/** What tasks name by id. */
export type Names = {
  readonly services: ReadonlyMap<string, string>
  readonly nodes: ReadonlyMap<string, string>
}

/** Names of all services and nodes. */
export async function fetchNames(client: Client): Promise<Names> {
  const [services, nodes] = await Promise.all([client.get('/services'), client.get('/nodes')])
  return {
    services: new Map(
      listAt(services).map((item) => [textAt(item, 'ID'), textAt(item, 'Spec', 'Name')]),
    ),
    nodes: new Map(listAt(nodes).map((item) => [textAt(item, 'ID'), nodeName(item)])),
  }
}

/** The name a user gave the node, else its host's. */
export function nodeName(node: Json): string {
  return textAt(node, 'Spec', 'Name') || textAt(node, 'Description', 'Hostname')
}

/** `web.1`, `web.<node id>`; ids where names are not known. */
export function taskName(task: Json, services: ReadonlyMap<string, string>): string {
  const serviceId = textAt(task, 'ServiceID')
  const service = services.get(serviceId) ?? serviceId
  // The first slot of a job is 0, and said; tasks of global services have none.
  const isNumbered = at(task, 'Slot') !== undefined
  return `${service}.${isNumbered ? numberAt(task, 'Slot') : textAt(task, 'NodeID')}`
}

/** The tasks stand on stdout in the form that the flags ask for. */
export function printTasks(
  world: World,
  flags: Flags,
  given: { readonly tasks: readonly Json[]; readonly names: Names },
): void {
  const names = flags.has('no-resolve') ? { services: new Map(), nodes: new Map() } : given.names
  const tasks = given.tasks
    .map((task) => ({ task, name: taskName(task, names.services) }))
    .sort(
      (a, b) =>
        compareNatural(a.name, b.name) ||
        (timeAt(b.task, 'CreatedAt') ?? 0) - (timeAt(a.task, 'CreatedAt') ?? 0) ||
        // Of two made in one millisecond the one that replaced the other is wanted.
        Number(isWanted(b.task)) - Number(isWanted(a.task)),
    )
  const isFull = flags.has('no-trunc')
  const rows = tasks.map(({ task, name }, position) => {
    const isOlder = position > 0 && tasks[position - 1]?.name === name
    const nodeId = textAt(task, 'NodeID')
    return {
      ...rowOf(task, { isFull, nowMs: world.nowMs() }),
      Name: isOlder ? ` \\_ ${name}` : name,
      Node: names.nodes.get(nodeId) ?? nodeId,
    }
  })
  printListing(world, flags, {
    rows,
    headings: HEADINGS,
    table: TABLE,
    quiet: '{{.ID}}',
    objects: tasks.map(({ task, name }) => ({
      ...objectAt(task),
      Name: name,
      NodeName: given.names.nodes.get(textAt(task, 'NodeID')) ?? '',
    })),
  })
}

function rowOf(
  task: Json,
  { isFull, nowMs }: { readonly isFull: boolean; readonly nowMs: number },
): TemplateObject {
  const id = textAt(task, 'ID')
  const image = textAt(task, 'Spec', 'ContainerSpec', 'Image')
  const error = textAt(task, 'Status', 'Err')
  const state = capitalize(textAt(task, 'Status', 'State'))
  return {
    ID: isFull ? id : shortId(id),
    Name: '',
    Image: isFull ? image : withoutDigest(image),
    Node: '',
    DesiredState: capitalize(textAt(task, 'DesiredState')),
    CurrentState:
      `${state} ${formatAgo(timeAt(task, 'Status', 'Timestamp'), nowMs).toLowerCase()}`.trimEnd(),
    Error: error === '' ? '' : `"${isFull ? error : ellipsis(error, ERROR_LENGTH_MAX)}"`,
    Ports: formatPorts(listAt(task, 'Status', 'PortStatus', 'Ports')),
  }
}

/** `*:8080->80/tcp`, with commas; ports that are not published are left out. */
export function formatPorts(ports: readonly Json[]): string {
  return ports
    .filter((port) => numberAt(port, 'PublishedPort') !== 0)
    .map((port) => {
      const protocol = textAt(port, 'Protocol') || 'tcp'
      return `*:${numberAt(port, 'PublishedPort')}->${numberAt(port, 'TargetPort')}/${protocol}`
    })
    .join(',')
}

/** `nginx:1.27@sha256:…` without what comes after the tag; an image by digest alone stays. */
export function withoutDigest(image: string): string {
  const at = image.indexOf('@sha256:')
  return at > 0 && image.slice(0, at).includes(':') ? image.slice(0, at) : image
}

export function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

function isWanted(task: Json): boolean {
  const desiredState = textAt(task, 'DesiredState')
  return desiredState === 'running' || desiredState === 'ready'
}
