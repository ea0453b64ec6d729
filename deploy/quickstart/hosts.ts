/**
 * Hosts made of network namespaces on a bridge that lives in a namespace of its own, with one routed
 * link to the machine, so that the machine's firewall does not matter (host.md 3). A net has its
 * own prefix of names and its own subnet, so that several exist beside each other; it makes and
 * removes names that begin with that prefix and nothing else.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

export type Net = {
  /** Begins every name; at most nine characters, for names of links are short. */
  readonly prefix: string
  /** Third byte of the hosts' /24; the link to the machine lies in the one before. */
  readonly number: number
}

export function netnsOf(net: Net, host: string): string {
  return `${net.prefix}-${host}`
}

/** The address of the host with this number, from 1. */
export function addressOf(net: Net, number: number): string {
  return `${subnetOf(net)}.${10 + number}`
}

/** Bridge, namespaces and links for these hosts; those that are there already stay. */
export function makeHosts(
  net: Net,
  hosts: readonly { readonly name: string; readonly address: string }[],
): void {
  const bridge = bridgeOf(net)
  if (!existsSync(`/run/netns/${bridge}`)) makeBridge(net)
  for (const { name, address } of hosts) {
    const netns = netnsOf(net, name)
    if (existsSync(`/run/netns/${netns}`)) continue
    ip(`netns add ${netns}`)
    ip(`-n ${netns} link set lo up`)
    ip(`-n ${netns} link add eth0 type veth peer name ${name} netns ${bridge}`)
    ip(`-n ${bridge} link set ${name} master br0 up`)
    ip(`-n ${netns} address add ${address}/24 dev eth0`)
    ip(`-n ${netns} link set eth0 up`)
    ip(`-n ${netns} route add default via ${subnetOf(net)}.1`)
  }
}

/** Everything that `makeHosts` made is gone. */
export function removeHosts(net: Net): void {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  for (const name of names) if (name.startsWith(`${net.prefix}-`)) tryIp(`netns delete ${name}`)
  tryIp(`link delete ${net.prefix}-up`)
}

/** An outage and its end: nothing gets in or out of the host any more, or again. */
export function setLink(net: Net, host: string, isUp: boolean): void {
  ip(`-n ${bridgeOf(net)} link set ${host} ${isUp ? 'up' : 'down'}`)
}

function makeBridge(net: Net): void {
  const bridge = bridgeOf(net)
  const outside = `${net.prefix}-up`
  const link = `198.18.${net.number - 1}`
  ip(`netns add ${bridge}`)
  ip(`-n ${bridge} link set lo up`)
  ip(`-n ${bridge} link add br0 type bridge`)
  ip(`-n ${bridge} address add ${subnetOf(net)}.1/24 dev br0`)
  ip(`-n ${bridge} link set br0 up`)
  ip(`link add ${outside} type veth peer name up0 netns ${bridge}`)
  ip(`-n ${bridge} address add ${link}.2/30 dev up0`)
  ip(`-n ${bridge} link set up0 up`)
  ip(`-n ${bridge} route add default via ${link}.1`)
  ip(`address add ${link}.1/30 dev ${outside}`)
  ip(`link set ${outside} up`)
  ip(`route replace ${subnetOf(net)}.0/24 via ${link}.2`)
  const enable = 'echo 1 > /proc/sys/net/ipv4/ip_forward'
  execFileSync('nsenter', [`--net=/run/netns/${bridge}`, 'sh', '-c', enable])
}

function bridgeOf(net: Net): string {
  return `${net.prefix}-net`
}

/** Of the pool for tests of networks (RFC 2544): no site routes it. */
function subnetOf(net: Net): string {
  return `198.18.${net.number}`
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] })
}

function tryIp(command: string): void {
  try {
    ip(command)
  } catch {
    // It was not there.
  }
}
