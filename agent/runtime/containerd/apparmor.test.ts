/**
 * The AppArmor profile: loaded where AppArmor is on, missed with a warning where it cannot be.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { newHost } from '../../../test/runtime-host.ts'
import { loadAppArmor } from './apparmor.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-apparmor-'))
afterAll(() => rmSync(folder, { recursive: true }))
const enabled = join(folder, 'enabled')

test('loadAppArmor does nothing where the kernel has none', async () => {
  writeFileSync(enabled, 'N\n')

  expect(await loadAppArmor(newHost(), folder, join(folder, 'none'))).toEqual({
    profile: undefined,
    warnings: [],
  })
  expect((await loadAppArmor(newHost(), folder, enabled)).profile).toBeUndefined()
})

test('loadAppArmor gives the profile to the parser', async () => {
  writeFileSync(enabled, 'Y\n')
  const commands: (readonly string[])[] = []
  const host = newHost({
    run: async (argv) => {
      commands.push(argv)
      return { exitCode: 0, stdout: '', stderr: '' }
    },
  })

  expect((await loadAppArmor(host, folder, enabled)).profile).toBe('tsswarm-default')

  const path = commands[0]?.at(-1) ?? ''
  expect(commands[0]?.[0]).toBe('apparmor_parser')
  expect(readFileSync(path, 'utf8')).toMatch(/^profile tsswarm-default .*deny mount,.*\n}\n$/s)
})

test('loadAppArmor says what is missing', async () => {
  writeFileSync(enabled, 'Y\n')
  const failing = newHost({
    run: async () => ({ exitCode: 1, stdout: '', stderr: 'syntax error\n' }),
  })

  expect(await loadAppArmor(failing, folder, enabled)).toEqual({
    profile: undefined,
    warnings: ['containers run without AppArmor (syntax error); install the package apparmor'],
  })
})
