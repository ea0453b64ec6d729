/**
 * Builders: what is given is there, the rest is whole, and a store of them finds them.
 */
import { expect, test } from 'vitest'
import { cluster, config, node, secret, service, storeWith, task } from './build.ts'

test('a builder merges at any depth and fills in the rest', () => {
  const made = task({ id: 't1', status: { state: 'running', container: { pid: 4 } } })

  expect(made.status?.state).toBe('running')
  expect(made.status?.message).toBe('created')
  expect(made.status?.container).toEqual({ containerId: '', pid: 4, exitCode: 0 })
  expect(made.serviceAnnotations?.name).toBe('service1')
})

test('a builder fills a message that it would leave out', () => {
  const made = service({ spec: { update: { parallelism: 2 } } })

  expect(made.spec?.update).toMatchObject({ parallelism: 2, delayMs: 0, failureAction: 'pause' })
  expect(made.spec?.task?.resources).toBeUndefined()
})

test('a builder takes away what is undefined and takes unions whole', () => {
  const made = service({ spec: { task: undefined, mode: { kind: 'global', global: {} } } })

  expect(made.spec?.task).toBeUndefined()
  expect(made.spec?.mode).toEqual({ kind: 'global', global: {} })
})

test('built objects cannot be changed in place', () => {
  const made: { availability?: string } | undefined = node().spec

  expect(() => Object.assign(made ?? {}, { availability: 'drain' })).toThrow(TypeError)
})

test('storeWith() holds one object of each kind', () => {
  const view = storeWith({
    clusters: [cluster()],
    nodes: [node()],
    services: [service()],
    tasks: [task()],
    secrets: [secret()],
    configs: [config()],
    index: 7,
  }).view()

  expect(view.index).toBe(7)
  expect([...view.clusters.by('name', 'default')]).toHaveLength(1)
  expect([...view.nodes.by('role', 'worker')]).toHaveLength(1)
  expect([...view.services.by('name', 'service1')]).toHaveLength(1)
  expect([...view.tasks.by('slot', 'service1/1')]).toHaveLength(1)
  expect(view.secrets.get('secret1')?.spec?.data).toEqual(new Uint8Array([1]))
  expect(view.configs.get('config1')?.meta?.version).toBe(7)
})
