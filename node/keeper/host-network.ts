/**
 * The network of this node's tasks as the daemon holds it: which task has which link and ports, and
 * that the kernel agrees. It gives out addresses, and carries out changes one round at a time: what
 * is asked while a round runs goes into the next one together. Links of an earlier daemon are
 * adopted from the kernel, published ports from the keeper; both are removed only when the tasks
 * that live are known (`retain`). What a plan is made of is `agent/network`'s.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  diffNetwork,
  type KnownNetwork,
  type RemovedLink,
  removeNetwork,
} from '../../agent/network/diff.ts'
import type { Kernel, KernelView } from '../../agent/network/kernel.ts'
import { namespaceName } from '../../agent/network/names.ts'
import {
  type NetworkPlan,
  type PublishedPort,
  planNetwork,
  type TaskLink,
} from '../../agent/network/plan.ts'
import { choosePool, findFreeAddress, poolOf } from '../../agent/network/pool.ts'
import { defined } from '../../lib/assert.ts'
import { SwarmError } from '../../lib/errors.ts'
import { Fields } from './fields.ts'

export type HostNetworkOptions = {
  readonly kernel: Kernel
  readonly hash: string
  /** The pool is remembered here. */
  readonly stateDirectory: string
  /** Ports that the keeper holds for tasks, by task. */
  readonly published: ReadonlyMap<string, readonly PublishedPort[]>
}

/** Reads what the kernel holds and sees to gateway and rules; tasks' links stay as they are. */
export async function openHostNetwork(options: HostNetworkOptions): Promise<HostNetwork> {
  const view = await options.kernel.read()
  const network = new HostNetwork(options, view)
  await network.settle()
  return network
}

export class HostNetwork {
  readonly #options: HostNetworkOptions
  readonly #pool: string
  readonly #mtu: number
  readonly #isDockerInTheWay: boolean
  readonly #links: Map<string, TaskLink>
  readonly #ports: Map<string, readonly PublishedPort[]>
  #known: KnownNetwork
  /** Parts of links that somebody left behind. */
  #remains: readonly RemovedLink[]
  /** The tasks that live, once that is known: the remains of others go. */
  #live: ReadonlySet<string> | undefined
  #lastAddress: string | undefined
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(options: HostNetworkOptions, view: KernelView) {
    this.#options = options
    this.#pool = this.#findPool(view)
    this.#mtu = view.mtu
    this.#isDockerInTheWay = view.isDockerInTheWay
    this.#links = new Map(view.links.map((link) => [link.taskId, link]))
    this.#ports = new Map(options.published)
    this.#known = { links: view.links, host: undefined }
    this.#remains = view.remains
  }

  /** The task's link, there before or made now. */
  async attach(taskId: string): Promise<{ readonly address: string; readonly namespace: string }> {
    const link = this.#links.get(taskId) ?? this.#newLink(taskId)
    this.#links.set(taskId, link)
    await this.settle().catch((error: unknown) => {
      // Another task's change failed, or this one's: then nothing of it is wanted any more.
      if (this.#known.links.some((known) => known.taskId === taskId)) return
      this.#links.delete(taskId)
      throw error
    })
    return { address: link.address, namespace: namespaceName(this.#options.hash, taskId) }
  }

  /** The task's link and namespace are gone. */
  async detach(taskId: string): Promise<void> {
    this.#links.delete(taskId)
    await this.settle()
  }

  /** The ports lead to the task. */
  async publish(taskId: string, ports: readonly PublishedPort[]): Promise<void> {
    this.#ports.set(taskId, ports)
    await this.settle()
  }

  async unpublish(taskId: string): Promise<void> {
    if (!this.#ports.delete(taskId)) return
    await this.settle()
  }

  /** Links, namespaces and ports of all other tasks are gone. */
  async retain(taskIds: ReadonlySet<string>): Promise<void> {
    this.#live = taskIds
    for (const taskId of this.#links.keys()) if (!taskIds.has(taskId)) this.#links.delete(taskId)
    for (const taskId of this.#ports.keys()) if (!taskIds.has(taskId)) this.#ports.delete(taskId)
    await this.settle()
  }

  /** Nothing of this host is left in the kernel. */
  async remove(): Promise<void> {
    await this.#running.catch(() => undefined)
    const view = await this.#options.kernel.read()
    const plan = { ...this.#plan(), links: view.links }
    await this.#options.kernel.apply([...view.remains, ...removeNetwork(plan)])
  }

  /** What was asked until now is carried out. Throws SwarmError where it could not be. */
  settle(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#running = defined(this.#next, 'a round begins once')
        this.#next = undefined
        return this.#carryOut()
      })
    return this.#next
  }

  async #carryOut(): Promise<void> {
    const plan = this.#plan()
    const remains = this.#remains.filter((part) => this.#isDue(part, plan))
    const changes = [...remains, ...diffNetwork(this.#known, plan)]
    if (changes.length === 0) return
    try {
      await this.#options.kernel.apply(changes)
      this.#known = { links: plan.links, host: plan }
      this.#remains = this.#remains.filter((part) => !remains.includes(part))
    } catch (error) {
      const view = await this.#options.kernel.read()
      this.#known = { links: view.links, host: undefined }
      this.#remains = view.remains
      throw error
    }
  }

  #plan(): NetworkPlan {
    return planNetwork({
      hash: this.#options.hash,
      pool: this.#pool,
      links: [...this.#links.values()],
      ports: [...this.#ports.values()].flat(),
      isDockerInTheWay: this.#isDockerInTheWay,
    })
  }

  /** A part of a link goes when its task is dead, or about to get a whole one. */
  #isDue(part: RemovedLink, plan: NetworkPlan): boolean {
    const nameOf = (taskId: string): string => namespaceName(this.#options.hash, taskId)
    if (part.namespace === '') return true
    if (plan.links.some((link) => nameOf(link.taskId) === part.namespace)) return true
    return this.#live !== undefined && ![...this.#live].map(nameOf).includes(part.namespace)
  }

  #newLink(taskId: string): TaskLink {
    const taken = new Set([...this.#links.values()].map((link) => link.address))
    const address = findFreeAddress(this.#pool, taken, this.#lastAddress)
    if (address === undefined) {
      throw new SwarmError('resource-exhausted', `all addresses of ${this.#pool} are taken`)
    }
    this.#lastAddress = address
    return { taskId, address, mtu: this.#mtu }
  }

  /** That of living links, else the remembered one, else a new one, which is remembered. */
  #findPool(view: KernelView): string {
    const [link] = view.links
    if (link !== undefined) return poolOf(link.address)
    const path = join(this.#options.stateDirectory, 'network.json')
    try {
      return new Fields(JSON.parse(readFileSync(path, 'utf8'))).text('pool')
    } catch {
      const pool = choosePool(view.routes)
      writeFileSync(`${path}.new`, JSON.stringify({ pool }), { mode: 0o600 })
      renameSync(`${path}.new`, path)
      return pool
    }
  }
}
