/**
 * What the clients of a simulated cluster ask of the places of their tasks besides constraints: to be
 * spread over zones and racks, to be packed, near or far from other services, on a platform, with
 * generic resources. Half of all services ask for nothing of it.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import {
  emptyPlacement,
  emptyResourceRequirements,
  type Placement,
  type ServiceSpec,
} from '../../../proto/gen/specs.ts'
import {
  emptyGenericResource,
  emptyResources,
  type GenericResource,
} from '../../../proto/gen/types.ts'
import { drawBy } from './draw.ts'

const AMD64 = { os: 'linux', architecture: 'amd64' }
const ARM64 = { os: 'linux', architecture: 'arm64' }
const ZONE = { label: 'node.labels.zone' }
const RACK = { label: 'engine.labels.rack' }

/** The service with other wishes of the kind, or none; `names` are those of services. */
export function withWishes(
  spec: ServiceSpec,
  names: readonly string[],
  random: SeededRandom,
): ServiceSpec {
  const { task } = spec
  if (task === undefined || random.integer(2) === 0) return spec
  const draw = drawBy(random)
  const placement: Placement = {
    ...(task.placement ?? emptyPlacement),
    preferences: draw([], [], [ZONE], [RACK], [ZONE, RACK]),
    strategy: draw('spread', 'spread', 'binpack'),
    platforms: draw([], [], [], [AMD64], [ARM64], [ARM64, AMD64]),
    affinities: draw([], [], [], [{ service: draw(...names), isAnti: draw(true, true, false) }]),
  }
  const generic = draw<readonly GenericResource[]>(
    [],
    [],
    [some('gpu', 1)],
    [some('gpu', 2)],
    [some('disk', 1), some('gpu', 1)],
  )
  const resources = task.resources ?? emptyResourceRequirements
  const reservations = { ...(resources.reservations ?? emptyResources), generic }
  return { ...spec, task: { ...task, placement, resources: { ...resources, reservations } } }
}

function some(kind: string, count: number): GenericResource {
  return { ...emptyGenericResource, kind, count }
}
