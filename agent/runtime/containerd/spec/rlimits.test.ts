/**
 * Resource limits: the defaults, and their ceilings where the host cannot raise them.
 */
import { expect, test } from 'vitest'
import { listRlimits, parseCeilings } from './rlimits.ts'

const limits = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max core file size        0                    4096                 bytes
Max processes             10                   20                   processes
Max open files            1024                 20000                files
Max nice priority         0                    0
`
const status = (capabilities: string): string => `Name:\tx\nCapEff:\t${capabilities}\nCapBnd:\t0\n`
const all = '000001ffffffffff'
const withoutResource = '000001fffeffffff'

const limitOf = (type: string, ceilings: ReturnType<typeof parseCeilings>): unknown =>
  listRlimits(ceilings).find((limit) => limit.type === `RLIMIT_${type}`)

test('a host that may raise limits raises them to the defaults', () => {
  const ceilings = parseCeilings({ status: status(all), limits, openFilesMax: '1073741816\n' })

  expect(limitOf('NOFILE', ceilings)).toMatchObject({ soft: 1_048_576, hard: 1_048_576 })
  expect(limitOf('NPROC', ceilings)).toMatchObject({ soft: Infinity, hard: Infinity })
  expect(limitOf('CORE', ceilings)).toMatchObject({ soft: 0, hard: Infinity })
  expect(listRlimits(ceilings)).toHaveLength(16)
})

test('the kernel’s own maximum of open files is never exceeded', () => {
  const ceilings = parseCeilings({ status: status(all), limits, openFilesMax: '65536' })

  expect(limitOf('NOFILE', ceilings)).toMatchObject({ soft: 65_536, hard: 65_536 })
})

test('a host that may not raise limits gives what it has', () => {
  const ceilings = parseCeilings({
    status: status(withoutResource),
    limits,
    openFilesMax: '9999999',
  })

  expect(limitOf('NOFILE', ceilings)).toMatchObject({ soft: 20_000, hard: 20_000 })
  expect(limitOf('NPROC', ceilings)).toMatchObject({ soft: 20, hard: 20 })
  expect(limitOf('CORE', ceilings)).toMatchObject({ soft: 0, hard: 4_096 })
  expect(limitOf('CPU', ceilings)).toMatchObject({ soft: Infinity, hard: Infinity })
})
