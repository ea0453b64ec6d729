/** In which order managers are asked, from what a node knows of them. */
import { expect, test } from 'vitest'
import { listManagersToAsk } from './managers-to-ask.ts'

test.each<[string, Parameters<typeof listManagersToAsk>[0], readonly string[]]>([
  [
    "the session's manager first, itself last, each once",
    { agent: ['d', 'a'], members: ['a', 'own', 'b'], place: ['b', 'c'] },
    ['d', 'a', 'b', 'c', 'own'],
  ],
  ['those on disk where there is nothing else', { agent: [], members: [], place: ['c'] }, ['c']],
  ['itself only if it is one', { agent: ['a'], members: [], place: [] }, ['a']],
])('%s', (_, known, addrs) => {
  expect(listManagersToAsk(known, 'own')).toEqual(addrs)
})
