/**
 * Constraints: what parses, what is refused, and what a node matches; cases of SwarmKit's own.
 */
import { expect, test } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { node } from '../../test/build.ts'
import { matchesConstraints, parseConstraint } from './constraint.ts'

test.each([
  ['node.id == abc', { key: 'node.id', operator: '==', value: 'abc' }],
  ['  node.role!=manager  ', { key: 'node.role', operator: '!=', value: 'manager' }],
  [
    'node.labels.region==us-east 1',
    { key: 'node.labels.region', operator: '==', value: 'us-east 1' },
  ],
  ['node.ip==10.0.0.0/8', { key: 'node.ip', operator: '==', value: '10.0.0.0/8' }],
  [
    'engine.labels.a_b-c.d==*.(x)?+[y]\\^$|/',
    {
      key: 'engine.labels.a_b-c.d',
      operator: '==',
      value: '*.(x)?+[y]\\^$|/',
    },
  ],
])('parseConstraint() reads %j', (text, expected) => {
  expect(parseConstraint(text)).toEqual(expected)
})

test.each([
  ['node.id', 'constraint expected one operator from ==, !='],
  ['node.id=abc', 'constraint expected one operator from ==, !='],
  ['', 'constraint expected one operator'],
  ['a==b', "key 'a' is invalid"],
  ['1node==b', "key '1node' is invalid"],
  ['no/de==b', "key 'no/de' is invalid"],
  ['==b', "key '' is invalid"],
  ['node.id==', "value '' is invalid"],
  ['node.id==a,b', "value 'a,b' is invalid"],
  ['node.id==a>b', "value 'a>b' is invalid"],
  ['node.id==ä', "value 'ä' is invalid"],
  ['node.id!=a==b', "key 'node.id!=a' is invalid"],
])('parseConstraint() refuses %j', (text, why) => {
  const parse = (): unknown => parseConstraint(text)

  expect(parse).toThrow(SwarmError)
  expect(parse).toThrow(why)
  expect(parse).toThrow(`"${text}"`)
})

const labelled = node({
  id: 'abcDEF',
  spec: {
    role: 'manager',
    annotations: {
      labels: new Map([
        ['Region', 'East'],
        ['empty', ''],
      ]),
    },
  },
  description: {
    hostname: 'host-1',
    platform: { architecture: 'x86_64', os: 'linux' },
    engineLabels: new Map([['storage', 'ssd']]),
  },
  certificateRole: 'worker',
  status: { addr: '10.1.2.3' },
})

test.each([
  ['node.id==ABCdef', true],
  ['node.id!=other', true],
  ['NODE.Hostname==HOST-1', true],
  ['node.hostname==host-*', false],
  // The observed role counts, which lags behind the desired one.
  ['node.role==worker', true],
  ['node.role==manager', false],
  ['node.platform.os==Linux', true],
  ['node.platform.arch==x86_64', true],
  ['node.platform.arch!=x86_64', false],
  ['node.labels.Region==east', true],
  ['Node.Labels.Region==east', true],
  ['node.labels.region==east', false],
  ['node.labels.region!=east', true],
  ['node.labels.missing==x', false],
  ['node.labels.missing!=x', true],
  ['engine.labels.storage==SSD', true],
  ['engine.labels.storage!=ssd', false],
  ['node.ip==10.1.2.3', true],
  ['node.ip!=10.1.2.3', false],
  ['node.ip==10.1.0.0/16', true],
  ['node.ip!=10.2.0.0/16', true],
  ['node.ip==2001:db8::/32', false],
  ['node.ip==nonsense', false],
  ['node.ip!=nonsense', false],
  ['node.unknown==x', false],
  ['node.unknown!=x', false],
  ['node.labels.==x', false],
])('the node matches %j: %s', (text, expected) => {
  expect(matchesConstraints([parseConstraint(text)], labelled)).toBe(expected)
})

test('constraints are combined by and', () => {
  const both = ['node.ip==10.1.2.3', 'node.role==manager'].map(parseConstraint)

  expect(matchesConstraints(both, labelled)).toBe(false)
  expect(matchesConstraints([], labelled)).toBe(true)
})

test('a node that never registered has no hostname, platform, label or address', () => {
  const bare = node({ description: undefined, status: undefined })

  expect(matchesConstraints([parseConstraint('node.hostname==node1')], bare)).toBe(false)
  expect(matchesConstraints([parseConstraint('node.platform.os!=linux')], bare)).toBe(true)
  expect(matchesConstraints([parseConstraint('node.ip==10.0.0.0/8')], bare)).toBe(false)
  expect(matchesConstraints([parseConstraint('node.ip!=10.0.0.0/8')], bare)).toBe(true)
})
