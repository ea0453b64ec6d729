/**
 * Faults of orchestration (peers.md 3.3, O): what clients and faults do at bad moments. Most comes about
 * by the workload and is counted where it is seen (`checkers/happenings.ts`); here is what wants a
 * moment of its own.
 */
import { emptyServiceUpdate, type WriteReply } from '../../../proto/gen/control.ts'
import type { Node, Service } from '../../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../../proto/gen/specs.ts'
import { creationOf } from '../checkers/history.ts'
import { Client, type Creation, newCreation, type Write } from '../workload/client.ts'
import { labelOf, withLabel } from '../workload/specs.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'
import { crash } from './process.ts'

/** How closely and how long a moment is waited for. */
const LOOK_MS = 20
const WAIT_MS = 20_000

export const orchestrationFaults: readonly Fault[] = [
  { name: 'leader dies in an update', classes: [], weight: 1, act: killLeaderInUpdate },
  { name: 'node drained in an update', classes: [], weight: 1, act: drainInUpdate },
  { name: 'crash loop', classes: [], weight: 0.5, act: loopService },
  { name: 'service made anew', classes: [], weight: 0.5, act: recreate },
  { name: 'service removed while it is made', classes: [], weight: 0.5, act: removeEarly },
]

/** At some step of a rolling update: right after one more of its tasks is committed as running. */
function killLeaderInUpdate(context: FaultContext): boolean {
  const { world, random } = context
  const service = beginUpdate(context)
  if (service === undefined) return false
  let stepsLeft = random.integer(4)
  let before = -1
  wait(context, () => {
    const updated = countUpdated(world, service.id)
    if (updated === before) return false
    before = updated
    if (stepsLeft-- > 0) return false
    const leader = world.findLeader()
    if (leader !== undefined) crash(context, leader)
    return true
  })
  return true
}

/** A node on which a task of the update has just begun. */
function drainInUpdate(context: FaultContext): boolean {
  const { world } = context
  const service = beginUpdate(context)
  if (service === undefined) return false
  wait(context, () => {
    const view = world.checkers.reference.view()
    const now = view.services.get(service.id)
    if (now?.updateStatus?.state !== 'updating') return false
    for (const task of view.tasks.by('service', service.id)) {
      const node = view.nodes.get(task.nodeId)
      if (task.specVersion !== now.specVersion || node?.spec === undefined) continue
      drain(world, node)
      return true
    }
    return false
  })
  return true
}

function drain(world: World, node: Node): void {
  if (node.spec === undefined) return
  const from = labelOf(node)
  // A node was made by its join, which no client has a label of.
  const to = world.history.nextLabel(from === '' ? node.id : from)
  const annotations = withLabel(node.spec.annotations, to)
  const spec = { ...node.spec, annotations, availability: 'drain' as const }
  const seen = { id: node.id, version: node.meta?.version ?? 0 }
  ask(world, {
    kind: 'node',
    name: node.id,
    request: { kind: 'update', from, to },
    body: { kind: 'nodeUpdate', nodeUpdate: { ...seen, spec } },
    seen,
  })
}

/** Its containers end right after their start for a while, those of an update of it as well. */
function loopService(context: FaultContext): boolean {
  const { world, random } = context
  const service = beginUpdate(context)
  if (service === undefined) return false
  world.crashLoops.add(service.id)
  // Ends also when the cluster is healed meanwhile: tasks that end for ever never converge.
  world.schedule.after(5_000 + random.integer(25_000), () => world.crashLoops.delete(service.id))
  return true
}

/** Removed, and made again under the same name at once. */
function recreate(context: FaultContext): boolean {
  const { world } = context
  const service = pickService(context)
  if (service?.spec === undefined) return false
  const { spec } = service
  ask(world, removalOf(service.id, spec.annotations?.name ?? '', labelOf(service)), () =>
    ask(world, creationLike(world, spec)),
  )
  return true
}

/** Another one like it, removed as soon as it has been made. */
function removeEarly(context: FaultContext): boolean {
  const { world, random } = context
  const service = pickService(context)
  if (service?.spec?.annotations === undefined) return false
  const name = `brief-${random.integer(2 ** 32)}`
  const annotations = { ...service.spec.annotations, name }
  const creation = creationLike(world, { ...service.spec, annotations })
  ask(world, creation, ({ id }) => {
    world.schedule.after(random.integer(800), () =>
      ask(world, removalOf(id, name, creation.request.label)),
    )
  })
  return true
}

function creationLike(world: World, like: ServiceSpec): Creation {
  const label = world.history.newLabel()
  return newCreation({ ...like, annotations: withLabel(like.annotations, label) }, label)
}

function removalOf(id: string, name: string, label: string): Write {
  return {
    kind: 'service',
    name,
    request: { kind: 'remove', creation: creationOf(label) },
    body: { kind: 'serviceRemove', serviceRemove: { id } },
    seen: { id, version: 0 },
  }
}

/** Some replicated service with a new image from now on. */
function beginUpdate(context: FaultContext): Service | undefined {
  const { world, random } = context
  const service = pickService(context)
  const container = service?.spec?.task?.container
  if (service?.spec?.task === undefined || container === undefined) return undefined
  const image = `busybox:u${random.integer(1_000)}`
  const { annotations } = service.spec
  const from = labelOf(service)
  const to = world.history.nextLabel(from)
  const spec = {
    ...service.spec,
    annotations: withLabel(annotations, to),
    task: { ...service.spec.task, container: { ...container, image } },
  }
  const seen = { id: service.id, version: service.meta?.version ?? 0 }
  ask(world, {
    kind: 'service',
    name: annotations?.name ?? '',
    request: { kind: 'update', from, to },
    body: { kind: 'serviceUpdate', serviceUpdate: { ...emptyServiceUpdate, ...seen, spec } },
    seen,
    rollsBack: spec.update?.failureAction === 'rollback',
  })
  return service
}

function pickService({ world, random }: FaultContext): Service | undefined {
  const services = [...world.checkers.reference.view().services.list()].filter(
    ({ spec }) => spec?.mode?.kind === 'replicated' && spec.mode.replicated.replicas > 0,
  )
  return services[random.integer(Math.max(1, services.length))]
}

function countUpdated(world: World, serviceId: string): number {
  const view = world.checkers.reference.view()
  const version = view.services.get(serviceId)?.specVersion
  let count = 0
  for (const task of view.tasks.by('service', serviceId))
    if (task.specVersion === version && task.status?.state === 'running') count++
  return count
}

/** Until it is done or has been waited for long enough. */
function wait({ world, later }: FaultContext, isDone: () => boolean): void {
  const untilMs = world.schedule.nowMs + WAIT_MS
  const look = (): void => {
    if (world.schedule.nowMs < untilMs && !isDone()) later(LOOK_MS, look)
  }
  look()
}

/** At any manager, by a client like any other: its history knows what came of it. */
function ask(
  world: World,
  write: Write,
  done: (reply: WriteReply) => void = () => undefined,
): void {
  const manager = world.anyManager()
  if (manager !== undefined) new Client(world).write(manager, write, done)
}
