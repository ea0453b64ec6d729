/**
 * Networks in the Engine API, as far as there are any: the three that every Docker host has, so that
 * `--network host` is understood and clients that list networks find what they know. Their ids are
 * their names. Overlay networks are refused until they are built.
 */
import { SwarmError } from '../../../lib/errors.ts'
import { findObject, getFilters, isSet, passes, passesLabels } from './query.ts'
import { type Answer, type Api, type Ask, json, type Route } from './route.ts'
import { type JsonObject, ZERO_TIME } from './shape/objects.ts'

const FILTERS = ['id', 'name', 'driver', 'label', 'scope', 'type', 'dangling']

type Network = { readonly id: string; readonly driver: string }

const NETWORKS: readonly Network[] = [
  { id: 'bridge', driver: 'bridge' },
  { id: 'host', driver: 'host' },
  { id: 'none', driver: 'null' },
]

export const networkRoutes: readonly Route[] = [
  { method: 'GET', path: '/networks', answer: listNetworks },
  { method: 'GET', path: '/networks/:id', answer: inspectNetwork },
  { method: 'POST', path: '/networks/create', answer: createNetwork },
]

async function listNetworks(_api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const wantsDangling = filters.has('dangling')
  const networks = NETWORKS.filter(
    ({ id, driver }) =>
      !(
        wantsDangling && passes(filters, 'dangling', (value) => value === 'true' || value === '1')
      ) &&
      passes(filters, 'id', (value) => id.startsWith(value)) &&
      passes(filters, 'name', (value) => id.includes(value)) &&
      passes(filters, 'driver', (value) => driver === value) &&
      passes(filters, 'scope', (value) => value === 'local') &&
      passes(filters, 'type', (value) => value === 'builtin') &&
      passesLabels(filters, 'label', new Map()),
  )
  return json(networks.map(networkToJson))
}

async function inspectNetwork(_api: Api, ask: Ask): Promise<Answer> {
  const network = findObject(
    {
      kind: 'network',
      get: (id) => NETWORKS.find((candidate) => candidate.id === id),
      list: () => NETWORKS,
      hasName: () => false,
    },
    ask.params['id'] ?? '',
  )
  if (isSet(ask.query, 'verbose'))
    return json({ ...networkToJson(network), Services: {}, Peers: [] })
  return json(networkToJson(network))
}

async function createNetwork(): Promise<Answer> {
  throw new SwarmError(
    'unimplemented',
    'networks cannot be created yet: services run in the network "host" or on a link of their own',
  )
}

function networkToJson({ id, driver }: Network): JsonObject {
  return {
    Name: id,
    Id: id,
    Created: ZERO_TIME,
    Scope: 'local',
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: 'default', Options: {}, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: {},
  }
}
