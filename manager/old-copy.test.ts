/** Who has forgotten what it promised ends when its leader remembers, and nobody else does. */
import { expect, test } from 'vitest'
import { refuseOldCopy } from './old-copy.ts'
import { emptyMessage, type Message } from './raft/message.ts'

const OWN = { term: 3, lastIndex: 10 }
const heartbeat = (change: Partial<Message> = {}): Message => ({
  ...emptyMessage,
  ...{ type: 'heartbeat', from: 1, to: 2, term: 3, commit: 11, ...change },
})

test.each([
  ['of this term', heartbeat()],
  ['of a later term', heartbeat({ term: 4 })],
])('a heartbeat %s that names more than the log holds is refused', (_, message) => {
  expect(() => refuseOldCopy(message, OWN)).toThrow(
    /acknowledged entry 11.*ends at entry 10.*--rebuild/,
  )
})

test.each([
  ['a heartbeat that names what is there', heartbeat({ commit: 10 })],
  ['a heartbeat of an earlier term, which Raft ignores', heartbeat({ term: 2 })],
  ['an append, which brings what it names', heartbeat({ type: 'append' })],
])('%s is taken', (_, message) => {
  expect(() => refuseOldCopy(message, OWN)).not.toThrow()
})
