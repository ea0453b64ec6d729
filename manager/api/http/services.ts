/**
 * Services in the Engine API: `/services` (swarm-mode.md 6.3). What may be asked is decided by the
 * handlers (`manager/api/services.ts`); here references are resolved, lists filtered and shapes
 * changed. Credentials come in a header, go into the spec, and are never written.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { Service } from '../../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../../proto/gen/specs.ts'
import type { View } from '../../store/view.ts'
import { JsonCache } from './json-cache.ts'
import { findObject, getFilters, getVersion, isSet, passes, passesLabels } from './query.ts'
import {
  type Answer,
  type Api,
  type Ask,
  done,
  json,
  jsonText,
  type Route,
  readView,
} from './route.ts'
import { serviceStatusToJson } from './service-status.ts'
import { serviceToJson, serviceToJsonWithDefaults } from './shape/objects.ts'
import { serviceSpec } from './shape/service-spec.ts'

/** Modes as clients name them. */
const MODE_NAMES: Readonly<Record<NonNullable<ServiceSpec['mode']>['kind'], string>> = {
  replicated: 'replicated',
  global: 'global',
  replicatedJob: 'replicated-job',
  globalJob: 'global-job',
}

const FILTERS = ['id', 'name', 'label', 'mode', 'runtime']
/** From here on lists carry `ServiceStatus`. */
const STATUS_VERSION = 141
const REGISTRY_AUTH_FROM: Readonly<Record<string, number>> = { '': 0, spec: 0, 'previous-spec': 1 }

const cache = new JsonCache(serviceToJson)
const cacheWithDefaults = new JsonCache(serviceToJsonWithDefaults)

export const serviceRoutes: readonly Route[] = [
  { method: 'GET', path: '/services', answer: listServices },
  { method: 'POST', path: '/services/create', answer: createService },
  { method: 'GET', path: '/services/:id', answer: inspectService },
  { method: 'POST', path: '/services/:id/update', answer: updateService },
  { method: 'DELETE', path: '/services/:id', answer: removeService },
]

/** By id, name, or the beginning of an id. */
export function findService(view: View, reference: string): Service {
  return findObject(
    {
      kind: 'service',
      get: (id) => view.services.get(id),
      list: () => view.services.list(),
      hasName: ({ spec }, name) => spec?.annotations?.name === name,
    },
    reference,
  )
}

async function listServices(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const view = await readView(api, ask)
  const services = [...view.services.list()].filter(({ id, spec }) => {
    const name = (spec?.annotations?.name ?? '').toLowerCase()
    return (
      passes(filters, 'id', (value) => id.startsWith(value)) &&
      passes(filters, 'name', (value) => name.startsWith(value.toLowerCase())) &&
      passes(filters, 'mode', (value) => MODE_NAMES[spec?.mode?.kind ?? 'replicated'] === value) &&
      passes(filters, 'runtime', (value) => value === 'container') &&
      passesLabels(filters, 'label', spec?.annotations?.labels)
    )
  })
  const hasStatus = isSet(ask.query, 'status') && ask.version >= STATUS_VERSION
  return jsonText(
    cache.list(services, (service) =>
      hasStatus ? { ServiceStatus: serviceStatusToJson(view, service) } : {},
    ),
  )
}

async function inspectService(api: Api, ask: Ask): Promise<Answer> {
  const service = findService(await readView(api, ask), ask.params['id'] ?? '')
  return jsonText((isSet(ask.query, 'insertDefaults') ? cacheWithDefaults : cache).text(service))
}

async function createService(api: Api, ask: Ask): Promise<Answer> {
  const spec = readSpec(ask)
  const { id, warnings } = await api.backend.write({
    kind: 'serviceCreate',
    serviceCreate: { spec },
  })
  return json({ ID: id, Warnings: warnings.length === 0 ? null : warnings }, 201)
}

async function updateService(api: Api, ask: Ask): Promise<Answer> {
  const version = getVersion(ask.query)
  const registryAuthFrom = REGISTRY_AUTH_FROM[ask.query.get('registryAuthFrom') ?? '']
  if (registryAuthFrom === undefined)
    throw refusal('registryAuthFrom: use one of spec and previous-spec')
  const rollback = readRollback(ask)
  // A rollback goes to the spec that is stored, whatever its client sends beside.
  const spec = rollback ? undefined : readSpec(ask)
  const { id } = findService(await readView(api, ask), ask.params['id'] ?? '')
  const { warnings } = await api.backend.write({
    kind: 'serviceUpdate',
    serviceUpdate: { id, version, spec, registryAuthFrom, rollback },
  })
  return json({ Warnings: warnings.length === 0 ? null : warnings })
}

async function removeService(api: Api, ask: Ask): Promise<Answer> {
  const { id } = findService(await readView(api, ask), ask.params['id'] ?? '')
  await api.backend.write({ kind: 'serviceRemove', serviceRemove: { id } })
  return done()
}

function readSpec(ask: Ask): ServiceSpec {
  const spec = serviceSpec.read(ask.body ?? {}, '')
  const registryAuth = readRegistryAuth(ask.headers['x-registry-auth'])
  if (registryAuth === '' || spec.task?.container === undefined) return spec
  return { ...spec, task: { ...spec.task, container: { ...spec.task.container, registryAuth } } }
}

/** The header as it came: base64url of a JSON object. Empty for an empty one. */
function readRegistryAuth(header: string | readonly string[] | undefined): string {
  if (header === undefined || header === '') return ''
  if (typeof header !== 'string') throw refusal('X-Registry-Auth: given more than once')
  try {
    const credentials: unknown = JSON.parse(Buffer.from(header, 'base64url').toString('utf8'))
    if (typeof credentials === 'object' && credentials !== null)
      return Object.values(credentials).some((value) => value !== '') ? header : ''
  } catch {
    // Said below, without a word of what it held.
  }
  throw refusal('X-Registry-Auth: must be base64url of a JSON object')
}

function readRollback(ask: Ask): boolean {
  const rollback = ask.query.get('rollback') ?? ''
  if (rollback === 'previous') return true
  if (rollback === '' || rollback === 'none') return false
  throw refusal(`rollback: invalid value "${rollback}", use one of previous and none`)
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
