/**
 * Docker's default capabilities and its rules for adding and dropping.
 */
import { expect, test } from 'vitest'
import { type CapabilityChoice, listCapabilities, newCapabilitySets } from './capabilities.ts'

const list = (choice: Partial<CapabilityChoice>): readonly string[] =>
  listCapabilities({ add: [], drop: [], lastKnown: 40, ...choice })

test('listCapabilities gives Docker’s fourteen by default', () => {
  expect(list({}).map((name) => name.slice(4))).toEqual([
    ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
    ...['NET_BIND_SERVICE', 'NET_RAW', 'SYS_CHROOT', 'MKNOD', 'AUDIT_WRITE', 'SETFCAP'],
  ])
})

test.each<[Partial<CapabilityChoice>, number, readonly string[], readonly string[]]>([
  [{ add: ['net_admin'] }, 15, ['CAP_NET_ADMIN'], []],
  [{ add: ['CAP_NET_ADMIN'], drop: ['MKNOD'] }, 14, ['CAP_NET_ADMIN'], ['CAP_MKNOD']],
  [{ drop: ['ALL'] }, 0, [], ['CAP_CHOWN']],
  [{ drop: ['all'], add: ['CHOWN'] }, 1, ['CAP_CHOWN'], ['CAP_KILL']],
  [{ add: ['ALL'] }, 41, ['CAP_SYS_ADMIN', 'CAP_BPF'], []],
  [{ add: ['ALL'], drop: ['SYS_ADMIN'] }, 40, ['CAP_BPF'], ['CAP_SYS_ADMIN']],
  [{ add: ['ALL'], lastKnown: 37 }, 38, ['CAP_AUDIT_READ'], ['CAP_BPF']],
])('listCapabilities of %j', (choice, count, some, none) => {
  const names = list(choice)

  expect(names).toHaveLength(count)
  expect(names).toEqual(expect.arrayContaining([...some]))
  for (const name of none) expect(names).not.toContain(name)
})

test('listCapabilities refuses a name that there is not', () => {
  expect(() => list({ add: ['NET_ADMINISTRATOR'] })).toThrow(
    'unknown capability "NET_ADMINISTRATOR"',
  )
})

test('a user other than root starts with nothing in effect', () => {
  const names = ['CAP_CHOWN']

  expect(newCapabilitySets(names, 0)).toMatchObject({ bounding: names, effective: names })
  expect(newCapabilitySets(names, 1000)).toEqual({
    bounding: names,
    effective: [],
    permitted: [],
    inheritable: [],
    ambient: [],
  })
})
