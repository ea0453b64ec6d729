/**
 * Reading tar archives: those of our own writer and of the system's tar, and damaged ones.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import {
  formatTar,
  type ImageFile,
  imageFile,
  imageFolder,
  imageLink,
} from '../../../../deploy/quickstart/image.ts'
import { indexTar, readAt } from './tar.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-tar-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Names and contents of an archive as `indexTar` finds them. */
async function contents(bytes: Uint8Array): Promise<Readonly<Record<string, string>>> {
  const path = join(folder, 'archive.tar')
  writeFileSync(path, bytes)
  await using file = await open(path, 'r')
  const found: Record<string, string> = {}
  for (const [name, place] of await indexTar(file, 'archive')) {
    found[name] = new TextDecoder().decode(await readAt(file, place.offset, place.sizeBytes))
  }
  return found
}

/** One entry of another kind than our writer knows. */
function entry(type: string, content: string, name = 'x'): Buffer {
  const tar = Buffer.from(formatTar([imageFile(name, content)]).slice(0, -1024))
  tar.write(type, 156)
  tar.write('        ', 148)
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, '0')}\0`, 148)
  return tar
}

const pax = (key: string, value: string): string => {
  const record = ` ${key}=${value}\n`
  const length = record.length + String(record.length + 2).length
  return `${length}${record}`
}

test('indexTar finds files by clean names, and links by what they lead to', async () => {
  const files: readonly ImageFile[] = [
    imageFolder('a'),
    imageFile('a/one', 'first'),
    imageFile('./two', 'x'.repeat(513)),
    imageFile('empty', ''),
    imageLink('a/link', 'one'),
    imageLink('up', './a/../a/link'),
    imageLink('loop', 'loop'),
    imageFile(`${'long/'.repeat(25)}name`, 'deep'),
  ]

  expect(await contents(formatTar(files))).toEqual({
    'a/one': 'first',
    two: 'x'.repeat(513),
    empty: '',
    'a/link': 'first',
    up: 'first',
    [`${'long/'.repeat(25)}name`]: 'deep',
  })
})

test('indexTar reads GNU and pax names, each for the next file only', async () => {
  const long = 'n'.repeat(150)
  const bytes = Buffer.concat([
    entry('L', `${long}\0`, '././@LongLink'),
    entry('0', 'one', 'cut'),
    entry('x', pax('path', 'from/pax'), 'PaxHeaders/x'),
    entry('0', 'two', 'short'),
    entry('0', 'three', 'plain'),
    Buffer.alloc(1024),
  ])

  expect(await contents(bytes)).toEqual({ [long]: 'one', 'from/pax': 'two', plain: 'three' })
})

test('indexTar keeps names that climb below the archive', async () => {
  expect(Object.keys(await contents(formatTar([imageFile('../../etc/shadow', 'x')])))).toEqual([
    'etc/shadow',
  ])
})

test('indexTar refuses what is no archive, or is cut short', async () => {
  const whole = formatTar([imageFile('a', 'x'.repeat(2_000))])

  await expect(contents(Buffer.alloc(2_048, 'x'))).rejects.toThrow('is no tar archive')
  await expect(contents(whole.slice(0, 1_024))).rejects.toThrow('is cut short')
})
