/**
 * Recording clients: on every host writers that update configs by version and readers that read and
 * list them, and a creator, each one request at a time. What they ask and are answered stands in a
 * history of the simulator's kind, where each config is a register; what was acknowledged, and when,
 * stands beside it. Whether that may be is judged by `judgement.ts`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type ApiAnswer, callApi } from '../../../deploy/quickstart/api.ts'
import type { Host } from '../../../deploy/quickstart/cluster.ts'
import { type Answer, History, type Request } from '../../sim/checkers/history.ts'
import { asJson, asList, type Cluster, messageOf } from '../cluster.ts'

/** Longer than any pause of a daemon, so that what it says afterwards is heard. */
const ANSWER_MS = 40_000
const THINK_MS = 8
/** After a refusal or a broken connection. */
const BACKOFF_MS = 100
/** So that several clients are at one register at the same time. */
const REGISTERS = 5
const CREATE_MS = 150

type Register = { readonly name: string; readonly id: string; readonly text: string }
type Seen = { readonly label: string; readonly version: number }

export class Clients {
  readonly history: History = new History()
  /** When writes were acknowledged; `performance.now()`. */
  readonly acknowledgedMs: number[] = []
  /** Configs whose creation was acknowledged. */
  readonly created: string[] = []
  readonly #cluster: Cluster
  readonly #prefix: string
  #registers: readonly Register[] = []
  #running: Promise<void>[] = []
  #isStopped = false

  constructor(cluster: Cluster, prefix: string) {
    this.#cluster = cluster
    this.#prefix = prefix
  }

  /** Registers are there, and clients at work on every host. */
  async start(): Promise<void> {
    const registers: Register[] = []
    for (let at = 0; at < REGISTERS; at++) registers.push(await this.#createRegister(at))
    this.#registers = registers
    for (const [at, host] of this.#cluster.hosts.entries()) {
      this.#run((count) => this.#update(host, this.#registerAt(at + count)))
      this.#run((count) => this.#read(host, this.#registerAt(2 * at + count)))
      this.#run(() => this.#list(host))
    }
    this.#run((count) =>
      this.#create(this.#cluster.hosts[count % this.#cluster.hosts.length], count),
    )
  }

  /** No client is at work any more, and every request has been answered or given up. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  /** Every register was asked for on this host; false where one was not answered. */
  async readAll(host: Host): Promise<boolean> {
    const seen = await Promise.all(this.#registers.map((register) => this.#read(host, register)))
    return !seen.includes(undefined)
  }

  /** Acknowledged so far. */
  get writes(): number {
    return this.acknowledgedMs.length
  }

  #registerAt(at: number): Register {
    const register = this.#registers[at % this.#registers.length]
    if (register === undefined) throw new Error('there are no registers')
    return register
  }

  #run(step: (count: number) => Promise<unknown>): void {
    const work = async (): Promise<void> => {
      for (let count = 0; !this.#isStopped; count++) {
        const done = await step(count)
        await delay(done === undefined ? BACKOFF_MS : THINK_MS)
      }
    }
    this.#running.push(work())
  }

  async #createRegister(at: number): Promise<Register> {
    const name = `${this.#prefix}-register-${at}`
    const host = this.#cluster.host(1)
    const label = this.history.newLabel()
    const call = this.history.begin('config', name, { kind: 'create', label })
    const text = Buffer.from(name).toString('base64')
    const body = { Name: name, Labels: { label }, Data: text }
    const created = await this.#cluster.call(host, 'POST', '/configs/create', body)
    this.history.end(call, { kind: 'done' })
    return { name, id: String(asJson(created)['ID']), text }
  }

  /** The register gets a new label if it still has the one that was read. */
  async #update(host: Host, register: Register): Promise<true | undefined> {
    const seen = await this.#read(host, register)
    if (seen === undefined) return undefined
    const to = this.history.nextLabel(seen.label)
    const answer = await this.#ask(register.name, { kind: 'update', from: seen.label, to }, () =>
      callApi({
        socket: host.socket,
        method: 'POST',
        path: `/configs/${register.id}/update?version=${seen.version}`,
        body: { Name: register.name, Labels: { label: to }, Data: register.text },
        timeoutMs: ANSWER_MS,
      }),
    )
    if (answer.kind === 'done') this.acknowledgedMs.push(performance.now())
    return answer.kind === 'unknown' ? undefined : true
  }

  async #ask(name: string, request: Request, send: () => Promise<ApiAnswer>): Promise<Answer> {
    const call = this.history.begin('config', name, request)
    try {
      const answer = answerOf(await send())
      this.history.end(call, answer)
      return answer
    } catch (error) {
      if (wasNeverSent(error)) this.history.drop('config', name, call)
      return { kind: 'unknown' }
    }
  }

  async #read(host: Host, { name, id }: Register): Promise<Seen | undefined> {
    const call = this.history.begin('config', name, { kind: 'read' })
    const answer = await get(host, `/configs/${id}`)
    const seen = answer?.status === 200 ? seenOf(answer.body) : undefined
    const label = answer?.status === 404 ? '' : seen?.label
    if (label === undefined) this.history.drop('config', name, call)
    else this.history.end(call, { kind: 'value', label })
    return seen
  }

  /** A list is a read of every register at one moment. */
  async #list(host: Host): Promise<true | undefined> {
    const calls = this.#registers.map(({ name }) => ({
      name,
      call: this.history.begin('config', name, { kind: 'read' }),
    }))
    const answer = await get(host, '/configs')
    if (answer?.status !== 200) {
      for (const { name, call } of calls) this.history.drop('config', name, call)
      return undefined
    }
    const labels = new Map(
      asList(answer.body).map((config) => [nameOf(config), seenOf(config).label]),
    )
    for (const { name, call } of calls)
      this.history.end(call, { kind: 'value', label: labels.get(name) ?? '' })
    return true
  }

  async #create(host: Host | undefined, count: number): Promise<true | undefined> {
    if (host === undefined) return undefined
    await delay(CREATE_MS)
    const name = `${this.#prefix}-${count}`
    const answer = await callApi({
      ...{ socket: host.socket, method: 'POST', path: '/configs/create', timeoutMs: ANSWER_MS },
      body: { Name: name, Data: Buffer.from(name).toString('base64') },
    }).catch(() => undefined)
    if (answer?.status !== 201) return undefined
    this.created.push(name)
    this.acknowledgedMs.push(performance.now())
    return true
  }
}

/** Names of all configs, as the host has them; throws where it does not answer. */
export async function listNames(host: Host): Promise<ReadonlySet<string>> {
  const answer = await get(host, '/configs')
  if (answer?.status !== 200) throw new Error(`configs cannot be listed on ${host.name}`)
  return new Set(asList(answer.body).map(nameOf))
}

function get(host: Host, path: string): Promise<ApiAnswer | undefined> {
  return callApi({ socket: host.socket, path, timeoutMs: ANSWER_MS }).catch(() => undefined)
}

function seenOf(config: unknown): Seen {
  const { Spec, Version } = asJson(config)
  return {
    label: String(asJson(asJson(Spec)['Labels'])['label'] ?? ''),
    version: Number(asJson(Version)['Index']),
  }
}

function nameOf(config: unknown): string {
  return String(asJson(asJson(config)['Spec'])['Name'])
}

function answerOf({ status, body }: ApiAnswer): Answer {
  if (status < 300) return { kind: 'done' }
  if (status === 404) return { kind: 'missing' }
  return messageOf(body).includes('update out of sequence')
    ? { kind: 'changed' }
    : { kind: 'unknown' }
}

/** Nobody listens: the request cannot have been carried out. */
function wasNeverSent(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ECONNREFUSED' || code === 'ENOENT'
}
