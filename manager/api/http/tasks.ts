/**
 * Tasks in the Engine API: `/tasks` (swarm-mode.md 6.4). Tasks are only read; what becomes of them
 * is decided by the services they belong to.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import { isTaskDirty } from '../../model/dirty.ts'
import { formatTaskName } from '../../model/naming.ts'
import type { View } from '../../store/view.ts'
import { JsonCache } from './json-cache.ts'
import { findNode } from './nodes.ts'
import { type Filters, findObject, getFilters, passes, passesLabels } from './query.ts'
import { type Answer, type Api, type Ask, json, jsonText, type Route, readView } from './route.ts'
import { findService } from './services.ts'
import { healthToJson } from './shape/healthcheck.ts'
import { shownDesiredState, taskToJson } from './shape/objects.ts'

const FILTERS = [
  'id',
  'name',
  'label',
  'service',
  'node',
  'desired-state',
  'runtime',
  '_up-to-date',
]
/** States that Docker's definition names too, and no task is ever in. */
const OTHER_STATES = ['allocated']

const cache = new JsonCache(taskToJson)

export const taskRoutes: readonly Route[] = [
  { method: 'GET', path: '/tasks', answer: listTasks },
  { method: 'GET', path: '/tasks/:id', answer: inspectTask },
  { method: 'GET', path: '/tsswarm/v1/tasks/:id/health', answer: showHealth },
]

/** By id, name, or the beginning of an id. */
export function findTask(view: View, reference: string): Task {
  return findObject(
    {
      kind: 'task',
      get: (id) => view.tasks.get(id),
      list: () => view.tasks.list(),
      hasName: (task, name) => formatTaskName(task) === name,
    },
    reference,
  )
}

async function inspectTask(api: Api, ask: Ask): Promise<Answer> {
  return jsonText(cache.text(findTask(await readView(api, ask), ask.params['id'] ?? '')))
}

/** Of this node's own containers all there is, by the whole id and without asking anybody. */
async function showHealth(api: Api, ask: Ask): Promise<Answer> {
  const reference = ask.params['id'] ?? ''
  const own = api.backend.findHealth(reference)
  if (own !== undefined) return json(healthToJson(own))
  const task = findTask(await readView(api, ask), reference)
  const known = task.status?.health
  if (known !== undefined) return json(healthToJson(known))
  throw new SwarmError(
    'not-found',
    `nothing is known of the health of task "${task.id}": it has no health check, or none has ended yet`,
  )
}

async function listTasks(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  for (const state of filters.get('desired-state') ?? []) checkState(state)
  const view = await readView(api, ask)
  // Names that do not exist are refused, not found empty (swarm-mode.md 6.4).
  const services = filters.get('service')?.map((value) => findService(view, value).id)
  const nodes = filters.get('node')?.map((value) => findNode(view, value).id)
  const tasks = [...candidates(view, services, nodes)].filter(
    (task) =>
      (services?.includes(task.serviceId) ?? true) &&
      (nodes?.includes(task.nodeId) ?? true) &&
      passes(filters, 'id', (value) => task.id.startsWith(value)) &&
      passes(filters, 'name', (value) => formatTaskName(task).startsWith(value)) &&
      passes(filters, 'runtime', (value) => value === 'container') &&
      passes(filters, 'desired-state', (value) => shownDesiredState(task) === value) &&
      passesLabels(filters, 'label', task.serviceAnnotations?.labels) &&
      passesUpToDate(filters, view, task),
  )
  return jsonText(cache.list(tasks))
}

/** The smallest set of tasks, in ascending order of id, that an index gives. */
function candidates(
  view: View,
  services: readonly string[] | undefined,
  nodes: readonly string[] | undefined,
): Iterable<Task> {
  if (services?.[0] !== undefined && services.length === 1)
    return view.tasks.by('service', services[0])
  if (nodes?.[0] !== undefined && nodes.length === 1) return view.tasks.by('node', nodes[0])
  return view.tasks.list()
}

/** Whether the task is as its service's spec says now, for clients that wait for an update. */
function passesUpToDate(filters: Filters, view: View, task: Task): boolean {
  return passes(filters, '_up-to-date', (value) => {
    const service = view.services.get(task.serviceId)
    const isUpToDate =
      service !== undefined && !isTaskDirty(task, service, view.nodes.get(task.nodeId))
    return isUpToDate === (value === 'true' || value === '1')
  })
}

function checkState(text: string): void {
  if (!Object.hasOwn(TaskStateNumber, text) && !OTHER_STATES.includes(text))
    throw new SwarmError('invalid-argument', `invalid filter 'desired-state=${text}'`)
}
