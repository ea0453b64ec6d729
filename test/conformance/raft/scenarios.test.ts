/**
 * The table of scenarios in docs/raft.md names tests that are there: a test that is renamed or
 * removed takes its row along.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../../..')

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

test('every scenario in docs/raft.md names a test of its file', () => {
  const rows = [...read('docs/raft.md').matchAll(/^\| .+ \| `(.+\.test\.ts)` \| (.+) \|$/gm)]

  const missing = rows.filter(
    ([, file = '', name = '']) => !read(`manager/raft/${file}`).includes(name),
  )

  expect(rows.length).toBeGreaterThan(100)
  expect(missing.map(([row]) => row)).toEqual([])
})
