/**
 * What a service may ask for where nodes cannot be reached (docs/disconnect.md): what contradicts
 * itself, and times by which two tasks of a slot could run where the spec says that they must not. How
 * long a fence takes is `manager/model/disconnect.ts`; the heartbeat period is the cluster's.
 */
import { formatMilliseconds as format } from '../../lib/amount.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Disconnect, ServiceSpec } from '../../proto/gen/specs.ts'
import { getFenceMs, getStopGraceMs } from '../model/disconnect.ts'
import type { View } from '../store/view.ts'

/** A node that is well may be silent for less than this many heartbeat periods: then it is down. */
const CONTACT_PERIODS = 5

/** Throws SwarmError `invalid-argument` that names the field. */
export function checkDisconnect(spec: ServiceSpec): void {
  const disconnect = spec.task?.disconnect
  if (disconnect === undefined) return
  if (disconnect.keep === 'original') checkKeep(disconnect, spec)
  if (disconnect.stopAfterMs > 0) checkFence(disconnect, spec)
}

function checkKeep({ stopAfterMs }: Disconnect, { mode }: ServiceSpec): void {
  if (mode?.kind === 'replicatedJob' || mode?.kind === 'globalJob')
    throw refusal('Keep', '"original" is for services that run on, not for jobs')
  if (stopAfterMs > 0)
    throw refusal(
      'Keep',
      '"original" and StopAfter exclude each other: it ends before it is replaced',
    )
}

function checkFence({ lostAfterMs, stopAfterMs }: Disconnect, spec: ServiceSpec): void {
  for (const [name, config] of [
    ['UpdateConfig', spec.update],
    ['RollbackConfig', spec.rollback],
  ] as const)
    if (config?.order === 'start-first')
      throw refusal(
        'StopAfter',
        `no two tasks of a slot may run, which ${name}.Order "start-first" asks for: use stop-first`,
      )
  const leastMs = getFenceMs(spec.task)
  if (lostAfterMs > 0 && lostAfterMs < leastMs)
    throw refusal(
      'LostAfter',
      `${format(lostAfterMs)} after its node was turned down a task may still run: with StopAfter ` +
        `${format(stopAfterMs)} and a stop grace period of ${format(getStopGraceMs(spec.task))} ` +
        `it has surely ended after ${format(leastMs)}; leave it out for just that`,
    )
}

/** Throws SwarmError `invalid-argument` where a node that is well would stop tasks of this spec. */
export function checkStopAfter(view: View, spec: ServiceSpec): void {
  const stopAfterMs = spec.task?.disconnect?.stopAfterMs ?? 0
  const leastMs = getLeastStopAfterMs(view)
  if (stopAfterMs === 0 || stopAfterMs >= leastMs) return
  throw refusal(
    'StopAfter',
    `${format(stopAfterMs)} is shorter than five heartbeat periods (${format(leastMs)}), so that a ` +
      'node that is well would stop its tasks',
  )
}

/** Throws SwarmError `invalid-argument` where a service is fenced too soon for this heartbeat period. */
export function checkHeartbeatPeriod(view: View, periodMs: number): void {
  for (const { spec } of view.services.list()) {
    const stopAfterMs = spec?.task?.disconnect?.stopAfterMs ?? 0
    if (stopAfterMs === 0 || stopAfterMs >= CONTACT_PERIODS * periodMs) continue
    throw new SwarmError(
      'invalid-argument',
      `Dispatcher.HeartbeatPeriod: five periods of ${format(periodMs)} are longer than ` +
        `Disconnect.StopAfter of service "${spec?.annotations?.name}" (${format(stopAfterMs)}): its ` +
        'tasks would be stopped on nodes that are well',
    )
  }
}

function getLeastStopAfterMs(view: View): number {
  const [cluster] = view.clusters.list()
  return CONTACT_PERIODS * (cluster?.spec?.heartbeatPeriodMs ?? 0)
}

function refusal(field: string, message: string): SwarmError {
  return new SwarmError('invalid-argument', `TaskTemplate.Disconnect.${field}: ${message}`)
}
