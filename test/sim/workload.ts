/**
 * The workload of a run: what users do to a simulated cluster, at managers of their choice. They
 * create services, scale and update them (also during an update), remove them and use the name
 * again; they drain, pause, label, promote, demote and remove nodes; they keep secrets and configs;
 * they list what they wrote. Every request is recorded (`checkers/history.ts`).
 */
import type { SeededRandom } from '../../lib/random.ts'
import { localCaller } from '../../manager/manager.ts'
import type { View } from '../../manager/store/view.ts'
import { emptyServiceUpdate } from '../../proto/gen/control.ts'
import type { Config, Node, Secret, Service } from '../../proto/gen/objects.ts'
import {
  emptyAnnotations,
  emptyConfigSpec,
  emptySecretSpec,
  type NodeSpec,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import type { Kind } from './checkers/history.ts'
import { bringIn } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import { Client, newCreation } from './workload/client.ts'
import { fitted, withDisconnect } from './workload/disconnect.ts'
import { asJob, isJobSpec } from './workload/jobs.ts'
import { withWishes } from './workload/placement.ts'
import {
  CONFIG_NAMES,
  deploy,
  drawServiceSpec,
  type Edit,
  force,
  inZone,
  labelOf,
  move,
  relabel,
  SECRET_NAMES,
  SERVICE_NAMES,
  scale,
  wish,
  withLabel,
  ZONES,
} from './workload/specs.ts'
import type { World } from './world.ts'

/** So many of the names are in use at once, or tasks would find no room. */
const SERVICES_MAX = 6
/** One of so many services is a job. */
const JOB_OF = 4
/** How long a removed node's host runs on before it is made anew. */
const REINSTALL_MS = 30_000

/** What the client sees, and where it asks: both of one manager, or of two. */
type Turn = { readonly at: SimNode; readonly view: View }

export class Workload {
  #world: World
  #random: SeededRandom
  #jobRandom: SeededRandom
  #disconnectRandom: SeededRandom
  #placeRandom: SeededRandom
  #client: Client
  #isOver = false
  /** Nodes that somebody is making active for the end. */
  #activating = new Set<string>()
  /** What happens how often. */
  #actions: readonly (readonly [number, (turn: Turn) => void])[] = [
    [13, (turn) => this.#createService(turn)],
    [13, (turn) => this.#updateService(turn, scale)],
    [16, (turn) => this.#updateService(turn, deploy)],
    [6, (turn) => this.#updateService(turn, move)],
    [2, (turn) => this.#updateService(turn, force)],
    [3, (turn) => this.#updateService(turn, relabel)],
    [4, (turn) => this.#runJobAnew(turn)],
    [3, (turn) => this.#updateService(turn, wish)],
    [5, (turn) => this.#rollBackService(turn)],
    [7, (turn) => this.#removeService(turn)],
    [8, (turn) => this.#changeAvailability(turn)],
    [2, (turn) => this.#changeZone(turn)],
    [2, (turn) => this.#changeRole(turn)],
    [2, (turn) => this.#removeNode(turn)],
    [9, (turn) => this.#changeData(turn)],
    [14, ({ at }) => this.#list(at)],
    [3, ({ at }) => this.#client.peek(at)],
  ]

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.split('workload')
    this.#jobRandom = this.#random.split('jobs')
    this.#disconnectRandom = world.random.split('disconnect')
    this.#placeRandom = this.#random.split('places')
    this.#client = new Client(world)
  }

  /** Operations asked for, and what became of them. */
  get counts(): Client['counts'] {
    return this.#client.counts
  }

  /** One more operation of some client; now and then two at once, at different managers. */
  next(): void {
    const seen = this.#world.anyManager()
    const view = seen?.manager?.view()
    if (seen === undefined || view === undefined) return
    const act = this.#draw()
    act({ at: seen, view })
    const other = this.#world.anyManager()
    if (this.#random.integer(6) > 0 || other === undefined) return
    act({ at: other, view })
  }

  /** For the end: every node active and every host a node; asked until it is so. */
  settle(): void {
    this.#isOver = true
    for (const { id } of this.#world.checkers.reference.view().nodes.list())
      if (this.#isAway(id)) this.#activate(id)
    for (const node of [...this.#world.nodes.values()]) this.#reinstall(node)
  }

  #isAway(nodeId: string): boolean {
    const spec = this.#world.checkers.reference.view().nodes.get(nodeId)?.spec
    return spec !== undefined && spec.availability !== 'active'
  }

  #activate(id: string): void {
    if (this.#activating.has(id)) return
    this.#activating.add(id)
    this.#world.retry(
      () => this.#world.anyManager(),
      () => {
        const node = this.#world.checkers.reference.view().nodes.get(id)
        const spec = node?.spec && { ...node.spec, availability: 'active' as const }
        const version = node?.meta?.version ?? 0
        return {
          caller: localCaller,
          body: { kind: 'nodeUpdate', nodeUpdate: { id, version, spec } },
        }
      },
      () => this.#activating.delete(id),
      () => this.#isAway(id),
    )
  }

  #draw(): (turn: Turn) => void {
    let left = this.#random.integer(this.#actions.reduce((sum, [weight]) => sum + weight, 0))
    for (const [weight, act] of this.#actions) {
      left -= weight
      if (left < 0) return act
    }
    return ({ at }) => this.#list(at)
  }

  #pick<T>(items: Iterable<T>): T | undefined {
    const list = [...items]
    return list[this.#random.integer(Math.max(1, list.length))]
  }

  // ── services ───────────────────────────────────────────────────────────────────────────────

  /** Mostly of a free name, which may have been used before; sometimes of a taken one. */
  #createService({ at, view }: Turn): void {
    const isFree = (name: string): boolean => [...view.services.by('name', name)].length === 0
    if (view.services.size >= SERVICES_MAX) {
      this.#list(at)
      return
    }
    const free = SERVICE_NAMES.filter(isFree)
    const name = this.#pick(this.#random.integer(12) === 0 ? SERVICE_NAMES : free) ?? 'web'
    const label = this.#world.history.newLabel()
    const drawn = drawServiceSpec(name, label, this.#random)
    const made = this.#jobRandom.integer(JOB_OF) === 0 ? asJob(drawn, this.#jobRandom) : drawn
    const meant = withWishes(made, SERVICE_NAMES, this.#placeRandom)
    const spec = withDisconnect(meant, this.#disconnectRandom)
    const isAgain = this.#world.history.registers.has(`service ${name}`)
    this.#client.write(at, newCreation(spec, label), () => {
      if (isAgain) this.#world.reached('O9')
    })
  }

  /** One under way is preferred: updates during updates are where it gets difficult. */
  #updateService(turn: Turn, edit: Edit, isMeant: (spec: ServiceSpec) => boolean = any): void {
    const services = [...turn.view.services.list()].filter(({ spec }) => spec && isMeant(spec))
    const updating = services.filter(isUpdating)
    const service = this.#pick(
      updating.length > 0 && this.#random.integer(2) === 0 ? updating : services,
    )
    const spec = service?.spec && edit(service.spec, this.#random)
    if (service?.spec === undefined || spec === undefined) {
      this.#list(turn.at)
      return
    }
    const { name = '' } = service.spec.annotations ?? {}
    const from = labelOf(service)
    const to = this.#world.history.nextLabel(from)
    const version = service.meta?.version ?? 0
    this.#client.write(
      turn.at,
      {
        kind: 'service',
        name,
        request: { kind: 'update', from, to },
        body: {
          kind: 'serviceUpdate',
          serviceUpdate: {
            id: service.id,
            version,
            spec: fitted({ ...spec, annotations: withLabel(spec.annotations, to) }),
            registryAuthFrom: 0,
            rollback: false,
          },
        },
        seen: { id: service.id, version },
        rollsBack: spec.update?.failureAction === 'rollback',
      },
      () => {
        if (isUpdating(service)) this.#world.reached(edit === scale ? 'O3' : 'O1')
      },
    )
  }

  /** Most jobs end soon: run again, also while they run, they meet faults again. */
  #runJobAnew(turn: Turn): void {
    const edit = this.#jobRandom.integer(3) === 0 ? scale : force
    this.#updateService(turn, edit, isJobSpec)
  }

  /** By hand, also one that is going on. */
  #rollBackService({ at, view }: Turn): void {
    const service = this.#pick(
      [...view.services.list()].filter(({ previousSpec }) => previousSpec !== undefined),
    )
    if (service === undefined) {
      this.#list(at)
      return
    }
    const version = service.meta?.version ?? 0
    this.#client.write(at, {
      kind: 'service',
      name: service.spec?.annotations?.name ?? '',
      request: { kind: 'rollback', from: labelOf(service) },
      body: {
        kind: 'serviceUpdate',
        serviceUpdate: { ...emptyServiceUpdate, id: service.id, version, rollback: true },
      },
      seen: { id: service.id, version },
    })
  }

  #removeService({ at, view }: Turn): void {
    const service = this.#pick(view.services.list())
    if (service === undefined) {
      this.#list(at)
      return
    }
    const tasks = [...view.tasks.by('service', service.id)]
    const isStarting = tasks.some(
      ({ desiredState, status }) => desiredState === 'running' && status?.state !== 'running',
    )
    this.#client.write(
      at,
      {
        kind: 'service',
        name: service.spec?.annotations?.name ?? '',
        request: { kind: 'remove', creation: labelOf(service).split('.')[0] ?? '' },
        body: { kind: 'serviceRemove', serviceRemove: { id: service.id } },
        seen: { id: service.id, version: service.meta?.version ?? 0 },
      },
      () => {
        if (isStarting) this.#world.reached('O4')
      },
    )
  }

  // ── nodes ──────────────────────────────────────────────────────────────────────────────────

  #changeAvailability({ at, view }: Turn): void {
    const availability = this.#pick(['active', 'active', 'pause', 'drain'] as const) ?? 'active'
    const node = this.#pick(view.nodes.list())
    this.#updateNode(
      at,
      node,
      (spec) => ({
        ...spec,
        availability,
        drainDeadlineMs: this.#pick([undefined, 0, 5_000, 30_000]),
      }),
      () => {
        const isDuring = [...view.services.list()].some(isUpdating)
        if (availability === 'drain' && isDuring) this.#world.reached('O5')
      },
    )
  }

  #changeZone({ at, view }: Turn): void {
    const zone = this.#pick(ZONES) ?? 'a'
    this.#updateNode(at, this.#pick(view.nodes.list()), (spec) => inZone(spec, zone))
  }

  #changeRole({ at, view }: Turn): void {
    this.#updateNode(at, this.#pick(view.nodes.list()), (spec) => ({
      ...spec,
      role: spec.role === 'manager' ? 'worker' : 'manager',
    }))
  }

  #updateNode(
    at: SimNode,
    node: Node | undefined,
    edit: (spec: NodeSpec) => NodeSpec,
    done: () => void = () => undefined,
  ): void {
    if (node?.spec === undefined) return
    const edited = edit(node.spec)
    const from = labelOf(node)
    // A node was made by its join, which no client has a label of.
    const to = this.#world.history.nextLabel(from === '' ? node.id : from)
    const version = node.meta?.version ?? 0
    this.#client.write(
      at,
      {
        kind: 'node',
        name: node.id,
        request: { kind: 'update', from, to },
        body: {
          kind: 'nodeUpdate',
          nodeUpdate: {
            id: node.id,
            version,
            spec: { ...edited, annotations: withLabel(edited.annotations, to) },
          },
        },
        seen: { id: node.id, version },
      },
      done,
    )
  }

  /** A worker that is down, or any by force; its host becomes another node later. */
  #removeNode({ at, view }: Turn): void {
    const workers = [...view.nodes.list()].filter(({ member }) => member === undefined)
    const down = workers.filter(({ status }) => status?.state === 'down')
    const isForced = this.#random.integer(3) === 0
    const node = this.#pick(isForced ? workers : down)
    if (node === undefined) {
      this.#list(at)
      return
    }
    this.#client.write(
      at,
      {
        kind: 'node',
        name: node.id,
        request: { kind: 'remove', creation: labelOf(node).split('.')[0] ?? '' },
        body: { kind: 'nodeRemove', nodeRemove: { id: node.id, force: isForced } },
        seen: { id: node.id, version: node.meta?.version ?? 0 },
      },
      () =>
        this.#world.schedule.after(this.#random.fraction() * REINSTALL_MS, () => {
          const host = this.#world.nodes.get(node.id)
          if (host !== undefined && !this.#isOver) this.#reinstall(host)
        }),
    )
  }

  /** A host whose node was removed begins anew: nothing of it is left, and it joins as another. */
  #reinstall(host: SimNode): void {
    const isMember = this.#world.checkers.reference.view().nodes.get(host.id) !== undefined
    if (isMember || !this.#world.checkers.wasNode(host.id)) return
    this.#world.trace(`${host.id} is made anew`)
    host.crash('none')
    host.runtime.powerCut()
    this.#world.nodes.delete(host.id)
    this.#world.retired.add(host.id)
    bringIn(this.#world, 'worker')
  }

  // ── secrets and configs ────────────────────────────────────────────────────────────────────

  #changeData(turn: Turn): void {
    const kind = this.#random.integer(2) === 0 ? 'secret' : 'config'
    const names = kind === 'secret' ? SECRET_NAMES : CONFIG_NAMES
    const name = this.#pick<string>(names) ?? ''
    const table = kind === 'secret' ? turn.view.secrets : turn.view.configs
    const [object] = table.by('name', name)
    if (object === undefined) this.#createData(turn.at, kind, name)
    else this.#editData(turn.at, kind, object)
  }

  #createData(at: SimNode, kind: 'secret' | 'config', name: string): void {
    const label = this.#world.history.newLabel()
    const annotations = withLabel({ ...emptyAnnotations, name }, label)
    const data = new Uint8Array([1, 2, 3])
    this.#client.write(at, {
      kind,
      name,
      request: { kind: 'create', label },
      body:
        kind === 'secret'
          ? {
              kind: 'secretCreate',
              secretCreate: { spec: { ...emptySecretSpec, annotations, data } },
            }
          : {
              kind: 'configCreate',
              configCreate: { spec: { ...emptyConfigSpec, annotations, data } },
            },
      seen: undefined,
    })
  }

  #editData(at: SimNode, kind: 'secret' | 'config', object: Secret | Config): void {
    const { id, spec } = object
    const name = spec?.annotations?.name ?? ''
    const from = labelOf(object)
    const version = object.meta?.version ?? 0
    const seen = { id, version }
    if (this.#random.integer(3) === 0) {
      this.#client.write(at, {
        kind,
        name,
        request: { kind: 'remove', creation: from.split('.')[0] ?? '' },
        body:
          kind === 'secret'
            ? { kind: 'secretRemove', secretRemove: { id } }
            : { kind: 'configRemove', configRemove: { id } },
        seen,
      })
      return
    }
    const to = this.#world.history.nextLabel(from)
    const changed = {
      id,
      version,
      spec: { annotations: withLabel(spec?.annotations, to), data: new Uint8Array() },
    }
    this.#client.write(at, {
      kind,
      name,
      request: { kind: 'update', from, to },
      body:
        kind === 'secret'
          ? { kind: 'secretUpdate', secretUpdate: changed }
          : { kind: 'configUpdate', configUpdate: changed },
      seen,
    })
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────

  /** What there is of a kind: each name is found with its last write, or missed. */
  #list(at: SimNode): void {
    const kind = this.#pick<Kind>(['service', 'service', 'node', 'secret', 'config']) ?? 'service'
    this.#client.list(at, kind, this.#namesOf(kind))
  }

  #namesOf(kind: Kind): readonly string[] {
    switch (kind) {
      case 'service':
        return SERVICE_NAMES
      case 'secret':
        return SECRET_NAMES
      case 'config':
        return CONFIG_NAMES
      case 'node':
        return [...this.#world.checkers.reference.view().nodes.list()].map(({ id }) => id)
      default:
        return kind satisfies never
    }
  }
}

function any(): boolean {
  return true
}

function isUpdating(service: Service): boolean {
  return service.updateStatus?.state === 'updating'
}
