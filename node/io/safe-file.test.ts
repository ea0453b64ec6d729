/** Whole files: content, mode, replacement, and leftovers of a crash. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { removeFileSafely, writeFileSafely } from './safe-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-safe-file-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('writeFileSafely() replaces a file whole, closed to others, and leaves nothing beside it', () => {
  const path = join(folder, 'replaced')
  writeFileSync(path, 'a longer text than the new one', { mode: 0o644 })
  writeFileSync(`${path}.tmp`, 'what a crash left, longer than the new one')

  writeFileSafely(path, 'new')

  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(readdirSync(folder)).toEqual(['replaced'])
})

test('writeFileSafely() makes files of mode 0600', () => {
  const path = join(folder, 'mode')

  writeFileSafely(path, new Uint8Array([1, 2, 3]))

  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(new Uint8Array(readFileSync(path))).toEqual(new Uint8Array([1, 2, 3]))
})

test('writeFileSafely() leaves the old file where the new one cannot be written', () => {
  const path = join(folder, 'absent', 'file')

  expect(() => writeFileSafely(path, 'x')).toThrow(/ENOENT/)
})

test('removeFileSafely() removes a file, and is content without one', () => {
  const path = join(folder, 'removed')
  writeFileSafely(path, 'x')

  removeFileSafely(path)
  removeFileSafely(path)

  expect(existsSync(path)).toBe(false)
})
