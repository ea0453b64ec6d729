/**
 * Changes of the network in the words of the host's tools: `ip -batch`, `nft -f`, `conntrack`,
 * `iptables`, kernel settings. Pure text; the keeper runs it, the commands of one change in order.
 *
 * A task's link (host.md 20): its side has the address alone (/32) and reaches the gateway by a link
 * route; the host's side has a route to that address, refuses every other source, and neither side
 * asks who is at the other end: both know. Every link is made with its MAC, because udev rewrites
 * those it did not get told, and without IPv6, which would lead past the rules.
 */
import type { LinkChange, NetworkChange } from './diff.ts'
import { addressDigits } from './pool.ts'

/** The link's name inside a task. */
const TASK_LINK = 'eth0'

export type NetworkCommand =
  | {
      readonly kind: 'run'
      readonly argv: readonly string[]
      readonly input: string
      /** The change counts as made whatever the exit code: the thing may be gone already. */
      readonly mayFail: boolean
    }
  /** Runs `argv` unless `check` succeeds. */
  | { readonly kind: 'ensure'; readonly check: readonly string[]; readonly argv: readonly string[] }
  | { readonly kind: 'sysctl'; readonly path: string; readonly value: string }

/** What carries out one change. */
export function formatChange(change: NetworkChange): readonly NetworkCommand[] {
  switch (change.kind) {
    case 'set-gateway':
      return [
        { kind: 'sysctl', path: 'net/ipv4/ip_forward', value: '1' },
        run(['ip', 'address', 'replace', `${change.address}/32`, 'dev', 'lo']),
      ]
    case 'remove-gateway':
      return [tryRun(['ip', 'address', 'delete', `${change.address}/32`, 'dev', 'lo'])]
    case 'add-link':
      return addLink(change)
    case 'remove-link':
      // The other end goes with it, now and not when the kernel gets round to the namespace.
      return [
        ...(change.link === '' ? [] : [tryRun(['ip', 'link', 'delete', change.link])]),
        ...(change.namespace === '' ? [] : [tryRun(['ip', 'netns', 'delete', change.namespace])]),
      ]
    case 'set-table':
      return [run(['nft', '-f', '-'], change.text)]
    case 'set-docker-rules':
      return dockerRules(change.linkPrefix, change.isWanted)
    case 'flush-udp': {
      const port = String(change.publishedPort)
      return [tryRun(['conntrack', '-D', '-p', 'udp', '--orig-port-dst', port])]
    }
    default:
      return change satisfies never
  }
}

function addLink(change: LinkChange): readonly NetworkCommand[] {
  const { link, namespace, address, gateway } = change
  const digits = (addressDigits(address).match(/../g) ?? []).join(':')
  // Locally administered: 02 at the task, 06 at the host, then the address.
  const taskMac = `02:54:${digits}`
  const hostMac = `06:54:${digits}`
  const host = [
    `link add ${link} address ${hostMac} mtu ${change.mtu} type veth peer name ${TASK_LINK} address ${taskMac} mtu ${change.mtu} netns ${namespace}`,
    `link set ${link} addrgenmode none`,
    `link set ${link} up`,
    `neighbour replace ${address} lladdr ${taskMac} dev ${link} nud permanent`,
    `route replace ${address}/32 dev ${link} src ${gateway}`,
  ]
  const task = [
    'link set lo up',
    `link set ${TASK_LINK} addrgenmode none`,
    `address add ${address}/32 dev ${TASK_LINK}`,
    `link set ${TASK_LINK} up`,
    `neighbour replace ${gateway} lladdr ${hostMac} dev ${TASK_LINK} nud permanent`,
    `route add ${gateway}/32 dev ${TASK_LINK} scope link src ${address}`,
    `route add default via ${gateway} dev ${TASK_LINK} src ${address}`,
  ]
  return [
    run(['ip', 'netns', 'add', namespace]),
    run(['ip', '-batch', '-'], lines(host)),
    { kind: 'sysctl', path: `net/ipv4/conf/${link}/rp_filter`, value: '1' },
    run(['ip', '-netns', namespace, '-batch', '-'], lines(task)),
    // The mark by which a whole link is told from one that was being made when somebody died.
    run(['ip', 'link', 'set', link, 'alias', change.taskId]),
  ]
}

function dockerRules(linkPrefix: string, isWanted: boolean): readonly NetworkCommand[] {
  return ['-i', '-o'].map((direction) => {
    const rule = ['DOCKER-USER', direction, `${linkPrefix}+`, '-j', 'ACCEPT']
    return isWanted
      ? {
          kind: 'ensure',
          check: ['iptables', '-w', '-C', ...rule],
          argv: ['iptables', '-w', '-I', ...rule],
        }
      : tryRun(['iptables', '-w', '-D', ...rule])
  })
}

function run(argv: readonly string[], input = ''): NetworkCommand {
  return { kind: 'run', argv, input, mayFail: false }
}

function tryRun(argv: readonly string[]): NetworkCommand {
  return { kind: 'run', argv, input: '', mayFail: true }
}

function lines(list: readonly string[]): string {
  return `${list.join('\n')}\n`
}
