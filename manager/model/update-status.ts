/**
 * What a service's update status says, and how a rollback begins: the service goes back to the spec
 * before its present one, asked for by a user or by an update that failed (swarm-mode.md 2.3, 2.9).
 * To those that replace tasks it is an update as any other, with a spec version of its own; what
 * makes it a rollback is its status, which also keeps it from being rolled back itself.
 */

import { emptyUpdateStatus, type Service, type UpdateStatus } from '../../proto/gen/objects.ts'
import type { UpdateConfig } from '../../proto/gen/specs.ts'

/** The status of the update to the present spec, if there is one: one of a spec before says nothing of it. */
export function findCurrentStatus({
  updateStatus,
  specVersion,
}: Service): UpdateStatus | undefined {
  return updateStatus?.targetSpecVersion === specVersion ? updateStatus : undefined
}

/** Whether tasks are being replaced by an update or a rollback. */
export function isUnderWay(status: UpdateStatus | undefined): boolean {
  return status?.state === 'updating' || status?.state === 'rollback-started'
}

/** Whether an update or a rollback waits for its user, and nothing is updated until then. */
export function isPaused(status: UpdateStatus | undefined): boolean {
  return status?.state === 'paused' || status?.state === 'rollback-paused'
}

/** Whether this status is of a rollback, going on or ended. */
export function isRollback(status: UpdateStatus | undefined): boolean {
  switch (status?.state) {
    case 'rollback-started':
    case 'rollback-paused':
    case 'rollback-completed':
      return true
    default:
      return false
  }
}

/**
 * The config by which the service's tasks are replaced now: that for rollbacks while its present spec
 * is one that it came back to. Undefined where the user gave none.
 */
export function findUpdateConfig(service: Service): UpdateConfig | undefined {
  const { spec } = service
  return isRollback(findCurrentStatus(service)) ? spec?.rollback : spec?.update
}

/**
 * The service with its previous spec and the status of a rollback that begins now, with `message` as
 * its reason and no previous spec any more; undefined where there is none to go back to.
 */
export function rollBack(
  service: Service,
  at: { readonly now: number; readonly wallMs: number; readonly message: string },
): Service | undefined {
  if (service.previousSpec === undefined) return undefined
  const specVersion = service.specVersion + 1
  return {
    ...service,
    spec: service.previousSpec,
    previousSpec: undefined,
    specVersion,
    previousSpecVersion: 0,
    updateStatus: {
      ...emptyUpdateStatus,
      state: 'rollback-started',
      startedMs: at.wallMs,
      startedClusterMs: at.now,
      targetSpecVersion: specVersion,
      message: at.message,
    },
  }
}
