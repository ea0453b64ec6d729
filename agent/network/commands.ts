/**
 * Changes of the network in the words of the host's tools: `ip -batch`, `nft -f`, `conntrack`,
 * `iptables`, kernel settings. Pure text; the keeper runs it, in order. Links are made many at a
 * time: twenty take 150 ms in three steps, and 600 ms one by one.
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
  | RunCommand
  /** Runs `argv` unless `check` succeeds. */
  | { readonly kind: 'ensure'; readonly check: readonly string[]; readonly argv: readonly string[] }
  | { readonly kind: 'sysctl'; readonly path: string; readonly value: string }

export type RunCommand = {
  readonly kind: 'run'
  readonly argv: readonly string[]
  readonly input: string
  /** The change counts as made whatever the exit code: the thing may be gone already. */
  readonly mayFail: boolean
}

/** What carries out one change that is not the making of a link. */
export function formatChange(
  change: Exclude<NetworkChange, LinkChange>,
): readonly NetworkCommand[] {
  switch (change.kind) {
    case 'set-gateway':
      return [
        { kind: 'sysctl', path: 'net/ipv4/ip_forward', value: '1' },
        run(['ip', 'address', 'replace', `${change.address}/32`, 'dev', 'lo']),
      ]
    case 'remove-gateway':
      return [tryRun(['ip', 'address', 'delete', `${change.address}/32`, 'dev', 'lo'])]
    case 'remove-link':
      // Both ends go with the namespace, in the kernel's own time: a link deleted by name makes
      // everybody's changes wait for 20 ms.
      return change.namespace === ''
        ? [tryRun(['ip', 'link', 'delete', change.link])]
        : [tryRun(['ip', 'netns', 'delete', change.namespace])]
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

/**
 * Step 1: namespaces, links and the host's side of them. A line that fails (somebody else's link
 * has the name) does not keep the others from being made.
 */
export function formatHostSides(changes: readonly LinkChange[]): RunCommand {
  return batch(
    changes.flatMap(({ link, namespace, address, gateway, mtu }) => {
      const { taskMac, hostMac } = macsOf(address)
      return [
        `netns add ${namespace}`,
        `link add ${link} address ${hostMac} mtu ${mtu} type veth peer name ${TASK_LINK} address ${taskMac} mtu ${mtu} netns ${namespace}`,
        `link set ${link} addrgenmode none`,
        `link set ${link} up`,
        `neighbour replace ${address} lladdr ${taskMac} dev ${link} nud permanent`,
        `route replace ${address}/32 dev ${link} src ${gateway}`,
      ]
    }),
  )
}

/** Step 2, one link each: its sources are checked, and the task's side is set up. */
export function formatTaskSide(change: LinkChange): readonly NetworkCommand[] {
  const { link, namespace, address, gateway } = change
  const input = [
    'link set lo up',
    `link set ${TASK_LINK} addrgenmode none`,
    `address add ${address}/32 dev ${TASK_LINK}`,
    `link set ${TASK_LINK} up`,
    `neighbour replace ${gateway} lladdr ${macsOf(address).hostMac} dev ${TASK_LINK} nud permanent`,
    `route add ${gateway}/32 dev ${TASK_LINK} scope link src ${address}`,
    `route add default via ${gateway} dev ${TASK_LINK} src ${address}`,
  ]
  return [
    { kind: 'sysctl', path: `net/ipv4/conf/${link}/rp_filter`, value: '1' },
    run(['ip', '-netns', namespace, '-batch', '-'], lines(input)),
  ]
}

/** Step 3: the mark by which a whole link is told from one that was being made at somebody's death. */
export function formatMarks(changes: readonly LinkChange[]): RunCommand {
  return batch(changes.map(({ link, taskId }) => `link set ${link} alias ${taskId}`))
}

/** Locally administered: 02 at the task, 06 at the host, then the address. */
function macsOf(address: string): { readonly taskMac: string; readonly hostMac: string } {
  const digits = (addressDigits(address).match(/../g) ?? []).join(':')
  return { taskMac: `02:54:${digits}`, hostMac: `06:54:${digits}` }
}

function batch(input: readonly string[]): RunCommand {
  return run(['ip', '-force', '-batch', '-'], lines(input))
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

function run(argv: readonly string[], input = ''): RunCommand {
  return { kind: 'run', argv, input, mayFail: false }
}

function tryRun(argv: readonly string[]): RunCommand {
  return { kind: 'run', argv, input: '', mayFail: true }
}

function lines(list: readonly string[]): string {
  return `${list.join('\n')}\n`
}
