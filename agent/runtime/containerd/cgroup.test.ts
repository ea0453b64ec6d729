/**
 * Cgroups of both versions and drivers, in folders made to look like them.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Cgroups } from './cgroup.ts'

const base = mkdtempSync(join(tmpdir(), 'tsswarm-cgroup-'))
afterAll(() => rmSync(base, { recursive: true }))

type Driver = 'cgroupfs' | 'systemd'

function newCgroups(driver: Driver, files: Readonly<Record<string, string>>): Cgroups {
  const root = mkdtempSync(join(base, 'root-'))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const parent = driver === 'systemd' ? 'tsswarm.slice:tsswarm-h' : '/tsswarm/h'
  return new Cgroups({ root, driver, parent })
}

const unified = { 'cgroup.controllers': 'cpu memory pids\n' }
const scope = 'tsswarm.slice/tsswarm-h-t1.scope'

test('the version is that of the mounted file system', () => {
  expect(newCgroups('cgroupfs', unified).version).toBe(2)
  expect(newCgroups('cgroupfs', { 'memory/tasks': '' }).version).toBe(1)
})

test('a container’s cgroup is called as the driver wants it', () => {
  expect(newCgroups('cgroupfs', unified).specPath('t1')).toBe('/tsswarm/h/t1')
  expect(newCgroups('systemd', unified).specPath('t1')).toBe('tsswarm.slice:tsswarm-h:t1')
})

test.each<[Driver, Readonly<Record<string, string>>, boolean]>([
  ['cgroupfs', { 'memory/tsswarm/h/t1/memory.oom_control': 'under_oom 0\noom_kill 1\n' }, true],
  ['cgroupfs', { 'memory/tsswarm/h/t1/memory.oom_control': 'under_oom 1\noom_kill 0\n' }, false],
  ['cgroupfs', { ...unified, 'tsswarm/h/t1/memory.events': 'oom 1\noom_kill 2\n' }, true],
  ['cgroupfs', { ...unified, 'tsswarm/h/t1/memory.events': 'oom 1\noom_kill 0\n' }, false],
  ['systemd', { ...unified, [`${scope}/memory.events`]: 'oom_kill 1\n' }, true],
  ['cgroupfs', { 'memory/tasks': '' }, false],
])('wasOomKilled with %s and %j', async (driver, files, expected) => {
  expect(await newCgroups(driver, files).wasOomKilled('t1')).toBe(expected)
})

test.each<[Readonly<Record<string, string>>, boolean]>([
  [{ 'memory/memory.memsw.limit_in_bytes': '1' }, true],
  [{ 'memory/tasks': '' }, false],
  [{ ...unified, 'system.slice/memory.swap.max': 'max' }, true],
  [{ ...unified, 'system.slice/memory.max': 'max' }, false],
])('hasSwapLimit with %j', (files, expected) => {
  expect(newCgroups('cgroupfs', files).hasSwapLimit()).toBe(expected)
})

const none = Number.POSITIVE_INFINITY

test.each<[Driver, Readonly<Record<string, string>>, number, number]>([
  ['cgroupfs', unified, none, none],
  ['cgroupfs', { ...unified, 'memory.max': '4096\n', 'cpu.max': 'max 100000\n' }, none, 4_096],
  ['cgroupfs', { ...unified, 'tsswarm/cpu.max': '150000 100000\n' }, 1.5e9, none],
  ['cgroupfs', { ...unified, 'tsswarm/memory.max': '9', 'tsswarm/h/memory.max': '8' }, none, 8],
  ['systemd', { ...unified, 'tsswarm.slice/memory.max': '4096\n' }, none, 4_096],
  ['cgroupfs', { 'memory/tsswarm/memory.limit_in_bytes': '4096' }, none, 4_096],
  ['cgroupfs', { 'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000' }, none, none],
  [
    'cgroupfs',
    { 'cpu/tsswarm/cpu.cfs_quota_us': '50000', 'cpu/tsswarm/cpu.cfs_period_us': '100000' },
    5e8,
    none,
  ],
])('findLimits with %s and %j', (driver, files, nanoCpus, memoryBytes) => {
  expect(newCgroups(driver, files).findLimits()).toEqual({ nanoCpus, memoryBytes })
})

test('killAll has nothing to do where there is no process', async () => {
  const cgroups = newCgroups('cgroupfs', { ...unified, 'tsswarm/h/t1/cgroup.procs': '' })

  await cgroups.killAll('t1')
  await cgroups.killAll('none')
})
