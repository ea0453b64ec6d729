/**
 * What the log writes, and above all what it does not.
 */
import { expect, test } from 'vitest'
import { newLog } from './log.ts'

function newSink(): { readonly lines: string[]; write(line: string): void } {
  const lines: string[] = []
  return { lines, write: (line) => void lines.push(line) }
}

test('log writes one JSON object a line with level, time, bindings and fields', () => {
  const destination = newSink()
  const log = newLog({ level: 'info', destination }).child({ component: 'store', node: 'n1' })

  log.info({ index: 7 }, 'entry applied')
  log.debug({}, 'unseen')

  expect(destination.lines.map((line) => JSON.parse(line))).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      component: 'store',
      node: 'n1',
      index: 7,
      msg: 'entry applied',
    },
  ])
})

test('log hides secrets, tokens and keys down to the third level, and in bindings', () => {
  const destination = newSink()
  const log = newLog({ level: 'info', destination })

  log.info({ token: 'SWMTKN-1-x', spec: { data: 'hunter2', name: 'kept' } }, 'secret created')
  log.info({ request: { spec: { env: ['A=hunter2'] }, registryAuth: 'hunter2' } }, 'task made')
  log.child({ rootCa: { keyPem: 'hunter2' } }).info({}, 'root made')

  const text = destination.lines.join('')
  expect(text).not.toMatch(/hunter2|SWMTKN/)
  expect(text).toContain('kept')
})

test('log writes an error with its message, stack and cause', () => {
  const destination = newSink()
  const error = new Error('outer failed', { cause: new Error('inner failed') })

  newLog({ level: 'error', destination }).error({ error }, 'round failed')

  expect(destination.lines.join('')).toMatch(/outer failed.*inner failed/)
})
