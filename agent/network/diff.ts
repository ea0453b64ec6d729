/**
 * From what a host's kernel holds to what a plan says: the list of changes, in the order they must
 * be made; those of one kind that follow one another may be made at once. Pure. A plan against
 * itself gives no change. Rules come first, so that no link is without them; then removals, so that
 * an address may pass from one task to another.
 */
import { linkName, linkPrefix, namespaceName, tableName } from './names.ts'
import type { NetworkPlan, PublishedPort, TaskLink } from './plan.ts'
import { indexIn } from './pool.ts'
import { formatTable, formatTableRemoval } from './table.ts'

/** What is known of the kernel: the last plan that was carried out, or what was read from it. */
export type KnownNetwork = {
  readonly links: readonly TaskLink[]
  /** Undefined: gateway, table and Docker's rules are in doubt and made anew. */
  readonly host: NetworkPlan | undefined
}

export type NetworkChange =
  /** The namespace forwards, and the gateway's address is on lo. */
  | { readonly kind: 'set-gateway'; readonly address: string }
  | { readonly kind: 'remove-gateway'; readonly address: string }
  | LinkChange
  | RemovedLink
  /** A text for `nft -f`: one transaction. */
  | { readonly kind: 'set-table'; readonly table: string; readonly text: string }
  /** Docker's user chain lets pass what comes from or goes to links with this prefix, or no longer. */
  | { readonly kind: 'set-docker-rules'; readonly linkPrefix: string; readonly isWanted: boolean }
  /** Entries of callers that got no answer yet would keep going nowhere (host.md 23). */
  | { readonly kind: 'flush-udp'; readonly publishedPort: number }

export type LinkChange = {
  readonly kind: 'add-link'
  readonly link: string
  readonly namespace: string
  readonly taskId: string
  readonly address: string
  readonly gateway: string
  readonly mtu: number
}

export type RemovedLink = {
  readonly kind: 'remove-link'
  readonly link: string
  /** Empty where only the link is there. */
  readonly namespace: string
}

/** What leads from `known` to `plan`. */
export function diffNetwork(known: KnownNetwork, plan: NetworkPlan): readonly NetworkChange[] {
  const added = plan.links.filter((link) => !includesLink(known.links, link))
  const removed = known.links.filter((link) => !includesLink(plan.links, link))
  return [
    ...diffHost(known.host, plan),
    ...removed.map((link) => removeLink(plan, link)),
    ...added.map((link) => addLink(plan, link)),
    ...newUdpPorts(known.host, plan).map((port) => ({
      kind: 'flush-udp' as const,
      publishedPort: port.publishedPort,
    })),
  ]
}

/** Everything of this host is taken out of the kernel. */
export function removeNetwork(plan: NetworkPlan): readonly NetworkChange[] {
  return [
    ...plan.links.map((link) => removeLink(plan, link)),
    { kind: 'set-table', table: tableName(plan.hash), text: formatTableRemoval(plan.hash) },
    ...(plan.isDockerInTheWay ? [dockerRules(plan, false)] : []),
    { kind: 'remove-gateway', address: plan.gateway },
  ]
}

function diffHost(before: NetworkPlan | undefined, plan: NetworkPlan): readonly NetworkChange[] {
  const changes: NetworkChange[] = []
  if (before?.gateway !== plan.gateway) {
    changes.push({ kind: 'set-gateway', address: plan.gateway })
  }
  const text = formatTable(plan)
  if (before === undefined || formatTable(before) !== text) {
    changes.push({ kind: 'set-table', table: tableName(plan.hash), text })
  }
  if (plan.isDockerInTheWay !== (before?.isDockerInTheWay ?? false)) {
    changes.push(dockerRules(plan, plan.isDockerInTheWay))
  }
  return changes
}

function addLink(plan: NetworkPlan, link: TaskLink): LinkChange {
  return {
    kind: 'add-link',
    link: linkName(plan.hash, indexIn(plan.pool, link.address)),
    namespace: namespaceName(plan.hash, link.taskId),
    taskId: link.taskId,
    address: link.address,
    gateway: plan.gateway,
    mtu: link.mtu,
  }
}

function removeLink(plan: NetworkPlan, link: TaskLink): RemovedLink {
  return {
    kind: 'remove-link',
    link: linkName(plan.hash, indexIn(plan.pool, link.address)),
    namespace: namespaceName(plan.hash, link.taskId),
  }
}

function dockerRules(plan: NetworkPlan, isWanted: boolean): NetworkChange {
  return { kind: 'set-docker-rules', linkPrefix: `${linkPrefix(plan.hash)}-`, isWanted }
}

function newUdpPorts(before: NetworkPlan | undefined, plan: NetworkPlan): readonly PublishedPort[] {
  return plan.ports.filter(
    (port) =>
      port.protocol === 'udp' &&
      !before?.ports.some(
        (known) =>
          known.protocol === 'udp' &&
          known.publishedPort === port.publishedPort &&
          known.address === port.address,
      ),
  )
}

/** An MTU is fixed when the link is made. */
function includesLink(links: readonly TaskLink[], link: TaskLink): boolean {
  return links.some((each) => each.taskId === link.taskId && each.address === link.address)
}
