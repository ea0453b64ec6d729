/** JsonCache: text of objects, made once for each version. */
import { expect, test } from 'vitest'
import { JsonCache } from './json-cache.ts'

test('text() writes an object once, and members of the moment each time', () => {
  const written: number[] = []
  const cache = new JsonCache<{ readonly n: number }>(({ n }) => {
    written.push(n)
    return { N: n }
  })
  const one = { n: 1 }

  expect(cache.text(one)).toBe('{"N":1}')
  expect(cache.text(one, { Leader: true })).toBe('{"N":1,"Leader":true}')
  expect(cache.text(one, { Leader: undefined })).toBe('{"N":1}')
  expect(cache.list([one, { n: 2 }], ({ n }) => ({ Odd: n % 2 === 1 }))).toBe(
    '[{"N":1,"Odd":true},{"N":2,"Odd":false}]',
  )
  expect(cache.list([])).toBe('[]')
  expect(written).toEqual([1, 2])
})
