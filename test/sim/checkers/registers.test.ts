/**
 * Histories of objects that are as they must be, and some that are not.
 */
import { expect, test } from 'vitest'
import { type Answer, History, type Kind, type Request } from './history.ts'
import { checkHistory } from './registers.ts'

/** One request after another; `answer` undefined leaves it without one. */
type Line = readonly [request: Request, answer: Answer | undefined]

const done: Answer = { kind: 'done' }
const create = (label: string): Request => ({ kind: 'create', label })
const update = (from: string, to: string): Request => ({ kind: 'update', from, to })
const restore = (label: string, previous = ''): Line => [
  { kind: 'restore', label, previous },
  { kind: 'done' },
]
const remove = (creation: string): Request => ({ kind: 'remove', creation })
const read = (label: string): Line => [{ kind: 'read' }, { kind: 'value', label }]

function play(kind: Kind, lines: readonly Line[], rollsBack: readonly string[] = []) {
  const history = new History()
  for (const label of rollsBack) history.rollsBack.add(label)
  for (const [request, answer] of lines) {
    const call = history.begin(kind, 'x', request)
    if (answer !== undefined) history.end(call, answer)
  }
  return [...checkHistory(history)]
}

test.each<[string, Kind, readonly Line[], readonly string[]]>([
  [
    'a life and another one',
    'config',
    [
      [create('c1'), done],
      read('c1'),
      [update('c1', 'c1.2'), done],
      [update('c1', 'c1.3'), { kind: 'changed' }],
      [remove('c1'), done],
      read(''),
      [create('c4'), done],
      [remove('c1'), { kind: 'missing' }],
      [create('c5'), { kind: 'exists' }],
      read('c4'),
    ],
    [],
  ],
  [
    'an update nobody heard of again',
    'secret',
    [[create('c1'), done], [update('c1', 'c1.2'), undefined], read('c1')],
    [],
  ],
  [
    'a late update',
    'secret',
    [[create('c1'), done], [update('c1', 'c1.2'), undefined], read('c1.2')],
    [],
  ],
  [
    'a service whose version the cluster changed',
    'service',
    [[create('c1'), done], [update('c1', 'c1.2'), { kind: 'changed' }], read('c1')],
    [],
  ],
  [
    'a service that was rolled back',
    'service',
    [[create('c1'), done], [update('c1', 'c1.2'), done], read('c1.2'), read('c1')],
    ['c1.2'],
  ],
  [
    'what a survivor does not have',
    'service',
    [
      [create('c1'), done],
      [update('c1', 'c1.2'), done],
      restore('c1'),
      read('c1'),
      [update('c1', 'c1.3'), done],
    ],
    [],
  ],
  [
    'a removal that a survivor has not heard of, and a rollback after it',
    'service',
    [[create('c1'), done], [remove('c1'), done], restore('c1.2', 'c1'), read('c1.2'), read('c1')],
    ['c1.2'],
  ],
])('%s is linearizable', (_what, kind, lines, rollsBack) => {
  expect(play(kind, lines, rollsBack)).toEqual([])
})

test.each<[string, Kind, readonly Line[], readonly string[]]>([
  ['a lost creation', 'service', [[create('c1'), done], read('')], []],
  ['a stale list', 'service', [[create('c1'), done], [update('c1', 'c1.2'), done], read('c1')], []],
  [
    'two of one name',
    'config',
    [
      [create('c1'), done],
      [create('c2'), done],
    ],
    [],
  ],
  ['a name refused that is free', 'config', [[create('c1'), { kind: 'exists' }]], []],
  [
    "an update over somebody's change",
    'service',
    [
      [create('c1'), done],
      [update('c1', 'c1.2'), done],
      [update('c1', 'c1.3'), done],
    ],
    [],
  ],
  [
    'a version refused that was the present one',
    'secret',
    [
      [create('c1'), done],
      [update('c1', 'c1.2'), { kind: 'changed' }],
    ],
    [],
  ],
  ['a removal undone', 'config', [[create('c1'), done], [remove('c1'), done], read('c1')], []],
  [
    'a service rolled back that must not be',
    'service',
    [[create('c1'), done], [update('c1', 'c1.2'), done], read('c1')],
    [],
  ],
  [
    'what a survivor has and does not say',
    'config',
    [[create('c1'), done], restore('c1'), read('')],
    [],
  ],
  [
    'what a survivor does not have and says',
    'config',
    [[create('c1'), done], [update('c1', 'c1.2'), done], restore('c1'), read('c1.2')],
    [],
  ],
  [
    'a rollback that is undone',
    'service',
    [[create('c1'), done], [update('c1', 'c1.2'), done], read('c1'), read('c1.2')],
    ['c1.2'],
  ],
])('%s is found out', (_what, kind, lines, rollsBack) => {
  expect(play(kind, lines, rollsBack).join()).toContain(`S10: ${kind} x is not linearizable`)
})

test('a history of many requests without an answer is judged (seeds 3006, 20041)', () => {
  const lines: Line[] = [[create('c1'), done]]
  const labels = ['c1.2']
  lines.push([update('c1', 'c1.2'), undefined])
  for (let number = 3; number < 23; number++) {
    const label = `c1.${number}`
    lines.push([update(number % 3 === 0 ? 'c1' : 'c1.2', label), undefined])
    lines.push([{ kind: 'rollback', from: label }, undefined], [remove('c1'), undefined])
    labels.push(label)
  }

  expect(play('service', [...lines, read('c1.20'), read('')], labels)).toEqual([])
  expect(
    play('service', [...lines, read('c1.20'), read(''), read('c1.2')], labels).join(),
  ).toContain('S10: service x is not linearizable')
})
