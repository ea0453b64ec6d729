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

test('killAll has nothing to do where there is no process', async () => {
  const cgroups = newCgroups('cgroupfs', { ...unified, 'tsswarm/h/t1/cgroup.procs': '' })

  await cgroups.killAll('t1')
  await cgroups.killAll('none')
})
