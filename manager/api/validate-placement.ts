/**
 * What a service may ask about where its tasks go, besides constraints: preferences, strategy,
 * affinities, generic resources and the disruption budget. What Swarm would take and ignore (a
 * preference that names no label, a bad generic resource) is refused with the field's name.
 */
import { SwarmError } from '../../lib/errors.ts'
import { type DisruptionBudget, emptyPlacement, type ServiceSpec } from '../../proto/gen/specs.ts'
import type { GenericResource } from '../../proto/gen/types.ts'
import { isLabelKey, parseConstraints } from '../model/constraint.ts'
import { isResourceKind } from '../model/generic-resources.ts'
import { checkServiceName } from '../model/naming.ts'
import { nameKey } from '../store/schema.ts'

/** A tree of more levels than this would have more branches than there are nodes. */
const PREFERENCES_MAX = 8
const AFFINITIES_MAX = 32

/** Throws SwarmError that names the field, unless tasks can be placed as the spec says. */
export function checkPlacement({ task, mode, disruptionBudget }: ServiceSpec): void {
  const placement = task?.placement ?? emptyPlacement
  parseConstraints(placement)
  if (placement.maxReplicas > 0 && mode?.kind !== 'replicated' && mode?.kind !== 'replicatedJob')
    throw refusal(
      'TaskTemplate.Placement.MaxReplicas: replicas per node are limited in replicated mode only',
    )
  checkCount('TaskTemplate.Placement.Preferences', placement.preferences, PREFERENCES_MAX)
  for (const { label } of placement.preferences)
    if (!isLabelKey(label))
      throw refusal(
        `TaskTemplate.Placement.Preferences: "${label}" is no label of nodes: write node.labels.NAME or engine.labels.NAME`,
      )
  checkAffinities(placement)
  checkGeneric(task?.resources?.reservations?.generic ?? [])
  checkBudget(disruptionBudget, mode)
}

function checkAffinities({ affinities }: typeof emptyPlacement): void {
  checkCount('TaskTemplate.Placement.Affinities', affinities, AFFINITIES_MAX)
  const isAntiByName = new Map<string, boolean>()
  for (const { service, isAnti } of affinities) {
    checkServiceName(service)
    const known = isAntiByName.get(nameKey(service))
    if (known !== undefined)
      throw refusal(
        `TaskTemplate.Placement.Affinities: service "${service}" is named ${known === isAnti ? 'twice' : 'to be near and to be far'}`,
      )
    isAntiByName.set(nameKey(service), isAnti)
  }
}

function checkGeneric(resources: readonly GenericResource[]): void {
  const field = 'Resources.Reservations.GenericResources'
  const kinds = new Set<string>()
  for (const { kind, name, count } of resources) {
    if (!isResourceKind(kind))
      throw refusal(`${field}: "${kind}" is no kind: use letters, digits, "-", "_" and "."`)
    if (name !== '')
      throw refusal(
        `${field}: invalid argument for resource ${kind}: a service asks for a number (DiscreteResourceSpec), never for names`,
      )
    if (count < 1) throw refusal(`${field}: ${kind} must be at least 1, not ${count}`)
    if (kinds.has(kind)) throw refusal(`${field}: ${kind} is given twice`)
    kinds.add(kind)
  }
}

function checkBudget(budget: DisruptionBudget | undefined, mode: ServiceSpec['mode']): void {
  if (budget === undefined) return
  if (budget.maxUnavailable < 1)
    throw refusal(
      'DisruptionBudget.MaxUnavailable: must be at least 1, or nothing could ever be updated or drained; leave DisruptionBudget out for no limit',
    )
  if (mode?.kind !== 'replicated' && mode?.kind !== 'global')
    throw refusal('DisruptionBudget: only services that run on have one, not jobs')
}

function checkCount(field: string, list: readonly unknown[], max: number): void {
  if (list.length > max) throw refusal(`${field}: ${list.length} are more than ${max}`)
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
