/**
 * docs/docker-api.md against the official definition and against the server: every operation is
 * named, and what the page says of it is what a client meets. Every field has a test, which is there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ApiClient } from '../../../test/api-client.ts'
import { EngineDefinition } from '../../../test/engine-definition.ts'

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/docker-api.md'), 'utf8')
const ROWS = [...PAGE.matchAll(/^\| `([A-Z]+ \/[^`]*)` \| (done|404|501) \| (.*) \|$/gm)].map(
  ([, operation = '', status = '', why = '']) => ({ operation, status, why }),
)
/** Rows of the tables of fields, and of the table of the short names of tests. */
const FIELDS = [...PAGE.matchAll(/^\| (`[A-Z][A-Za-z.]*`.*?) \| (.*) \| (.+) \|$/gm)].map(
  ([, field = '', state = '', tests = '']) => ({ field, state, tests: splitTests(tests) }),
)
const SHORT = new Map(
  [...PAGE.matchAll(/^\| ([a-z ]+) \| (`[\w/.-]+` ".*") \|$/gm)].map(
    ([, name = '', tests = '']) => [name, splitTests(tests)] as const,
  ),
)

function splitTests(cell: string): readonly string[] {
  return cell.split(/; (?=`|[a-z ]+(?:;|$))/)
}

/** What is wrong with a test that the page names: undefined where its file holds one of that name. */
function findFault(reference: string): string | undefined {
  const [, file = '', name = ''] = /^`([\w/.-]+\.test\.ts)` "(.+)"$/.exec(reference) ?? []
  if (file === '') return `no test: ${reference}`
  const path = join(import.meta.dirname, '../../..', file)
  if (!existsSync(path)) return `no file: ${file}`
  const title = name.replaceAll('\\"', '"')
  const isThere = ["'", '`', '"'].some((quote) =>
    readFileSync(path, 'utf8').includes(`${quote}${title}${quote}`),
  )
  return isThere ? undefined : `no test of that name: ${reference}`
}

describe('docs/docker-api.md', () => {
  test('names a test for each field, and each one is there', () => {
    const named = [...SHORT.values(), ...FIELDS.map(({ tests }) => tests)].flat()
    const faults = named.filter((test) => !SHORT.has(test)).map(findFault)

    expect(FIELDS.length).toBeGreaterThan(70)
    expect(faults.filter((fault) => fault !== undefined)).toEqual([])
    expect([...SHORT.keys()].filter((name) => !named.includes(name))).toEqual([])
  })

  test('names no field as refused that its test does not refuse', () => {
    const texts = ['./routes.test.ts', './shape/service-spec.test.ts'].map((file) =>
      readFileSync(join(import.meta.dirname, file), 'utf8'),
    )
    const missing = FIELDS.filter(({ state }) => state.startsWith('refused')).flatMap(({ field }) =>
      [...field.matchAll(/`([\w.]+)`/g)]
        .map(([, path = '']) => path.split('.').at(-1) ?? '')
        .filter((name) => texts.every((text) => !text.includes(name))),
    )

    expect(missing).toEqual([])
  })

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
