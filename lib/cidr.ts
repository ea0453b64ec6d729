/**
 * IPv4 and IPv6 addresses and subnets as numbers. It decides what a well-formed address is (RFC
 * 4291 section 2.2 for IPv6, four decimal numbers without leading zeros for IPv4) and whether an
 * address lies in a subnet. An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) counts as IPv4, as
 * in Go's net package, whose results users of Swarm know. Zones (%eth0) are refused.
 */

export type Address = {
  /** 32 for IPv4, 128 for IPv6. */
  readonly bits: 32 | 128
  readonly value: bigint
}

export type Subnet = {
  /** The first address; its bits after the prefix are zero. */
  readonly address: Address
  readonly prefixLength: number
}

const MAPPED_PREFIX = 0xffffn

/** The address, or undefined where the text is none. */
export function findAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const value = findV4Value(text)
    return value === undefined ? undefined : { bits: 32, value }
  }
  const value = findV6Value(text)
  if (value === undefined) return undefined
  if (value >> 32n === MAPPED_PREFIX) return { bits: 32, value: value & 0xffffffffn }
  return { bits: 128, value }
}

/** The subnet of `address/length`, or undefined where the text is none. */
export function findSubnet(text: string): Subnet | undefined {
  const [addressText, lengthText, ...more] = text.split('/')
  if (addressText === undefined || lengthText === undefined || more.length > 0) return undefined
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined
  const address = findAddress(addressText)
  const prefixLength = Number(lengthText)
  if (address === undefined || prefixLength > address.bits) return undefined
  const shift = BigInt(address.bits - prefixLength)
  const value = (address.value >> shift) << shift
  return { address: { bits: address.bits, value }, prefixLength }
}

/** Whether the address lies in the subnet; never where one is IPv4 and the other IPv6. */
export function isInSubnet(address: Address, subnet: Subnet): boolean {
  if (address.bits !== subnet.address.bits) return false
  const shift = BigInt(address.bits - subnet.prefixLength)
  return address.value >> shift === subnet.address.value >> shift
}

/** Whether both are the same address, however they were written. */
export function isSameAddress(left: Address, right: Address): boolean {
  return left.bits === right.bits && left.value === right.value
}

function findV4Value(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let value = 0n
  for (const part of parts) {
    if (!/^(?:0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    value = (value << 8n) | BigInt(part)
  }
  return value
}

function findV6Value(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = findGroups(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? findGroups(halves[1] ?? '', true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  // "::" stands for at least one group of zeros.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...new Array<bigint>(missing).fill(0n), ...tail]
  return groups.reduce((value, group) => (value << 16n) | group, 0n)
}

/** The 16-bit groups of one side of "::"; the last may be an IPv4 address where the text ends. */
function findGroups(text: string, isEnd: boolean): readonly bigint[] | undefined {
  if (text === '') return []
  const groups: bigint[] = []
  const parts = text.split(':')
  for (const [at, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(BigInt(`0x${part}`))
      continue
    }
    const v4 = isEnd && at === parts.length - 1 ? findV4Value(part) : undefined
    if (v4 === undefined) return undefined
    groups.push(v4 >> 16n, v4 & 0xffffn)
  }
  return groups
}
