/**
 * Specs that the clients of a simulated cluster write: services of every mode with and without ports,
 * reservations, constraints and limits, and what is changed of them later. Small pools of names,
 * ports and zones, so that objects meet: a name is used again, a port is taken, a node is full.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import {
  type Annotations,
  type EndpointSpec,
  emptyAnnotations,
  emptyContainerSpec,
  emptyEndpointSpec,
  emptyHealthcheck,
  emptyPlacement,
  emptyResourceRequirements,
  emptyRestartPolicy,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type Healthcheck,
  type NodeSpec,
  type Placement,
  type RestartPolicy,
  type ServiceSpec,
  type TaskSpec,
  type UpdateConfig,
} from '../../../proto/gen/specs.ts'
import { emptyResources, type PortConfig, type Resources } from '../../../proto/gen/types.ts'
import { drawBy } from './draw.ts'
import { drawReplicatedJob, isJobSpec } from './jobs.ts'
import { withWishes } from './placement.ts'

export const SERVICE_NAMES = ['web', 'api', 'db', 'cache', 'queue', 'agent', 'cron', 'log'] as const
export const SECRET_NAMES = ['password', 'token', 'key'] as const
export const CONFIG_NAMES = ['nginx', 'limits', 'motd'] as const
export const ZONES = ['a', 'b'] as const
/** Under this name an object says which write it is of. */
export const LABEL = 'op'

const REPLICAS_MAX = 5
const PORTS = [8_080, 8_081, 8_082] as const
const MEBIBYTE = 2 ** 20

/** A service that is well formed; whether it can be placed is another matter. */
export function drawServiceSpec(name: string, label: string, random: SeededRandom): ServiceSpec {
  const draw = drawBy(random)
  const isGlobal = random.integer(5) === 0
  return {
    ...emptyServiceSpec,
    annotations: withLabel({ ...emptyAnnotations, name }, label),
    task: drawTask(random, isGlobal),
    mode: isGlobal
      ? { kind: 'global', global: {} }
      : {
          kind: 'replicated',
          replicated: { replicas: draw(0, 1, 1, 2, 2, 3, 3, 4, REPLICAS_MAX) },
        },
    update: drawUpdate(random, 'rollback'),
    rollback: drawUpdate(random, 'pause'),
    ...(random.integer(4) === 0 && { disruptionBudget: { maxUnavailable: draw(1, 1, 2) } }),
    endpoint: draw<EndpointSpec | undefined>(undefined, undefined, undefined, drawPorts(random)),
  }
}

function drawTask(random: SeededRandom, isGlobal: boolean): TaskSpec {
  return {
    ...emptyTaskSpec,
    container: {
      ...emptyContainerSpec,
      image: drawImage(random),
      healthcheck: drawHealthcheck(random),
    },
    resources: { ...emptyResourceRequirements, reservations: drawReservations(random) },
    placement: drawPlacement(random, isGlobal),
    restart: drawRestart(random),
  }
}

/** Mostly none. */
function drawHealthcheck(random: SeededRandom): Healthcheck | undefined {
  const draw = drawBy(random)
  const check: Healthcheck = {
    test: draw(['CMD', 'check'], ['CMD-SHELL', 'check || exit 1']),
    intervalMs: draw(500, 2_000),
    timeoutMs: draw(500, 1_000),
    retries: draw(1, 2, 3),
    startPeriodMs: draw(0, 3_000),
    startIntervalMs: 300,
  }
  const none = { ...emptyHealthcheck, test: ['NONE'] }
  return draw<Healthcheck | undefined>(undefined, undefined, undefined, none, check, check)
}

function drawImage(random: SeededRandom): string {
  return `busybox:${random.integer(1_000)}`
}

function drawReservations(random: SeededRandom): Resources {
  const draw = drawBy(random)
  return {
    ...emptyResources,
    nanoCpus: draw(0, 0, 5e8, 5e8, 1e9, 2e9),
    memoryBytes: draw(0, 0, 0, 512 * MEBIBYTE, 2_048 * MEBIBYTE),
  }
}

/** Mostly any node; sometimes one role, one zone, not the first manager, or none at all. */
function drawPlacement(random: SeededRandom, isGlobal: boolean): Placement | undefined {
  const draw = drawBy(random)
  const constraints = draw<readonly string[]>(
    [],
    [],
    [],
    [],
    ['node.role==manager'],
    ['node.role==worker'],
    ['node.hostname!=m1'],
    [`node.labels.zone==${draw(...ZONES)}`],
    [`node.labels.zone!=${draw(...ZONES)}`],
    ['node.labels.zone==nowhere'],
  )
  const maxReplicas = isGlobal ? 0 : draw(0, 0, 0, 1, 2)
  if (constraints.length === 0 && maxReplicas === 0) return undefined
  return { ...emptyPlacement, constraints, maxReplicas }
}

/** Mostly Swarm's own policy; sometimes tasks that end for good. */
function drawRestart(random: SeededRandom): RestartPolicy | undefined {
  const draw = drawBy(random)
  return draw<RestartPolicy | undefined>(
    undefined,
    undefined,
    { ...emptyRestartPolicy, delayMs: 500 },
    { ...emptyRestartPolicy, delayMs: 2_000, condition: 'on-failure' },
    { ...emptyRestartPolicy, delayMs: 1_000, maxAttempts: 3, windowMs: 60_000 },
    { ...emptyRestartPolicy, condition: 'none' },
    { ...emptyRestartPolicy, delayMs: 500, maxDelayMs: 4_000 },
    { ...emptyRestartPolicy, delayMs: 3_000, maxAttempts: 2, windowMs: 2_000 },
  )
}

/** A rollback is not rolled back: it has a last resort of its own. */
function drawUpdate(
  random: SeededRandom,
  last: UpdateConfig['failureAction'],
): UpdateConfig | undefined {
  const draw = drawBy(random)
  if (random.integer(6) === 0) return undefined
  return {
    ...emptyUpdateConfig,
    parallelism: draw(0, 1, 1, 1, 2, 3),
    delayMs: draw(0, 0, 500, 3_000),
    monitorMs: draw(500, 1_000, 5_000),
    failureAction: draw('pause', 'continue', last),
    maxFailureRatio: draw(0, 0, 0.5),
    order: draw('stop-first', 'start-first'),
  }
}

/** In mode host: of a few numbers, or left to the agent. */
function drawPorts(random: SeededRandom): EndpointSpec {
  const draw = drawBy(random)
  const port = (publishedPort: number, targetPort: number): PortConfig => ({
    name: '',
    protocol: draw('tcp', 'tcp', 'udp'),
    targetPort,
    publishedPort,
    publishMode: 'host',
  })
  const first = draw(...PORTS, 0)
  return {
    ...emptyEndpointSpec,
    ports: draw<readonly PortConfig[]>([port(first, 80)], [port(first, 80), port(0, 81)]),
  }
}

/** What users change of a service; undefined where there is nothing of the kind to change. */
export type Edit = (spec: ServiceSpec, random: SeededRandom) => ServiceSpec | undefined

export const scale: Edit = (spec, random) => {
  switch (spec.mode?.kind) {
    case 'replicated': {
      const replicas = random.integer(REPLICAS_MAX + 1)
      return { ...spec, mode: { kind: 'replicated', replicated: { replicas } } }
    }
    case 'replicatedJob':
      return { ...spec, mode: drawReplicatedJob(random) }
    default:
      return undefined
  }
}

/** Another image; now and then also another check, or another way to get there. */
export const deploy: Edit = (spec, random) => {
  if (spec.task?.container === undefined) return undefined
  const healthcheck =
    random.integer(4) === 0 ? drawHealthcheck(random) : spec.task.container.healthcheck
  const container = { ...spec.task.container, image: drawImage(random), healthcheck }
  const isUpdateNew = random.integer(4) === 0 && !isJobSpec(spec)
  const update = isUpdateNew ? drawUpdate(random, 'rollback') : spec.update
  return { ...spec, update, task: { ...spec.task, container } }
}

/** Where it may run, and what it takes there. */
export const move: Edit = (spec, random) => {
  if (spec.task === undefined) return undefined
  const isGlobal = spec.mode?.kind === 'global' || spec.mode?.kind === 'globalJob'
  const placement = drawPlacement(random, isGlobal)
  const isPlacement = random.integer(2) === 0
  const resources = { ...emptyResourceRequirements, reservations: drawReservations(random) }
  return { ...spec, task: isPlacement ? { ...spec.task, placement } : { ...spec.task, resources } }
}

/** Near or far from what, over which labels, with what that only some nodes have. */
export const wish: Edit = (spec, random) => withWishes(spec, SERVICE_NAMES, random)

/** Restarts every task. */
export const force: Edit = (spec) =>
  spec.task === undefined
    ? undefined
    : { ...spec, task: { ...spec.task, forceUpdate: spec.task.forceUpdate + 1 } }

/** Nothing but its label. */
export const relabel: Edit = (spec) => spec

/** The node's spec with its label `zone`. */
export function inZone(spec: NodeSpec, zone: string): NodeSpec {
  const annotations = spec.annotations ?? emptyAnnotations
  const labels = new Map([...annotations.labels, ['zone', zone] as const])
  return { ...spec, annotations: { ...annotations, labels } }
}

export function withLabel(annotations: Annotations | undefined, label: string): Annotations {
  const before = annotations ?? emptyAnnotations
  return { ...before, labels: new Map([...before.labels, [LABEL, label]]) }
}

/** Which write the object is of; empty where no client has written it. */
export function labelOf(object: {
  readonly spec: { readonly annotations: Annotations | undefined } | undefined
}): string {
  return object.spec?.annotations?.labels.get(LABEL) ?? ''
}
