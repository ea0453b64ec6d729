/**
 * Nodes in the Engine API: `/nodes` (swarm-mode.md 6.4). `ManagerStatus` is added at each read, for
 * it is known from Raft and stored nowhere.
 */
import type { Node } from '../../../proto/gen/objects.ts'
import type { View } from '../../store/view.ts'
import { JsonCache } from './json-cache.ts'
import { findObject, getFilters, getVersion, isSet, passes, passesLabels } from './query.ts'
import { type Answer, type Api, type Ask, done, jsonText, type Route, readView } from './route.ts'
import { type JsonObject, managerStatusToJson, nodeToJson } from './shape/objects.ts'
import { nodeSpec } from './shape/specs.ts'

const FILTERS = ['id', 'name', 'label', 'node.label', 'role', 'membership']

const cache = new JsonCache(nodeToJson)

export const nodeRoutes: readonly Route[] = [
  { method: 'GET', path: '/nodes', answer: listNodes },
  { method: 'GET', path: '/nodes/:id', answer: inspectNode },
  { method: 'POST', path: '/nodes/:id/update', answer: updateNode },
  { method: 'DELETE', path: '/nodes/:id', answer: removeNode },
]

/** By id, name or hostname, or the beginning of an id. */
export function findNode(view: View, reference: string): Node {
  return findObject(
    {
      kind: 'node',
      get: (id) => view.nodes.get(id),
      list: () => view.nodes.list(),
      hasName: ({ spec, description }, name) =>
        spec?.annotations?.name === name || description?.hostname === name,
    },
    reference,
  )
}

async function listNodes(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const view = await readView(api, ask)
  const nodes = [...view.nodes.list()].filter(({ id, spec, description }) => {
    const names = [spec?.annotations?.name ?? '', description?.hostname ?? '']
    return (
      passes(filters, 'id', (value) => id.startsWith(value)) &&
      passes(filters, 'name', (value) => names.some((name) => startsWith(name, value))) &&
      passes(filters, 'role', (value) => (spec?.role ?? 'worker') === value) &&
      passes(filters, 'membership', (value) => value === 'accepted') &&
      passesLabels(filters, 'label', description?.engineLabels) &&
      passesLabels(filters, 'node.label', spec?.annotations?.labels)
    )
  })
  return jsonText(cache.list(nodes, managerStatuses(api)))
}

async function inspectNode(api: Api, ask: Ask): Promise<Answer> {
  const node = findNode(await readView(api, ask), ask.params['id'] ?? '')
  return jsonText(cache.text(node, managerStatuses(api)(node)))
}

async function updateNode(api: Api, ask: Ask): Promise<Answer> {
  const version = getVersion(ask.query)
  const spec = nodeSpec.read(ask.body ?? {}, '')
  const { id } = findNode(await readView(api, ask), ask.params['id'] ?? '')
  await api.backend.write({ kind: 'nodeUpdate', nodeUpdate: { id, version, spec } })
  return done()
}

async function removeNode(api: Api, ask: Ask): Promise<Answer> {
  const { id } = findNode(await readView(api, ask), ask.params['id'] ?? '')
  const force = isSet(ask.query, 'force')
  await api.backend.write({ kind: 'nodeRemove', nodeRemove: { id, force } })
  return done()
}

function managerStatuses(api: Api): (node: Node) => JsonObject {
  const managers = new Map(api.backend.local().managers.map((manager) => [manager.nodeId, manager]))
  return ({ id }) => {
    const manager = managers.get(id)
    return manager === undefined ? {} : { ManagerStatus: managerStatusToJson(manager) }
  }
}

function startsWith(name: string, value: string): boolean {
  return name !== '' && name.toLowerCase().startsWith(value.toLowerCase())
}
