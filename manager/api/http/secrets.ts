/**
 * Secrets and configs in the Engine API: `/secrets` and `/configs` (swarm-mode.md 6.5), which differ
 * in one thing: what a secret holds is never written, what a config holds is.
 */
import type { Config, Secret } from '../../../proto/gen/objects.ts'
import type { Annotations } from '../../../proto/gen/specs.ts'
import type { View } from '../../store/view.ts'
import { JsonCache } from './json-cache.ts'
import { type Filters, findObject, getFilters, getVersion, passes, passesLabels } from './query.ts'
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
import { configToJson, secretToJson } from './shape/objects.ts'
import { configSpec, secretSpec } from './shape/specs.ts'

const FILTERS = ['id', 'name', 'names', 'label']

const secretCache = new JsonCache(secretToJson)
const configCache = new JsonCache(configToJson)

export const secretRoutes: readonly Route[] = [
  { method: 'GET', path: '/secrets', answer: listSecrets },
  { method: 'POST', path: '/secrets/create', answer: createSecret },
  { method: 'GET', path: '/secrets/:id', answer: inspectSecret },
  { method: 'POST', path: '/secrets/:id/update', answer: updateSecret },
  { method: 'DELETE', path: '/secrets/:id', answer: removeSecret },
  { method: 'GET', path: '/configs', answer: listConfigs },
  { method: 'POST', path: '/configs/create', answer: createConfig },
  { method: 'GET', path: '/configs/:id', answer: inspectConfig },
  { method: 'POST', path: '/configs/:id/update', answer: updateConfig },
  { method: 'DELETE', path: '/configs/:id', answer: removeConfig },
]

async function listSecrets(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const view = await readView(api, ask)
  return jsonText(
    secretCache.list([...view.secrets.list()].filter((secret) => isWanted(filters, secret))),
  )
}

async function listConfigs(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const view = await readView(api, ask)
  return jsonText(
    configCache.list([...view.configs.list()].filter((config) => isWanted(filters, config))),
  )
}

async function inspectSecret(api: Api, ask: Ask): Promise<Answer> {
  return jsonText(secretCache.text(findSecret(await readView(api, ask), ask)))
}

async function inspectConfig(api: Api, ask: Ask): Promise<Answer> {
  return jsonText(configCache.text(findConfig(await readView(api, ask), ask)))
}

async function createSecret(api: Api, ask: Ask): Promise<Answer> {
  const spec = secretSpec.read(ask.body ?? {}, '')
  const { id } = await api.backend.write({ kind: 'secretCreate', secretCreate: { spec } })
  return createdId(id)
}

async function createConfig(api: Api, ask: Ask): Promise<Answer> {
  const spec = configSpec.read(ask.body ?? {}, '')
  const { id } = await api.backend.write({ kind: 'configCreate', configCreate: { spec } })
  return createdId(id)
}

async function updateSecret(api: Api, ask: Ask): Promise<Answer> {
  const version = getVersion(ask.query)
  const spec = secretSpec.read(ask.body ?? {}, '')
  const { id } = findSecret(await readView(api, ask), ask)
  await api.backend.write({ kind: 'secretUpdate', secretUpdate: { id, version, spec } })
  return done()
}

async function updateConfig(api: Api, ask: Ask): Promise<Answer> {
  const version = getVersion(ask.query)
  const spec = configSpec.read(ask.body ?? {}, '')
  const { id } = findConfig(await readView(api, ask), ask)
  await api.backend.write({ kind: 'configUpdate', configUpdate: { id, version, spec } })
  return done()
}

async function removeSecret(api: Api, ask: Ask): Promise<Answer> {
  const { id } = findSecret(await readView(api, ask), ask)
  await api.backend.write({ kind: 'secretRemove', secretRemove: { id } })
  return done(204)
}

async function removeConfig(api: Api, ask: Ask): Promise<Answer> {
  const { id } = findConfig(await readView(api, ask), ask)
  await api.backend.write({ kind: 'configRemove', configRemove: { id } })
  return done(204)
}

/** `Id` is what the definition says, `ID` what Docker has always written and clients read. */
function createdId(id: string): Answer {
  return json({ ID: id, Id: id }, 201)
}

type Named = {
  readonly id: string
  readonly spec: { readonly annotations: Annotations | undefined } | undefined
}

function findSecret(view: View, ask: Ask): Secret {
  return findObject(
    {
      kind: 'secret',
      get: (id) => view.secrets.get(id),
      list: () => view.secrets.list(),
      hasName,
    },
    ask.params['id'] ?? '',
  )
}

function findConfig(view: View, ask: Ask): Config {
  return findObject(
    {
      kind: 'config',
      get: (id) => view.configs.get(id),
      list: () => view.configs.list(),
      hasName,
    },
    ask.params['id'] ?? '',
  )
}

function hasName({ spec }: Named, name: string): boolean {
  return spec?.annotations?.name === name
}

function isWanted(filters: Filters, { id, spec }: Named): boolean {
  const name = spec?.annotations?.name ?? ''
  return (
    passes(filters, 'id', (value) => id.startsWith(value)) &&
    passes(filters, 'name', (value) => name.toLowerCase().startsWith(value.toLowerCase())) &&
    passes(filters, 'names', (value) => name === value) &&
    passesLabels(filters, 'label', spec?.annotations?.labels)
  )
}
