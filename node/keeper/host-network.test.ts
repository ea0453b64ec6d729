/**
 * A node's links and ports over the simulated kernel: adoption, failure, and removal.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SimKernel } from '../../test/sim/kernel.ts'
import { type HostNetwork, openHostNetwork } from './host-network.ts'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keeper-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

function open(kernel: SimKernel): Promise<HostNetwork> {
  return openHostNetwork({
    kernel,
    hash: 'abc1234',
    stateDirectory: folder,
    published: new Map(),
  })
}

const kinds = (kernel: SimKernel) => kernel.done.map((change) => change.kind)

test('a task gets an address of the first free pool, and keeps it', async () => {
  const kernel = new SimKernel(['0.0.0.0/0', '172.28.0.0/20'])
  const network = await open(kernel)

  const first = await network.attach('t1')

  expect(first).toEqual({ address: '172.28.16.2', namespace: 'ts-abc1234-t1' })
  expect(await network.attach('t1')).toEqual(first)
  expect(kernel.gateway).toBe('172.28.16.1')
})

test('what is asked while a round runs goes into the next one together', async () => {
  const kernel = new SimKernel()
  const network = await open(kernel)

  const links = await Promise.all(['t1', 't2', 't3'].map((taskId) => network.attach(taskId)))

  expect(new Set(links.map((link) => link.address)).size).toBe(3)
  expect(kinds(kernel)).toEqual(['set-gateway', 'set-table', 'add-link', 'add-link', 'add-link'])
})

test('a restarted daemon adopts links and remembers the pool', async () => {
  const kernel = new SimKernel()
  const before = await open(kernel)
  const { address } = await before.attach('t1')

  const after = await open(kernel)

  expect((await after.attach('t1')).address).toBe(address)
  expect((await after.attach('t2')).address).toBe('172.28.0.3')
  const emptied = new SimKernel(['172.28.0.0/20'])
  expect((await (await open(emptied)).attach('t3')).address).toMatch(/^172\.28\.0\./)
})

test('a change that fails is the failure of who asked, and the next one starts from the truth', async () => {
  const kernel = new SimKernel()
  const network = await open(kernel)
  kernel.failNext('add-link')

  await expect(network.attach('t1')).rejects.toMatchObject({ retriable: true })
  const link = await network.attach('t1')

  expect(link.namespace).toBe('ts-abc1234-t1')
  expect((await kernel.read()).links).toMatchObject([{ taskId: 't1', address: link.address }])
})

test('published ports stand in the table until they are taken back', async () => {
  const kernel = new SimKernel()
  const network = await open(kernel)
  const { address } = await network.attach('t1')
  const port = { protocol: 'tcp' as const, publishedPort: 8080, targetPort: 80, address }

  await network.publish('t1', [port])
  const published = kernel.table('tsswarm-abc1234')
  await network.unpublish('t1')

  expect(published).toContain(`tcp . 8080 : ${address} . 80`)
  expect(kernel.table('tsswarm-abc1234')).not.toContain('8080')
})

test('retain() removes the links of all tasks that do not live', async () => {
  const kernel = new SimKernel()
  const network = await open(kernel)
  await Promise.all(['t1', 't2'].map((taskId) => network.attach(taskId)))

  await network.retain(new Set(['t2']))

  expect((await kernel.read()).links.map((link) => link.taskId)).toEqual(['t2'])
})

test('remove() leaves nothing', async () => {
  const kernel = new SimKernel()
  const network = await open(kernel)
  await network.attach('t1')

  await network.remove()

  expect((await kernel.read()).links).toEqual([])
  expect(kernel.table('tsswarm-abc1234')).toBeUndefined()
  expect(kernel.gateway).toBeUndefined()
})
