/**
 * Requests about services: create, update, remove. They write the service object only; its tasks
 * follow by the reconcilers. A spec is stored as it was asked for, with two exceptions: a name is
 * made up where none was given, and registry credentials are carried over from the spec before,
 * for no client can read them back (swarm-mode.md 2.3, 6.3).
 */
import { SwarmError } from '../../lib/errors.ts'
import { newId } from '../../lib/id.ts'
import type { ServiceCreate, ServiceRemove, ServiceUpdate } from '../../proto/gen/control.ts'
import {
  emptyJobStatus,
  emptyService,
  type JobStatus,
  type Service,
} from '../../proto/gen/objects.ts'
import { emptyAnnotations, emptyServiceSpec, type ServiceSpec } from '../../proto/gen/specs.ts'
import { rollBack } from '../model/update-status.ts'
import { requireVersion } from '../store/change.ts'
import type { Handle, HandlerContext } from '../store/handler.ts'
import { nameKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { newRandomName } from './random-name.ts'
import { checkServiceSpec } from './validate.ts'
import { checkStopAfter } from './validate-disconnect.ts'

/** The service is there; `reply.id` is its id. */
export const handleServiceCreate: Handle<ServiceCreate> = (view, request, { random, wallMs }) => {
  const asked = request.spec ?? emptyServiceSpec
  const isNamed = (asked.annotations?.name ?? '') !== ''
  const spec = isNamed ? asked : withName(asked, newRandomName(random, isTaken))
  checkServiceSpec(spec)
  checkStopAfter(view, spec)
  const name = nameOf(spec)
  if (isTaken(name))
    throw new SwarmError(
      'already-exists',
      `name conflicts with an existing object: service "${name}" exists already`,
      { facts: { name } },
    )
  const service: Service = {
    ...emptyService,
    id: newId(random),
    spec,
    specVersion: 1,
    jobStatus: nextJobStatus(spec, undefined, wallMs),
  }
  return {
    changes: [{ kind: 'create', table: 'services', object: service }],
    reply: { id: service.id },
  }

  function isTaken(candidate: string): boolean {
    return [...view.services.by('name', nameKey(candidate))].length > 0
  }
}

/**
 * The service has the spec, its update status is gone and its former spec is kept beside. A rollback
 * changes the two specs over, and says by the status that it was asked for.
 */
export const handleServiceUpdate: Handle<ServiceUpdate> = (view, request, context) => {
  const service = getService(view, request.id)
  requireVersion(service, request.version)
  if (request.rollback) return rollBackByHand(service, context)
  const before = service.spec ?? emptyServiceSpec
  const asked = request.spec ?? emptyServiceSpec
  checkServiceSpec(asked)
  checkStopAfter(view, asked)
  if (nameOf(asked) !== nameOf(before))
    throw new SwarmError('unimplemented', 'renaming services is not supported')
  if (asked.mode?.kind !== before.mode?.kind)
    throw new SwarmError('unimplemented', 'service mode change is not allowed')
  const updated: Service = {
    ...service,
    spec: withRegistryAuth(asked, findRegistryAuth(service, request.registryAuthFrom)),
    previousSpec: before,
    specVersion: service.specVersion + 1,
    previousSpecVersion: service.specVersion,
    updateStatus: undefined,
    jobStatus: nextJobStatus(asked, service.jobStatus, context.wallMs),
  }
  return {
    changes: [{ kind: 'update', table: 'services', object: updated }],
    reply: { id: service.id },
  }
}

/** The two specs change places, so that a rollback can be taken back in the same way. */
function rollBackByHand(
  service: Service,
  { now, wallMs }: HandlerContext,
): ReturnType<Handle<ServiceUpdate>> {
  const rolledBack = rollBack(service, { now, wallMs, message: 'manually requested rollback' })
  if (rolledBack === undefined)
    throw new SwarmError(
      'failed-precondition',
      `service ${service.id} does not have a previous spec to roll back to`,
    )
  const jobStatus = nextJobStatus(rolledBack.spec, service.jobStatus, wallMs)
  const object: Service = {
    ...rolledBack,
    previousSpec: service.spec,
    previousSpecVersion: service.specVersion,
    jobStatus,
    // Nothing is updated slot by slot: a job runs anew as a whole.
    updateStatus: jobStatus === undefined ? rolledBack.updateStatus : undefined,
  }
  return { changes: [{ kind: 'update', table: 'services', object }], reply: { id: service.id } }
}

/** A job runs once when it is made, and again each time it is changed. */
function nextJobStatus(
  spec: ServiceSpec | undefined,
  before: JobStatus | undefined,
  wallMs: number,
): JobStatus | undefined {
  const kind = spec?.mode?.kind
  if (kind !== 'replicatedJob' && kind !== 'globalJob') return undefined
  return {
    ...emptyJobStatus,
    iteration: (before?.iteration ?? 0) + 1,
    lastExecutionMs: wallMs,
  }
}

/** The service is gone; its tasks are removed once their containers have stopped. */
export const handleServiceRemove: Handle<ServiceRemove> = (view, { id }) => {
  getService(view, id)
  return { changes: [{ kind: 'remove', table: 'services', id }], reply: { id } }
}

function getService(view: View, id: string): Service {
  const service = view.services.get(id)
  if (service === undefined) throw new SwarmError('not-found', `service ${id} not found`)
  return service
}

/** `from` is ServiceUpdate.registry_auth_from: 0 the current spec, 1 the previous one. */
function findRegistryAuth(service: Service, from: number): string {
  if (from === 1 && service.previousSpec === undefined)
    throw new SwarmError(
      'invalid-argument',
      `service ${service.id} does not have a previous spec to take registry credentials from`,
    )
  const spec = from === 1 ? service.previousSpec : service.spec
  return spec?.task?.container?.registryAuth ?? ''
}

/** The spec with these credentials, unless it brings its own. */
function withRegistryAuth(spec: ServiceSpec, registryAuth: string): ServiceSpec {
  const { task } = spec
  if (task?.container === undefined || task.container.registryAuth !== '') return spec
  return { ...spec, task: { ...task, container: { ...task.container, registryAuth } } }
}

function withName(spec: ServiceSpec, name: string): ServiceSpec {
  return { ...spec, annotations: { ...(spec.annotations ?? emptyAnnotations), name } }
}

function nameOf(spec: ServiceSpec): string {
  return spec.annotations?.name ?? ''
}
