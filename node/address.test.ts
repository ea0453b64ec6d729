/** Addresses as users write them, and which of them the others are told. */
import type { networkInterfaces } from 'node:os'
import { describe, expect, test } from 'vitest'
import { formatAddress, isUnspecified, parseAddress } from './address.ts'
import { resolveAdvertise } from './advertise.ts'

describe('parseAddress()', () => {
  test.each([
    ['10.0.0.1:2377', '10.0.0.1', 2377],
    ['10.0.0.1', '10.0.0.1', 1],
    ['eth0:4000', 'eth0', 4000],
    ['eth0', 'eth0', 1],
    ['manager.example.com:2377', 'manager.example.com', 2377],
    [':2377', '0.0.0.0', 2377],
    ['[fd00::1]:2377', 'fd00::1', 2377],
    ['[fd00::1]', 'fd00::1', 1],
    ['fd00::1', 'fd00::1', 1],
    ['::', '::', 1],
    ['[::]:0', '::', 0],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.1', 1],
    ['10.0.0.1:65535', '10.0.0.1', 65_535],
  ])('reads %s', (text, host, port) => {
    expect(parseAddress(text, 1)).toEqual({ host, port })
  })

  test.each(['10.0.0.1:65536', '10.0.0.1:x', '10.0.0.1:', 'a:b:c', '[fd00::1', '[]:1', 'a b:1x'])(
    'refuses %s by its text',
    (text) => {
      expect(() => parseAddress(text, 1)).toThrow(`"${text}" is no address: write HOST:PORT`)
    },
  )

  test('refuses a text without a port where there is no other', () => {
    expect(() => parseAddress('10.0.0.1')).toThrow(/write HOST:PORT/)
  })
})

test.each(['10.0.0.1:2377', '[fd00::1]:2377', 'a.example.com:1'])(
  '%s survives both ways',
  (text) => {
    expect(formatAddress(parseAddress(text))).toBe(text)
  },
)

test.each([
  ['', true],
  ['0.0.0.0', true],
  ['::', true],
  ['127.0.0.1', false],
  ['::1', false],
])('host %j means every address: %s', (host, is) => {
  expect(isUnspecified(host)).toBe(is)
})

describe('the advertised address', () => {
  const anywhere = { host: '0.0.0.0', port: 2377 }

  /** A machine with these addresses, by interface. */
  function machine(
    addresses: Readonly<Record<string, readonly string[]>>,
  ): ReturnType<typeof networkInterfaces> {
    const made = Object.entries(addresses).map(([name, list]) => [
      name,
      list.map((address) => ({
        ...{ address, internal: name === 'lo', mac: '02:00:00:00:00:00', cidr: `${address}/24` },
        ...(address.includes(':')
          ? { family: 'IPv6' as const, netmask: 'ffff::', scopeid: 0 }
          : { family: 'IPv4' as const, netmask: '255.255.255.0' }),
      })),
    ])
    return Object.fromEntries(made)
  }

  test.each([
    // flag, listen, what the others are told
    ['10.1.1.1', anywhere, '10.1.1.1:2377'],
    ['10.1.1.1:4000', anywhere, '10.1.1.1:4000'],
    ['fd00::9', anywhere, '[fd00::9]:2377'],
    ['[fd00::9]:4000', anywhere, '[fd00::9]:4000'],
    ['eth0', anywhere, '192.168.0.7:2377'],
    ['eth0:4000', anywhere, '192.168.0.7:4000'],
    ['eth1', anywhere, '[fd00::7]:2377'],
    ['', { host: '10.2.2.2', port: 5000 }, '10.2.2.2:5000'],
    ['', { host: '::1', port: 5000 }, '[::1]:5000'],
  ])('of %j with listener %j is %s', (text, listen, advertised) => {
    const interfaces = machine({
      lo: ['127.0.0.1'],
      eth0: ['192.168.0.7'],
      eth1: ['fe80::1', 'fd00::7'],
    })

    expect(resolveAdvertise(text, listen, interfaces)).toBe(advertised)
  })

  test('is the only one of the machine where nothing is said', () => {
    const interfaces = machine({
      lo: ['127.0.0.1'],
      eth0: ['192.168.0.7', 'fd00::7'],
      docker0: ['172.17.0.1'],
      'ts0hg5850-1': ['172.28.0.1'],
    })

    expect(resolveAdvertise('', anywhere, interfaces)).toBe('192.168.0.7:2377')
    expect(resolveAdvertise('', { host: '::', port: 1 }, interfaces)).toBe('192.168.0.7:1')
  })

  test('has to be named where there are several, or none', () => {
    const several = machine({ eth0: ['192.168.0.7'], eth1: ['10.0.0.7'] })
    const none = machine({ lo: ['127.0.0.1'] })

    expect(() => resolveAdvertise('', anywhere, several)).toThrow(
      /192\.168\.0\.7 on eth0 and 10\.0\.0\.7 on eth1.*--advertise-addr/,
    )
    expect(() => resolveAdvertise('', anywhere, none)).toThrow(/has none: specify one/)
  })

  test.each([
    ['0.0.0.0', /non-zero IP address/],
    ['[::]:2377', /non-zero IP address/],
    ['eth9', /"eth9" is neither an IP address nor an interface/],
    ['10.0.0.1:99999', /is no address/],
  ])('%s is refused', (text, message) => {
    const interfaces = machine({ eth0: ['192.168.0.7'] })

    expect(() => resolveAdvertise(text, anywhere, interfaces)).toThrow(message)
  })
})
