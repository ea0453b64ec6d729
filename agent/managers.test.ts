/** Tables for whom an agent dials. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { Managers } from './managers.ts'

const [a, b, c] = ['a', 'b', 'c'].map((addr) => ({ nodeId: addr, addr }))

function share(managers: Managers, addr: string): number {
  const random = newSeededRandom(7)
  const chosen = Array.from({ length: 2_000 }, () => managers.choose(random)?.addr)
  return chosen.filter((one) => one === addr).length / 2_000
}

function newManagers(): Managers {
  const managers = new Managers()
  managers.replace([a, b, c].flatMap((one) => one ?? []))
  return managers
}

test('unknown managers are dialed alike', () => {
  const managers = newManagers()

  for (const addr of ['a', 'b', 'c']) expect(share(managers, addr)).toBeCloseTo(1 / 3, 1)
  expect(new Managers().choose(newSeededRandom(1))).toBeUndefined()
})

test('the one that failed last is not dialed while there is another', () => {
  const managers = newManagers()

  managers.observe('a', 'bad')

  expect(share(managers, 'a')).toBe(0)
})

test('the only one is dialed although it failed', () => {
  const managers = new Managers()
  managers.add([{ nodeId: 'a', addr: 'a' }])

  managers.observe('a', 'bad')

  expect(managers.choose(newSeededRandom(1))?.addr).toBe('a')
})

test('good ones are dialed more often, bad ones now and then', () => {
  const managers = newManagers()

  for (let i = 0; i < 10; i++) managers.observe('b', 'bad')
  for (let i = 0; i < 10; i++) managers.observe('a', 'good')

  expect(share(managers, 'a')).toBeGreaterThan(0.5)
  expect(share(managers, 'b')).toBeGreaterThan(0)
  expect(share(managers, 'b')).toBeLessThan(0.1)
})

test('replace() keeps the weights of those still known, and an empty list changes nothing', () => {
  const managers = newManagers()
  for (let i = 0; i < 10; i++) managers.observe('a', 'bad')
  managers.observe('c', 'good')

  managers.replace([
    { nodeId: 'a', addr: 'a' },
    { nodeId: 'd', addr: 'd' },
  ])
  managers.replace([])

  expect(managers.list().map(({ addr }) => addr)).toEqual(['a', 'd'])
  expect(share(managers, 'a')).toBeLessThan(0.1)
})

test('each is dialed once before one is dialed again, and then the round is over', () => {
  const managers = newManagers()
  const random = newSeededRandom(3)
  for (let round = 0; round < 20; round++) {
    const dialed = [0, 1, 2].map(() => {
      const addr = managers.choose(random)?.addr ?? ''
      managers.observe(addr, 'bad')
      return `${addr}${managers.isRoundOver ? ' over' : ''}`
    })
    expect(dialed.map((text) => text.slice(0, 1)).sort()).toEqual(['a', 'b', 'c'])
    expect(dialed.map((text) => text.slice(1))).toEqual(['', '', ' over'])
  }
  managers.observe('a', 'good')
  expect(managers.isRoundOver).toBe(false)
})

/** Who is dialed, each in vain; a bar ends a round. */
function dialInVain(managers: Managers, rounds: number): readonly string[] {
  const random = newSeededRandom(3)
  const dialed: string[] = []
  for (let round = 0; round < rounds; ) {
    const addr = managers.choose(random)?.addr ?? ''
    managers.observe(addr, 'bad')
    if (managers.isRoundOver) round += 1
    dialed.push(managers.isRoundOver ? `${addr} |` : addr)
  }
  return dialed
}

test('where no present manager is found, each round ends with one of the former, the last heard of first', () => {
  const managers = newManagers()
  managers.replace([{ nodeId: 'd', addr: 'd' }])
  managers.replace([{ nodeId: 'e', addr: 'e' }])

  const early = dialInVain(managers, 8)
  const late = dialInVain(managers, 5)

  expect(managers.list().map(({ addr }) => addr)).toEqual(['e'])
  expect(early).toEqual(Array.from({ length: 8 }, () => 'e |'))
  expect(late).toEqual(['e', 'd |', 'e', 'a |', 'e', 'b |', 'e', 'c |', 'e', 'd |'])
  // One of them is found: the next failure is the first again.
  managers.observe('d', 'good')
  expect(dialInVain(managers, 1)).toEqual(['e |'])
})

test('who is named again is no former manager, and of these only so many are kept', () => {
  const managers = newManagers()

  for (let at = 0; at < 30; at++) managers.replace([{ nodeId: '', addr: `h${at}` }])
  const isNew = managers.add([{ nodeId: '', addr: 'h28' }])
  const isNewAgain = managers.add([{ nodeId: '', addr: 'h28' }])

  expect([isNew, isNewAgain]).toEqual([true, false])
  expect(managers.list().map(({ addr }) => addr)).toEqual(['h28', 'h29'])
  expect(managers.listFormer().map(({ addr }) => addr)).toEqual(
    Array.from({ length: 15 }, (_, at) => `h${27 - at}`),
  )
})
