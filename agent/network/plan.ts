/**
 * What a host's kernel should hold so that its tasks reach the outside and their published ports
 * are reached: one routed link a task, without a bridge, and one nftables table (host.md 20, 26, 27).
 * Pure: the same tasks and ports give the same plan. How to get from one plan to the next is
 * `diff.ts`; in which words the kernel is told, `commands.ts`.
 */
import { gatewayOf } from './pool.ts'

export type NetworkPlan = {
  readonly hash: string
  /** The /20 of the host's tasks. */
  readonly pool: string
  /** On lo; the tasks' next hop. */
  readonly gateway: string
  /** In the order of their task ids. */
  readonly links: readonly TaskLink[]
  /** In the order of protocol and published port. */
  readonly ports: readonly PublishedPort[]
  /** The FORWARD policy is Docker's drop: its user chain must let the tasks through. */
  readonly isDockerInTheWay: boolean
}

/** A task's end has `address`, the other end is in the host's namespace. */
export type TaskLink = { readonly taskId: string; readonly address: string; readonly mtu: number }

/** A port in mode host, led to a task of this host. */
export type PublishedPort = {
  readonly protocol: 'tcp' | 'udp'
  readonly publishedPort: number
  readonly address: string
  readonly targetPort: number
}

export type NetworkInput = Omit<NetworkPlan, 'gateway'>

/** The plan for these tasks and ports, in its one order. */
export function planNetwork(input: NetworkInput): NetworkPlan {
  return {
    ...input,
    gateway: gatewayOf(input.pool),
    links: [...input.links].sort((a, b) => compare(a.taskId, b.taskId)),
    ports: [...input.ports].sort(
      (a, b) => compare(a.protocol, b.protocol) || a.publishedPort - b.publishedPort,
    ),
  }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
