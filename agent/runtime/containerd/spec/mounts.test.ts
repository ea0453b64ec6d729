/**
 * Which mounts a service's and an image's declarations come to, and which are refused.
 */
import { expect, test } from 'vitest'
import { emptyMount, type Mount } from '../../../../proto/gen/specs.ts'
import { newOciMount, planMounts, rootPropagation } from './mounts.ts'

const mount = (changes: Partial<Mount>): Mount => ({ ...emptyMount, target: '/t', ...changes })

test('planMounts puts parents first and adds the image’s volumes', () => {
  const plan = planMounts(
    [
      mount({ type: 'tmpfs', target: '/a/b/c' }),
      mount({ type: 'bind', source: '/srv/../x', target: '/a/' }),
      mount({ type: 'volume', source: 'data', target: '/a/b' }),
    ],
    ['/var/lib/db', '/a/b'],
  )

  expect(plan.map((each) => [each.kind, each.target])).toEqual([
    ['bind', '/a'],
    ['volume', '/a/b'],
    ['tmpfs', '/a/b/c'],
    ['volume', '/var/lib/db'],
  ])
  expect(plan).toMatchObject([
    { source: '/x' },
    { name: 'data', copyUp: true },
    { mode: 0o1777 },
    { name: undefined, copyUp: true },
  ])
})

test.each<[Partial<Mount>, string]>([
  [{ type: 'bind', source: 'x' }, 'mount path must be absolute'],
  [{ type: 'volume', source: 'a/b' }, '"a/b" is not a valid name for a volume'],
  [{ type: 'volume', source: '..' }, '".." is not a valid name for a volume'],
  [{ type: 'tmpfs', source: 'x' }, 'field Source must not be specified'],
  [{ target: 'relative' }, 'it must be an absolute path'],
  [{ target: '/a/..' }, "destination can't be '/'"],
])('planMounts refuses %j', (changes, message) => {
  expect(() => planMounts([mount(changes)], [])).toThrow(message)
})

test('planMounts refuses one target twice', () => {
  const twice = [mount({ target: '/a/b' }), mount({ target: '/a//b/' })]

  expect(() =>
    planMounts(
      twice.map((each) => ({ ...each, type: 'tmpfs' })),
      [],
    ),
  ).toThrow('duplicate mount point: /a/b')
})

test.each<[Partial<Mount>, readonly string[]]>([
  [{ type: 'bind', source: '/s' }, ['rbind', 'rw', 'rprivate']],
  [
    { type: 'bind', source: '/s', readOnly: true, propagation: 'rslave' },
    ['rbind', 'ro', 'rslave'],
  ],
  [{ type: 'volume', source: 'v', readOnly: true }, ['rbind', 'ro', 'rprivate']],
  [{ type: 'tmpfs' }, ['noexec', 'nosuid', 'nodev', 'rw', 'mode=1777']],
  [
    { type: 'tmpfs', tmpfsMode: 0o700, tmpfsSizeBytes: 4096 },
    ['noexec', 'nosuid', 'nodev', 'rw', 'mode=700', 'size=4096'],
  ],
])('newOciMount of %j', (changes, options) => {
  const [plan] = planMounts([mount(changes)], [])

  expect(plan === undefined ? undefined : newOciMount(plan, '/s').options).toEqual(options)
})

test.each<[Mount['propagation'], string]>([
  ['rprivate', 'rprivate'],
  ['slave', 'rslave'],
  ['rshared', 'shared'],
])('the root propagates for a mount that is %s', (propagation, expected) => {
  const plan = planMounts([mount({ type: 'bind', source: '/s', propagation })], [])

  expect(rootPropagation(plan)).toBe(expected)
})
