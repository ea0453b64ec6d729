/**
 * docs/docker-api.md against the official definition and against the server: every operation is
 * named, and what the page says of it is what a client meets.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ApiClient } from '../../../test/api-client.ts'
import { EngineDefinition } from '../../../test/engine-definition.ts'

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/docker-api.md'), 'utf8')
const ROWS = [...PAGE.matchAll(/^\| `([A-Z]+ \/[^`]*)` \| (done|404|501) \| (.*) \|$/gm)].map(
  ([, operation = '', status = '', why = '']) => ({ operation, status, why }),
)

describe('docs/docker-api.md', () => {
  test('names every operation of the definition, and gives a reason for what is not done', () => {
    const operations = EngineDefinition.find()?.listOperations() ?? ROWS.map((row) => row.operation)

    expect(ROWS.map((row) => row.operation)).toEqual(operations)
    expect(ROWS.filter(({ status, why }) => status !== 'done' && why === '')).toEqual([])
  })

  test.each(ROWS)('says of $operation what the server does: $status', async (row) => {
    const path = row.operation.replaceAll(/\{\w+\}/g, 'x').replace('/events', '/events?until=1')

    const reply = await new ApiClient().ask(path, path.startsWith('POST') ? {} : undefined)

    if (row.status === 'done') expect(reply.status).not.toBe(501)
    else expect(String(reply.status)).toBe(row.status)
    expect(reply.text).not.toContain('page not found')
  })
})
