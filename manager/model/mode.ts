/**
 * The mode of a service, as far as rules ask: whether its tasks are told apart by nodes or by numbers,
 * and whether they run to an end (swarm-mode.md 1.3).
 */
import type { Service } from '../../proto/gen/objects.ts'

/** One task a node, as a service or as a job. */
export function isGlobal(service: Service): boolean {
  const kind = service.spec?.mode?.kind
  return kind === 'global' || kind === 'globalJob'
}

/** Its tasks run to their end. */
export function isJob(service: Service): boolean {
  const kind = service.spec?.mode?.kind
  return kind === 'replicatedJob' || kind === 'globalJob'
}
