/**
 * The simulator's side of port Kernel: what a host's network would hold, without a kernel. It
 * refuses what the kernel refuses: a link whose name is taken, a namespace that exists. `failNext`
 * makes the next change of a kind fail, as an exhausted or foreign host would.
 */
import type { NetworkChange } from '../../agent/network/diff.ts'
import type { Kernel, KernelView } from '../../agent/network/kernel.ts'
import type { TaskLink } from '../../agent/network/plan.ts'
import { SwarmError } from '../../lib/errors.ts'

export class SimKernel implements Kernel {
  readonly #routes: readonly string[]
  readonly #links: Map<string, { readonly namespace: string; readonly task: TaskLink }> = new Map()
  readonly #tables: Map<string, string> = new Map()
  #gateway: string | undefined
  #failing: NetworkChange['kind'] | undefined
  /** Every change that was carried out, in order. */
  readonly done: NetworkChange[] = []

  constructor(routes: readonly string[] = []) {
    this.#routes = routes
  }

  get gateway(): string | undefined {
    return this.#gateway
  }

  table(name: string): string | undefined {
    return this.#tables.get(name)
  }

  failNext(kind: NetworkChange['kind']): void {
    this.#failing = kind
  }

  read(): Promise<KernelView> {
    return Promise.resolve({
      links: [...this.#links.values()].map(({ task }) => task),
      remains: [],
      routes: this.#routes,
      mtu: 1_500,
      isDockerInTheWay: false,
    })
  }

  async apply(changes: readonly NetworkChange[]): Promise<void> {
    for (const change of changes) {
      if (change.kind === this.#failing) {
        this.#failing = undefined
        throw new SwarmError('internal', `the kernel refused ${change.kind}`, { retriable: true })
      }
      this.#apply(change)
      this.done.push(change)
    }
  }

  #apply(change: NetworkChange): void {
    switch (change.kind) {
      case 'set-gateway':
        this.#gateway = change.address
        return
      case 'remove-gateway':
        this.#gateway = undefined
        return
      case 'add-link': {
        const { link, namespace, taskId, address, mtu } = change
        const isTaken = [...this.#links.values()].some((each) => each.namespace === namespace)
        if (this.#links.has(link) || isTaken) {
          throw new SwarmError('internal', `link "${link}" or its namespace exists`)
        }
        this.#links.set(link, { namespace, task: { taskId, address, mtu } })
        return
      }
      case 'remove-link':
        this.#links.delete(change.link)
        return
      case 'set-table':
        if (change.text.endsWith('}\n')) this.#tables.set(change.table, change.text)
        else this.#tables.delete(change.table)
        return
      case 'set-docker-rules':
      case 'flush-udp':
        return
      default:
        change satisfies never
    }
  }
}
