/**
 * What the clients of a simulated cluster ask for where nodes cannot be reached (docs/disconnect.md):
 * mostly nothing, else to wait, to keep the original, or a fence, with which no update starts first.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import {
  type Disconnect,
  emptyDisconnect,
  emptyTaskSpec,
  type ServiceSpec,
  type UpdateConfig,
} from '../../../proto/gen/specs.ts'
import { drawServiceSpec } from './specs.ts'

const FENCE_MS = 12_000

const POLICIES: readonly (Disconnect | undefined)[] = [
  undefined,
  undefined,
  undefined,
  { ...emptyDisconnect, lostAfterMs: 20_000 },
  { ...emptyDisconnect, lostAfterMs: 10_000, keep: 'original' },
  { ...emptyDisconnect, keep: 'original' },
  { ...emptyDisconnect, stopAfterMs: FENCE_MS },
  { ...emptyDisconnect, stopAfterMs: FENCE_MS, lostAfterMs: 60_000 },
]

/** The spec with a policy of its own. */
export function withDisconnect(spec: ServiceSpec, random: SeededRandom): ServiceSpec {
  const drawn = POLICIES[random.integer(POLICIES.length)]
  const isJob = spec.mode?.kind === 'replicatedJob' || spec.mode?.kind === 'globalJob'
  // The original of a job's task is not kept.
  const disconnect: Disconnect | undefined =
    isJob && drawn ? { ...drawn, keep: 'replacement' } : drawn
  return spec.task === undefined ? spec : fitted({ ...spec, task: { ...spec.task, disconnect } })
}

/** A service that runs wherever there is room, and nowhere without contact. */
export function drawFencedSpec(name: string, label: string, random: SeededRandom): ServiceSpec {
  const { task, ...drawn } = drawServiceSpec(name, label, random)
  const container = task?.container && { ...task.container, healthcheck: undefined }
  const disconnect = { ...emptyDisconnect, stopAfterMs: FENCE_MS }
  return fitted({
    ...drawn,
    mode: { kind: 'replicated', replicated: { replicas: 2 } },
    endpoint: undefined,
    task: { ...emptyTaskSpec, container, disconnect },
  })
}

/** The spec as managers take it. */
export function fitted(spec: ServiceSpec): ServiceSpec {
  if ((spec.task?.disconnect?.stopAfterMs ?? 0) === 0) return spec
  const stopFirst = (config: UpdateConfig | undefined): UpdateConfig | undefined =>
    config && { ...config, order: 'stop-first' }
  return { ...spec, update: stopFirst(spec.update), rollback: stopFirst(spec.rollback) }
}
