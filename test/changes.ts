/**
 * Random changes that fit the state they are applied to, for property tests of the store: few ids,
 * so that objects are changed often; services by few names, so that names are freed and used again.
 * No object is renamed, which requests are refused as well: an entry holds one change for each object,
 * in the order of their first, and a name that moved could be in it twice at one time.
 * Also the dumb model that such tests compare with: plain maps, copied whole.
 */
import fc from 'fast-check'
import type { Change } from '../manager/store/change.ts'
import type { TableName, Tables, View } from '../manager/store/view.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { config, node, secret, service, task } from './build.ts'

/** What to do to which object; what it means is decided by what is there. */
export type Wish = {
  readonly table: 'nodes' | 'services' | 'tasks' | 'secrets' | 'configs'
  readonly id: number
  readonly remove: boolean
  readonly variant: number
}

export const wish: fc.Arbitrary<Wish> = fc.record({
  table: fc.constantFrom('nodes', 'services', 'tasks', 'tasks', 'tasks', 'secrets', 'configs'),
  id: fc.integer({ min: 0, max: 11 }),
  remove: fc.integer({ min: 0, max: 3 }).map((i) => i === 0),
  variant: fc.integer({ min: 0, max: 11 }),
})

/** Objects by table and id. */
export type Model = { readonly [K in TableName]: ReadonlyMap<string, Tables[K]> }

/** The contents of a view, read from its lists. */
export function modelOf(view: View): Model {
  return {
    clusters: byId(view.clusters.list()),
    nodes: byId(view.nodes.list()),
    services: byId(view.services.list()),
    tasks: byId(view.tasks.list()),
    secrets: byId(view.secrets.list()),
    configs: byId(view.configs.list()),
  }
}

/** The wish as a change that fits the view, or undefined where a name is taken. */
export function changeFor(view: View, wish: Wish): Change | undefined {
  const id = `${wish.table}${wish.id}`
  const isThere = view[wish.table].get(id) !== undefined
  if (wish.remove) return isThere ? { kind: 'remove', table: wish.table, id } : undefined
  const kind = isThere ? 'update' : 'create'
  const variant = `Name${wish.variant}`
  const name = nameOf(view, wish.table, id) ?? variant
  const annotations = { name, labels: new Map([['variant', variant]]) }
  switch (wish.table) {
    case 'nodes': {
      const role = wish.variant % 2 === 0 ? 'manager' : 'worker'
      const object = node({ id, spec: { role }, description: { hostname: variant } })
      return { kind, table: 'nodes', object }
    }
    case 'services': {
      const object = service({ id, spec: { annotations } })
      return isFree(view, wish.table, id, name) ? { kind, table: 'services', object } : undefined
    }
    case 'tasks':
      return { kind, table: 'tasks', object: taskFor(id, wish.variant) }
    case 'secrets': {
      const object = secret({ id, spec: { annotations } })
      return isFree(view, wish.table, id, name) ? { kind, table: 'secrets', object } : undefined
    }
    case 'configs': {
      const object = config({ id, spec: { annotations } })
      return isFree(view, wish.table, id, name) ? { kind, table: 'configs', object } : undefined
    }
    default:
      return wish.table satisfies never
  }
}

const STATES: readonly TaskState[] = ['new', 'pending', 'assigned', 'running', 'failed', 'orphaned']

function taskFor(id: string, variant: number): Tables['tasks'] {
  return task({
    id,
    serviceId: variant === 0 ? '' : `s${variant % 2}`,
    slot: (variant >> 1) % 3,
    nodeId: variant < 6 ? '' : `n${variant % 3}`,
    desiredState: variant < 3 ? 'running' : 'shutdown',
    replaces: variant === 5 ? 'tasks1' : '',
    status: { state: STATES[variant % STATES.length] ?? 'new' },
  })
}

function nameOf(view: View, table: Wish['table'], id: string): string | undefined {
  return table === 'nodes' || table === 'tasks'
    ? undefined
    : view[table].get(id)?.spec?.annotations?.name
}

function isFree(
  view: View,
  table: 'services' | 'secrets' | 'configs',
  id: string,
  name: string,
): boolean {
  for (const owner of view[table].by('name', name.toLowerCase())) if (owner.id !== id) return false
  return true
}

function byId<T extends { readonly id: string }>(objects: Iterable<T>): ReadonlyMap<string, T> {
  return new Map([...objects].map((object) => [object.id, object]))
}
