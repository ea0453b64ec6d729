/**
 * Jobs that the clients of a simulated cluster write: services whose tasks run to their end, so many
 * times or once on each node, and what their users change of them. They have no ways to be updated:
 * a change runs them anew. Small numbers, so that a job ends, fails and begins again within a run.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import {
  emptyRestartPolicy,
  emptyTaskSpec,
  type RestartPolicy,
  type ServiceSpec,
} from '../../../proto/gen/specs.ts'
import { drawBy } from './draw.ts'

const COMPLETIONS_MAX = 5

/** The service as a job that has the same tasks to run. */
export function asJob(spec: ServiceSpec, random: SeededRandom): ServiceSpec {
  const mode: ServiceSpec['mode'] =
    random.integer(3) === 0 ? { kind: 'globalJob', globalJob: {} } : drawReplicatedJob(random)
  const { placement, ...task } = spec.task ?? emptyTaskSpec
  return {
    ...spec,
    mode,
    task: {
      ...task,
      // How many of its tasks a node may have is a matter of replicas.
      placement: placement && {
        ...placement,
        maxReplicas: mode?.kind === 'globalJob' ? 0 : placement.maxReplicas,
      },
      restart: drawRestart(random),
    },
    update: undefined,
    rollback: undefined,
    disruptionBudget: undefined,
  }
}

export function isJobSpec({ mode }: ServiceSpec): boolean {
  return mode?.kind === 'replicatedJob' || mode?.kind === 'globalJob'
}

/** How often it runs, and how many of its tasks at one time. */
export function drawReplicatedJob(random: SeededRandom): ServiceSpec['mode'] {
  const draw = drawBy(random)
  return {
    kind: 'replicatedJob',
    replicatedJob: {
      maxConcurrent: draw(1, 1, 2, 3),
      totalCompletions: draw(0, 1, 2, 3, 3, 4, COMPLETIONS_MAX),
    },
  }
}

/** What fails is mostly tried again, for ever or so many times. */
function drawRestart(random: SeededRandom): RestartPolicy | undefined {
  const draw = drawBy(random)
  return draw<RestartPolicy | undefined>(
    undefined,
    { ...emptyRestartPolicy, delayMs: 500 },
    { ...emptyRestartPolicy, delayMs: 500, maxAttempts: 2, condition: 'on-failure' },
    { ...emptyRestartPolicy, delayMs: 1_000, maxAttempts: 1 },
    { ...emptyRestartPolicy, delayMs: 1_000, maxAttempts: 3, windowMs: 20_000 },
    { ...emptyRestartPolicy, delayMs: 200, maxDelayMs: 2_000 },
    { ...emptyRestartPolicy, condition: 'none' },
  )
}
