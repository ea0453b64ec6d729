/**
 * Addresses of the routed links of one host: which private /20 it uses, and which address a task
 * gets. The pool is the first /20 that meets none of the host's routes (host.md 20); the host
 * remembers it. 10.0.0.0/9 is left to overlay networks, whose default pool begins there.
 */
import { assert, defined } from '../../lib/assert.ts'
import { findSubnet, type Subnet } from '../../lib/cidr.ts'
import { SwarmError } from '../../lib/errors.ts'

const POOL_PREFIX_LENGTH = 20
export const POOL_SIZE: number = 2 ** (32 - POOL_PREFIX_LENGTH)

/** The gateway's place in the pool; tasks come after it, up to the one before the last. */
const GATEWAY_INDEX = 1

/**
 * Where a pool is looked for, in this order. Not from the start of 172.16.0.0/12, where Docker
 * takes its networks from, nor at its end, where a cloud's default network lies.
 */
const SEARCHED = ['172.28.0.0/14', '172.24.0.0/14', '192.168.0.0/16', '10.128.0.0/9'] as const

/** The first free pool, e.g. `172.28.0.0/20`. `routes` are subnets in use, of either family. */
export function choosePool(routes: readonly string[]): string {
  const used = routes.map(findSubnet).filter((subnet) => subnet !== undefined)
  for (const searched of SEARCHED) {
    const { address, prefixLength } = getSubnet(searched)
    const last = Number(address.value) + 2 ** (32 - prefixLength)
    for (let first = Number(address.value); first < last; first += POOL_SIZE) {
      const pool = getSubnet(`${formatIpv4(first)}/${POOL_PREFIX_LENGTH}`)
      if (!used.some((subnet) => overlaps(subnet, pool))) return formatSubnet(pool)
    }
  }
  throw new SwarmError(
    'resource-exhausted',
    'no private /20 is free for the tasks: the routes of this node take all of them',
  )
}

/** The pool that an address given out lies in. */
export function poolOf(address: string): string {
  return formatSubnet(getSubnet(`${address}/${POOL_PREFIX_LENGTH}`))
}

/** The address that tasks reach the host by, e.g. `172.28.0.1`. */
export function gatewayOf(pool: string): string {
  return addressAt(pool, GATEWAY_INDEX)
}

/**
 * A free address of the pool, going round from the one after `last`, so that one just given back is
 * not given out again soon; undefined where all are taken.
 */
export function findFreeAddress(
  pool: string,
  taken: ReadonlySet<string>,
  last: string | undefined,
): string | undefined {
  const first = GATEWAY_INDEX + 1
  const count = POOL_SIZE - 1 - first
  const start = last === undefined ? first : indexIn(pool, last) + 1
  for (let step = 0; step < count; step++) {
    const address = addressAt(pool, first + ((start - first + step) % count))
    if (!taken.has(address)) return address
  }
  return undefined
}

/** How far an address lies from the pool's first one. */
export function indexIn(pool: string, address: string): number {
  const subnet = getSubnet(pool)
  const index = Number(getSubnet(`${address}/32`).address.value - subnet.address.value)
  assert(index >= 0 && index < POOL_SIZE, 'the address lies in the pool', { pool, address })
  return index
}

/** The low 32 bits of an address as eight hexadecimal digits: what its link's name and MAC are made of. */
export function addressDigits(address: string): string {
  return getSubnet(`${address}/32`).address.value.toString(16).padStart(8, '0')
}

function addressAt(pool: string, index: number): string {
  return formatIpv4(Number(getSubnet(pool).address.value) + index)
}

function getSubnet(text: string): Subnet {
  return defined(findSubnet(text), `"${text}" is a subnet`)
}

function overlaps(left: Subnet, right: Subnet): boolean {
  // A default route is the way to everywhere and takes nothing.
  if (left.address.bits !== right.address.bits || left.prefixLength === 0) return false
  const shift = BigInt(left.address.bits - Math.min(left.prefixLength, right.prefixLength))
  return left.address.value >> shift === right.address.value >> shift
}

function formatSubnet(subnet: Subnet): string {
  return `${formatIpv4(Number(subnet.address.value))}/${subnet.prefixLength}`
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
}
