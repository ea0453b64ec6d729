/**
 * The text of a task's /etc/resolv.conf for as long as tasks ask the host's resolvers directly. The
 * rule is Docker's: the host's name servers but those a task cannot reach (loopback ones, and IPv6
 * ones, as links have IPv4 only); where none is left, the ones that systemd-resolved asks, else
 * public ones. Search domains and options stay.
 */
import { findAddress, findSubnet, isInSubnet } from '../../lib/cidr.ts'

/** As Docker does, where the host names no resolver that a task could reach. */
const PUBLIC_SERVERS = ['8.8.8.8', '8.8.4.4']

/**
 * `resolvConf` is the host's file, `upstream` that of systemd-resolved
 * (/run/systemd/resolve/resolv.conf), empty where there is none.
 */
export function planResolvConf(resolvConf: string, upstream: string): string {
  const own = reachableServers(resolvConf)
  const others = own.length > 0 ? own : reachableServers(upstream)
  const servers = others.length > 0 ? others : PUBLIC_SERVERS
  const kept = resolvConf
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^(?:search|domain|options)\s/.test(line))
  return [...servers.map((server) => `nameserver ${server}`), ...kept, ''].join('\n')
}

function reachableServers(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((server) => server !== undefined)
    .filter(isReachable)
}

function isReachable(server: string): boolean {
  const address = findAddress(server)
  const loopback = findSubnet('127.0.0.0/8')
  if (address === undefined || loopback === undefined) return false
  return address.bits === 32 && !isInSubnet(address, loopback)
}
