/**
 * The quickstart's hosts: network namespaces on a bridge that lives in a namespace of its own, with
 * one routed link to the machine, so that the machine's firewall does not matter (host.md 3). It
 * makes and removes names that begin with `tsq-` and nothing else.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

export const BRIDGE_NETNS = 'tsq-net'
const HOST_LINK = 'tsq-up'
/** The pool for tests of networks (RFC 2544): no site routes it. */
const SUBNET = '198.18.77'
const MACHINE_ADDRESS = '198.18.76.1'
const BRIDGE_ADDRESS = '198.18.76.2'

export function netnsOf(host: string): string {
  return `tsq-${host}`
}

/** The address of the host with this number, from 1. */
export function addressOf(number: number): string {
  return `${SUBNET}.${10 + number}`
}

/** Bridge, namespaces and links for these hosts; those that are there already stay. */
export function makeHosts(
  hosts: readonly { readonly name: string; readonly address: string }[],
): void {
  if (!existsSync(`/run/netns/${BRIDGE_NETNS}`)) makeBridge()
  for (const { name, address } of hosts) {
    const netns = netnsOf(name)
    if (existsSync(`/run/netns/${netns}`)) continue
    ip('netns', 'add', netns)
    ip('-n', netns, 'link', 'set', 'lo', 'up')
    ip(
      '-n',
      netns,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      name,
      'netns',
      BRIDGE_NETNS,
    )
    ip('-n', BRIDGE_NETNS, 'link', 'set', name, 'master', 'br0', 'up')
    ip('-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0')
    ip('-n', netns, 'link', 'set', 'eth0', 'up')
    ip('-n', netns, 'route', 'add', 'default', 'via', `${SUBNET}.1`)
  }
}

/** Everything that `makeHosts` made is gone. */
export function removeHosts(): void {
  for (const name of listNetns()) if (name.startsWith('tsq-')) tryIp('netns', 'delete', name)
  tryIp('link', 'delete', HOST_LINK)
}

/** Names of the namespaces of this machine. */
export function listNetns(): readonly string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns') : []
}

function makeBridge(): void {
  ip('netns', 'add', BRIDGE_NETNS)
  const inBridge = (...args: readonly string[]): void => ip('-n', BRIDGE_NETNS, ...args)
  inBridge('link', 'set', 'lo', 'up')
  inBridge('link', 'add', 'br0', 'type', 'bridge')
  inBridge('address', 'add', `${SUBNET}.1/24`, 'dev', 'br0')
  inBridge('link', 'set', 'br0', 'up')
  ip('link', 'add', HOST_LINK, 'type', 'veth', 'peer', 'name', 'up0', 'netns', BRIDGE_NETNS)
  inBridge('address', 'add', `${BRIDGE_ADDRESS}/30`, 'dev', 'up0')
  inBridge('link', 'set', 'up0', 'up')
  inBridge('route', 'add', 'default', 'via', MACHINE_ADDRESS)
  ip('address', 'add', `${MACHINE_ADDRESS}/30`, 'dev', HOST_LINK)
  ip('link', 'set', HOST_LINK, 'up')
  ip('route', 'replace', `${SUBNET}.0/24`, 'via', BRIDGE_ADDRESS)
  const enable = 'echo 1 > /proc/sys/net/ipv4/ip_forward'
  execFileSync('nsenter', [`--net=/run/netns/${BRIDGE_NETNS}`, 'sh', '-c', enable])
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function tryIp(...args: readonly string[]): void {
  try {
    ip(...args)
  } catch {
    // It was not there.
  }
}

/** For tests of an outage: nothing gets in or out of the host any more, or again. */
export function setLink(host: string, isUp: boolean): void {
  ip('-n', BRIDGE_NETNS, 'link', 'set', host, isUp ? 'up' : 'down')
}
