/**
 * Client: one request of a simulated user at one manager, recorded in the history with what came of
 * it, and handed to the checkers when it was acknowledged. What to ask is the workload's.
 */
import { SwarmError } from '../../../lib/errors.ts'
import { serviceStatusToJson } from '../../../manager/api/http/service-status.ts'
import { localCaller } from '../../../manager/manager.ts'
import type { View } from '../../../manager/store/view.ts'
import type { WriteReply, WriteRequest } from '../../../proto/gen/control.ts'
import type { Service } from '../../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../../proto/gen/specs.ts'
import type { Answer, Kind, Request } from '../checkers/history.ts'
import { countDone } from '../checkers/jobs.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import { labelOf } from './specs.ts'

const TABLES = {
  service: 'services',
  node: 'nodes',
  secret: 'secrets',
  config: 'configs',
} as const satisfies Readonly<Record<Kind, keyof View>>

export type Write = {
  readonly kind: Kind
  /** The register: a node's id, another object's name. */
  readonly name: string
  readonly request: Request
  readonly body: NonNullable<WriteRequest['body']>
  /** The object that it is about, and the version that the client saw; of a creation, none. */
  readonly seen: { readonly id: string; readonly version: number } | undefined
  /** The cluster may go back from it by itself. */
  readonly rollsBack?: boolean
  /** Is told of the refusal, or that nobody knows what came of it. */
  readonly onRefused?: (error: SwarmError) => void
}

export type Creation = Write & {
  readonly request: { readonly kind: 'create'; readonly label: string }
}

/** A service of this spec, whose label stands in it. */
export function newCreation(spec: ServiceSpec, label: string): Creation {
  return {
    kind: 'service',
    name: spec.annotations?.name ?? '',
    request: { kind: 'create', label },
    body: { kind: 'serviceCreate', serviceCreate: { spec } },
    seen: undefined,
  }
}

export class Client {
  readonly counts = { asked: 0, acknowledged: 0, refused: 0, unknown: 0 }
  #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** `done` is called when it was acknowledged. */
  write(at: SimNode, write: Write, done: (reply: WriteReply) => void = () => undefined): void {
    const { kind, name, request } = write
    this.counts.asked++
    this.#world.trace(
      `client asks ${at.id} to ${request.kind} ${kind} ${name} ${targetOf(request)}`,
    )
    const { history } = this.#world
    if (write.rollsBack === true && 'to' in request) history.rollsBack.add(request.to)
    const call = history.begin(kind, name, request)
    at.write({ caller: localCaller, body: write.body }, false, (outcome) => {
      const answer = answerOf(outcome)
      this.#world.trace(
        `client has ${answer?.kind ?? 'no answer'} of ${kind} ${name} ${targetOf(request)}`,
      )
      if (answer === undefined) history.drop(kind, name, call)
      else history.end(call, answer)
      if (outcome instanceof SwarmError) {
        if (answer?.kind === 'unknown') this.counts.unknown++
        else this.counts.refused++
        write.onRefused?.(outcome)
        return
      }
      this.counts.acknowledged++
      const id = write.seen?.id ?? outcome.id
      const seen = request.kind === 'remove' ? undefined : write.seen?.version
      this.#world.checkers.acknowledged(outcome.index, { table: TABLES[kind], id, seen })
      done(outcome)
    })
  }

  /** Reads all objects of a kind, linearizably; `names` are those it expects to find or to miss. */
  list(at: SimNode, kind: Kind, names: readonly string[]): void {
    this.counts.asked++
    const calls = names.map(
      (name) => [name, this.#world.history.begin(kind, name, { kind: 'read' })] as const,
    )
    const began = this.#world.checkers.readBegins()
    at.read((outcome) => {
      const view = at.manager?.view()
      if (outcome instanceof SwarmError || view === undefined) {
        this.counts.refused++
        for (const [name, call] of calls) this.#world.history.drop(kind, name, call)
        return
      }
      this.counts.acknowledged++
      this.#world.checkers.readAnswered(at, Math.min(outcome, view.index), began)
      for (const [name, call] of calls)
        this.#world.history.end(call, { kind: 'value', label: findLabel(view, kind, name) })
    })
  }

  /** A read of what the manager has, whoever leads: old perhaps, but nothing that never was. */
  peek(at: SimNode): void {
    this.counts.asked++
    const view = at.manager?.view()
    if (view === undefined) return
    this.counts.acknowledged++
    for (const table of Object.values(TABLES))
      for (const object of view[table].list()) {
        const label = labelOf(object)
        if (label !== '' && !this.#world.history.labels.has(label))
          this.#world.violation(
            `S10: ${at.id} has ${table} ${object.id} with ${label}, which nobody wrote`,
          )
      }
    for (const service of view.services.list()) this.#checkDone(view, service)
  }

  /** J2: what a user is told of a job counts each of its slots once. */
  #checkDone(view: View, service: Service): void {
    if (service.jobStatus === undefined) return
    const told = serviceStatusToJson(view, service)['CompletedTasks']
    const done = countDone(view, service)
    if (told !== done)
      this.#world.violation(
        `J2: job ${service.id} is said to be done ${told} times, and is ${done}`,
      )
  }
}

export function findLabel(view: View, kind: Kind, name: string): string {
  if (kind === 'node') {
    const node = view.nodes.get(name)
    return node === undefined ? '' : labelOf(node)
  }
  const [object] = view[TABLES[kind]].by('name', name)
  return object === undefined ? '' : labelOf(object)
}

/** What the outcome says about the register; undefined when nothing was evaluated. */
function answerOf(outcome: WriteReply | SwarmError): Answer | undefined {
  if (!(outcome instanceof SwarmError)) return { kind: 'done' }
  switch (outcome.code) {
    case 'already-exists':
      return { kind: 'exists' }
    case 'not-found':
      return { kind: 'missing' }
    case 'aborted':
      return { kind: 'changed' }
    case 'unavailable':
    case 'deadline-exceeded':
      return outcome.retriable ? undefined : { kind: 'unknown' }
    default:
      return undefined
  }
}

function targetOf(request: Request): string {
  switch (request.kind) {
    case 'create':
      return request.label
    case 'update':
      return `${request.from}>${request.to}`
    case 'rollback':
      return `${request.from}>`
    case 'remove':
      return request.creation
    case 'read':
    case 'restore':
      return ''
    default:
      return request satisfies never
  }
}
