/** The agent's file: what was saved last is loaded, and nobody else reads it. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { newStateFile } from './state-file.ts'
import { newStateSeal } from './state-seal.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-state-file-'))
afterAll(() => rmSync(folder, { recursive: true }))
const seal = newStateSeal(new Uint8Array(32).fill(7))
const text = (of: string): Uint8Array => new TextEncoder().encode(of)

test('nothing is there before the first, then what was saved last', () => {
  const path = join(folder, 'agent', 'state')

  expect(newStateFile(path, seal).load()).toBeUndefined()
  newStateFile(path, seal).save(text('first'))
  newStateFile(path, seal).save(text('PASSWORD=letmein'))

  expect(new Uint8Array(newStateFile(path, seal).load() ?? [])).toEqual(text('PASSWORD=letmein'))
  expect(readFileSync(path).includes('letmein')).toBe(false)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(folder, 'agent')).mode & 0o777).toBe(0o700)
})

test('a damaged file is refused by its name', () => {
  const path = join(folder, 'damaged')
  newStateFile(path, seal).save(text('state'))
  const bytes = readFileSync(path)
  bytes[20] = (bytes[20] ?? 0) ^ 1
  writeFileSync(path, bytes)

  expect(() => newStateFile(path, seal).load()).toThrow(path)
})
