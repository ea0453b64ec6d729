/**
 * The clients of a simulated cluster: they create, scale, update and remove services, drain and
 * activate nodes, and read what they wrote. What is acknowledged is handed to the checkers.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { SeededRandom } from '../../lib/random.ts'
import { localCaller } from '../../manager/manager.ts'
import type { Store } from '../../manager/store/store.ts'
import type { WriteRequest } from '../../proto/gen/control.ts'
import type { Node, Service } from '../../proto/gen/objects.ts'
import {
  emptyAnnotations,
  emptyContainerSpec,
  emptyResourceRequirements,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import { emptyResources } from '../../proto/gen/types.ts'
import type { World } from './world.ts'

const SERVICES_MAX = 6
const REPLICAS_MAX = 6

export class Workload {
  #world: World
  #random: SeededRandom
  #names = 0
  /** Operations asked for, and those that got an answer. */
  readonly counts = { asked: 0, acknowledged: 0, refused: 0, unknown: 0 }

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.split('workload')
  }

  /** One more operation of some client, at a manager of its choice. */
  next(): void {
    const node = this.#world.anyManager()
    const view = node?.manager?.view()
    if (node === undefined || view === undefined) return
    const services = [...view.services.list()]
    const service = services[this.#random.integer(Math.max(1, services.length))]
    const dice = this.#random.integer(100)
    if (services.length === 0 || (dice < 25 && services.length < SERVICES_MAX)) this.#create()
    else if (service === undefined) return
    else if (dice < 50) this.#update(service, scaled(service.spec, this.#random))
    else if (dice < 70) this.#update(service, updated(service.spec, this.#random))
    else if (dice < 78) this.#remove(service)
    else if (dice < 88) this.#changeNode([...view.nodes.list()])
    else this.#read()
  }

  #create(): void {
    const name = `service-${++this.#names}`
    const isGlobal = this.#random.integer(5) === 0
    const spec: ServiceSpec = {
      ...emptyServiceSpec,
      annotations: { ...emptyAnnotations, name },
      task: {
        ...emptyTaskSpec,
        container: { ...emptyContainerSpec, image: 'busybox:1' },
        resources: {
          ...emptyResourceRequirements,
          reservations: { ...emptyResources, nanoCpus: this.#random.integer(3) * 5e8 },
        },
      },
      mode: isGlobal
        ? { kind: 'global', global: {} }
        : { kind: 'replicated', replicated: { replicas: 1 + this.#random.integer(REPLICAS_MAX) } },
      update: {
        ...emptyUpdateConfig,
        parallelism: this.#random.integer(3),
        delayMs: this.#random.integer(3) * 500,
        monitorMs: 1_000,
        failureAction: this.#random.integer(2) === 0 ? 'pause' : 'continue',
        order: this.#random.integer(2) === 0 ? 'stop-first' : 'start-first',
      },
    }
    this.#ask(
      { kind: 'serviceCreate', serviceCreate: { spec } },
      `service ${name}`,
      (store) => [...store.view().services.by('name', name)].length > 0 || this.#removed.has(name),
    )
  }

  /** Names whose removal was asked for: their absence is no loss. */
  #removed = new Set<string>()

  #update(service: Service, spec: ServiceSpec | undefined): void {
    if (spec === undefined) return
    const version = service.meta?.version ?? 0
    this.#ask(
      {
        kind: 'serviceUpdate',
        serviceUpdate: { id: service.id, version, spec, registryAuthFrom: 0 },
      },
      `update of ${service.id}`,
      (store) => {
        const now = store.view().services.get(service.id)
        return now === undefined || (now.meta?.version ?? 0) > version
      },
      (index) => this.#world.checkers.updated(service.id, index, version),
    )
  }

  #remove(service: Service): void {
    this.#removed.add(service.spec?.annotations?.name ?? '')
    this.#ask(
      { kind: 'serviceRemove', serviceRemove: { id: service.id } },
      `removal of ${service.id}`,
      (store) => store.view().services.get(service.id) === undefined,
    )
  }

  #changeNode(nodes: readonly Node[]): void {
    const node = nodes[this.#random.integer(Math.max(1, nodes.length))]
    if (node?.spec === undefined) return
    const availability = (['active', 'active', 'pause', 'drain'] as const)[this.#random.integer(4)]
    if (availability === undefined) return
    const version = node.meta?.version ?? 0
    this.#ask(
      {
        kind: 'nodeUpdate',
        nodeUpdate: { id: node.id, version, spec: { ...node.spec, availability } },
      },
      `availability of ${node.id}`,
      (store) => (store.view().nodes.get(node.id)?.meta?.version ?? 0) >= version,
    )
  }

  /** A linearizable read sees at least what was committed when it began. */
  #read(): void {
    const from = this.#world.checkers.acknowledgedIndex
    this.#world.anyManager()?.read((outcome) => {
      if (outcome instanceof SwarmError) return
      if (outcome < from)
        this.#world.violation(
          `S10: a read at index ${outcome} missed a write acknowledged at ${from}`,
        )
    })
  }

  #ask(
    body: NonNullable<WriteRequest['body']>,
    what: string,
    holds: (store: Store) => boolean,
    acknowledged: (index: number) => void = () => undefined,
  ): void {
    this.counts.asked++
    this.#world.trace(`client asks ${what}`)
    this.#world.anyManager()?.write({ caller: localCaller, body }, false, (outcome) => {
      if (!(outcome instanceof SwarmError)) {
        this.counts.acknowledged++
        this.#world.checkers.acknowledged(outcome.index, holds, what)
        acknowledged(outcome.index)
      } else if (outcome.message.includes('outcome unknown')) {
        this.counts.unknown++
      } else {
        this.counts.refused++
      }
    })
  }

  /** For the end: every service as it should be, and every node active. */
  settle(): void {
    const view = this.#world.checkers.reference.view()
    for (const node of view.nodes.list())
      if (node.spec !== undefined && node.spec.availability !== 'active')
        this.#world.retry(() => this.#world.anyManager(), {
          caller: localCaller,
          body: {
            kind: 'nodeUpdate',
            nodeUpdate: {
              id: node.id,
              version: node.meta?.version ?? 0,
              spec: { ...node.spec, availability: 'active' },
            },
          },
        })
  }
}

function scaled(spec: ServiceSpec | undefined, random: SeededRandom): ServiceSpec | undefined {
  if (spec?.mode?.kind !== 'replicated') return undefined
  const replicas = random.integer(REPLICAS_MAX + 1)
  return { ...spec, mode: { kind: 'replicated', replicated: { replicas } } }
}

function updated(spec: ServiceSpec | undefined, random: SeededRandom): ServiceSpec | undefined {
  if (spec?.task?.container === undefined) return undefined
  const image = `busybox:${random.integer(1_000)}`
  return { ...spec, task: { ...spec.task, container: { ...spec.task.container, image } } }
}
