/**
 * Which address the others use for this node: what the user said (an address or an interface), or
 * the only one the machine has, in Docker's rules and words (swarm-mode.md 5.1, 6.2).
 */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { SwarmError } from '../lib/errors.ts'
import { type Address, formatAddress, isUnspecified, parseAddress } from './address.ts'

type Interfaces = ReturnType<typeof networkInterfaces>

/**
 * `text` is an IP, an interface, either with `:port`, or empty; the port is the listener's.
 * `interfaces` are this machine's.
 */
export function resolveAdvertise(
  text: string,
  listen: Address,
  interfaces: Interfaces = networkInterfaces(),
): string {
  const wanted = text === '' ? undefined : parseAddress(text, listen.port)
  if (wanted !== undefined && text !== '') {
    if (isIP(wanted.host) !== 0 && isUnspecified(wanted.host))
      throw new SwarmError('invalid-argument', 'advertise address must be a non-zero IP address')
    const host = isIP(wanted.host) === 0 ? addressOfInterface(wanted.host, interfaces) : wanted.host
    return formatAddress({ host, port: wanted.port })
  }
  const host = isUnspecified(listen.host) ? onlyAddress(interfaces) : listen.host
  return formatAddress({ host, port: listen.port })
}

function addressOfInterface(name: string, interfaces: Interfaces): string {
  const found = (interfaces[name] ?? []).find(
    (address) => address.family === 'IPv4' || !address.address.startsWith('fe80'),
  )
  if (found === undefined)
    throw new SwarmError(
      'invalid-argument',
      `"${name}" is neither an IP address nor an interface with one`,
    )
  return found.address
}

function onlyAddress(interfaces: Interfaces): string {
  const found = Object.entries(interfaces).flatMap(([name, addresses]) =>
    (addresses ?? [])
      .filter((address) => !address.internal && address.family === 'IPv4' && !isOwnLink(name))
      .map((address) => ({ name, host: address.address })),
  )
  const [first, second] = found
  if (first === undefined)
    throw new SwarmError(
      'failed-precondition',
      'could not choose an IP address to advertise since this system has none: specify one with --advertise-addr',
    )
  if (second !== undefined)
    throw new SwarmError(
      'failed-precondition',
      `could not choose an IP address to advertise since this system has multiple addresses on different interfaces (${first.host} on ${first.name} and ${second.host} on ${second.name}) - specify one with --advertise-addr`,
    )
  return first.host
}

/** Links that tsswarm or Docker made for containers say nothing about the machine's own network. */
function isOwnLink(name: string): boolean {
  return /^(?:ts[a-z0-9]|docker|veth|br-|cni)/.test(name)
}
