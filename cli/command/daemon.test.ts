/** The help of `tsswarm daemon` names the flags that the daemon reads, and no others. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { nameOfFlag } from '../command.ts'
import { daemonCommand } from './daemon.ts'

test('the help of the daemon has the flags of its configuration', () => {
  const source = readFileSync(join(import.meta.dirname, '../../node/config.ts'), 'utf8')
  const [, options = ''] = /const OPTIONS = \{\n([\s\S]*?)\n\} as const/.exec(source) ?? []
  const expected = [...options.matchAll(/^ {2}'?([a-z-]+)'?: \{/gm)].map(([, name]) => name)

  expect(expected).not.toHaveLength(0)
  expect(daemonCommand.flags.map(({ flags }) => nameOfFlag(flags)).sort()).toEqual(expected.sort())
})
