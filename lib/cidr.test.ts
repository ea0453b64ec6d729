/**
 * Addresses and subnets by table, and written groups of IPv6 read back.
 */
import { isIP } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findAddress, findSubnet, isInSubnet, isSameAddress } from './cidr.ts'

test.each([
  ['10.0.0.1', { bits: 32, value: 0x0a000001n }],
  ['255.255.255.255', { bits: 32, value: 0xffffffffn }],
  ['::', { bits: 128, value: 0n }],
  ['::1', { bits: 128, value: 1n }],
  ['2001:db8::2', { bits: 128, value: 0x20010db8000000000000000000000002n }],
  ['1:2:3:4:5:6:7:8', { bits: 128, value: 0x00010002000300040005000600070008n }],
  ['::ffff:10.0.0.1', { bits: 32, value: 0x0a000001n }],
  ['64:ff9b::1.2.3.4', { bits: 128, value: 0x0064ff9b000000000000000001020304n }],
])('findAddress() reads %s', (text, expected) => {
  expect(findAddress(text)).toEqual(expected)
})

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  '10.0.0.01',
  '10.0.0.1.2',
  'fe80::1%eth0',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  ':1:2:3:4:5:6:7:8',
  '1.2.3.4::',
  '12345::',
  'node',
])('findAddress() finds none in %j', (text) => {
  expect(findAddress(text)).toBeUndefined()
})

test('findAddress() agrees with node about random texts of the alphabet', () => {
  const text = fc.string({
    unit: fc.constantFrom('0', '1', 'f', '25', ':', '::', '.', '256'),
    maxLength: 12,
  })

  fc.assert(
    fc.property(text, (value) => {
      expect(findAddress(value) !== undefined).toBe(isIP(value) !== 0)
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  ['10.1.2.3', '10.1.0.0/16', true],
  ['10.2.2.3', '10.1.0.0/16', false],
  ['10.1.2.3', '10.1.2.99/24', true],
  ['10.1.2.3', '0.0.0.0/0', true],
  ['10.1.2.3', '::/0', false],
  ['2001:db8::5', '2001:db8::/32', true],
  ['2001:db9::5', '2001:db8::/32', false],
  ['10.1.2.3', '10.1.2.3/32', true],
])('isInSubnet() of %s and %s is %s', (addressText, subnetText, expected) => {
  const address = findAddress(addressText)
  const subnet = findSubnet(subnetText)

  expect(address && subnet && isInSubnet(address, subnet)).toBe(expected)
})

test.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/', 'x/8', '::/129', '1.1.1.1/8/8'])(
  'findSubnet() finds none in %j',
  (text) => {
    expect(findSubnet(text)).toBeUndefined()
  },
)

test('isSameAddress() does not mind how an address is written', () => {
  const same = (left: string, right: string): boolean | undefined => {
    const [a, b] = [findAddress(left), findAddress(right)]
    return a && b && isSameAddress(a, b)
  }

  expect(same('2001:DB8::2', '2001:db8:0::2')).toBe(true)
  expect(same('::ffff:1.2.3.4', '1.2.3.4')).toBe(true)
  expect(same('::1', '0.0.0.1')).toBe(false)
})
