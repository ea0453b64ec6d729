/**
 * Requests about secrets and configs: create, update, remove. Both hold bytes that never change;
 * only labels do (swarm-mode.md 1.6, 1.7). No spec of a service can name one yet, so that none is
 * ever in use; whoever builds that makes the removal ask here.
 */
import { equalBytes } from '../../lib/crypto.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newId } from '../../lib/id.ts'
import type {
  ConfigCreate,
  ConfigRemove,
  ConfigUpdate,
  SecretCreate,
  SecretRemove,
  SecretUpdate,
} from '../../proto/gen/control.ts'
import { type Config, emptyConfig, emptySecret, type Secret } from '../../proto/gen/objects.ts'
import {
  type Annotations,
  emptyAnnotations,
  emptyConfigSpec,
  emptySecretSpec,
  encodeAnnotations,
} from '../../proto/gen/specs.ts'
import { checkSecretName } from '../model/naming.ts'
import { requireVersion } from '../store/change.ts'
import type { Handle } from '../store/handler.ts'
import { nameKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { ANNOTATIONS_BYTES_MAX, checkAnnotations, checkSize } from './validate.ts'

type Kind = 'secret' | 'config'
type Content = { readonly annotations: Annotations | undefined; readonly data: Uint8Array }

const TABLES = { secret: 'secrets', config: 'configs' } as const
const DATA_BYTES_MAX: Readonly<Record<Kind, number>> = { secret: 512_000, config: 1_024_000 }

export const handleSecretCreate: Handle<SecretCreate> = (view, request, { random }) => {
  const spec = request.spec ?? emptySecretSpec
  checkNew(view, 'secret', spec)
  const object: Secret = { ...emptySecret, id: newId(random), spec }
  return { changes: [{ kind: 'create', table: 'secrets', object }], reply: { id: object.id } }
}

export const handleConfigCreate: Handle<ConfigCreate> = (view, request, { random }) => {
  const spec = request.spec ?? emptyConfigSpec
  checkNew(view, 'config', spec)
  const object: Config = { ...emptyConfig, id: newId(random), spec }
  return { changes: [{ kind: 'create', table: 'configs', object }], reply: { id: object.id } }
}

/** The secret has the labels; name and data must be as they are, or the data left out. */
export const handleSecretUpdate: Handle<SecretUpdate> = (view, request) => {
  const secret = view.secrets.get(request.id)
  if (secret === undefined) throw notFound('secret', request.id)
  requireVersion(secret, request.version)
  const before = secret.spec ?? emptySecretSpec
  const annotations = takeLabels(before, request.spec)
  const object: Secret = { ...secret, spec: { ...before, annotations } }
  return { changes: [{ kind: 'update', table: 'secrets', object }], reply: { id: secret.id } }
}

/** The config has the labels; name and data must be as they are, or the data left out. */
export const handleConfigUpdate: Handle<ConfigUpdate> = (view, request) => {
  const config = view.configs.get(request.id)
  if (config === undefined) throw notFound('config', request.id)
  requireVersion(config, request.version)
  const before = config.spec ?? emptyConfigSpec
  const annotations = takeLabels(before, request.spec)
  const object: Config = { ...config, spec: { ...before, annotations } }
  return { changes: [{ kind: 'update', table: 'configs', object }], reply: { id: config.id } }
}

export const handleSecretRemove: Handle<SecretRemove> = (view, { id }) => {
  if (view.secrets.get(id) === undefined) throw notFound('secret', id)
  return { changes: [{ kind: 'remove', table: 'secrets', id }], reply: { id } }
}

export const handleConfigRemove: Handle<ConfigRemove> = (view, { id }) => {
  if (view.configs.get(id) === undefined) throw notFound('config', id)
  return { changes: [{ kind: 'remove', table: 'configs', id }], reply: { id } }
}

function checkNew(view: View, kind: Kind, { annotations, data }: Content): void {
  const name = annotations?.name ?? ''
  checkSecretName(kind, name)
  checkLabels(kind, annotations)
  const max = DATA_BYTES_MAX[kind]
  if (data.length < 1 || data.length >= max)
    throw new SwarmError(
      'invalid-argument',
      `${kind} data must be larger than 0 and less than ${max} bytes`,
      { facts: { name, bytes: data.length } },
    )
  const [taken] = view[TABLES[kind]].by('name', nameKey(name))
  if (taken !== undefined)
    throw new SwarmError(
      'already-exists',
      `name conflicts with an existing object: ${kind} "${name}" exists already`,
      { facts: { name } },
    )
}

/** The annotations to be, of an object with `before`. */
function takeLabels(before: Content, asked: Content | undefined): Annotations {
  const annotations = asked?.annotations ?? emptyAnnotations
  const data = asked?.data ?? before.data
  const isSame = data.length === 0 || equalBytes(data, before.data)
  if (annotations.name !== before.annotations?.name || !isSame)
    throw new SwarmError('invalid-argument', 'only updates to Labels are allowed')
  checkLabels('labels', annotations)
  return annotations
}

function checkLabels(what: string, annotations: Annotations | undefined): void {
  checkAnnotations(annotations)
  checkSize(what, encodeAnnotations(annotations ?? emptyAnnotations), ANNOTATIONS_BYTES_MAX)
}

function notFound(kind: Kind, id: string): SwarmError {
  return new SwarmError('not-found', `${kind} ${id} not found`)
}
