/**
 * What the hosts of a simulated cluster are and have, as their agents describe them: equal in CPUs and
 * memory, and different in what else services ask for: their processors, racks and generic resources,
 * some with names and some only counted. A host is described alike as long as it lives.
 */
import type { SeededRandom } from '../../lib/random.ts'
import { emptyNodeDescription, type NodeDescription } from '../../proto/gen/objects.ts'
import {
  emptyGenericResource,
  emptyResources,
  type GenericResource,
} from '../../proto/gen/types.ts'
import { drawBy } from './workload/draw.ts'

/** The host as its agent describes it. */
export function describeHost(hostname: string, random: SeededRandom): NodeDescription {
  const draw = drawBy(random)
  return {
    ...emptyNodeDescription,
    hostname,
    platform: { architecture: draw('x86_64', 'x86_64', 'x86_64', 'aarch64'), os: 'linux' },
    resources: {
      ...emptyResources,
      nanoCpus: 4e9,
      memoryBytes: 8 * 1024 ** 3,
      generic: draw([], named('gpu', 1), named('gpu', 2), [
        ...named('gpu', 3),
        ...counted('disk', 2),
      ]),
    },
    engineLabels: new Map([['rack', draw('r1', 'r2')]]),
  }
}

function named(kind: string, count: number): readonly GenericResource[] {
  return Array.from({ length: count }, (_, at) => ({
    ...emptyGenericResource,
    kind,
    name: `${kind}-${at + 1}`,
    count: 1,
  }))
}

function counted(kind: string, count: number): readonly GenericResource[] {
  return [{ ...emptyGenericResource, kind, count }]
}
