/** Containers at a host's shutdown: all are stopped side by side, within a time. */
import { expect, test } from 'vitest'
import type { Runtime } from '../agent/runtime/runtime.ts'
import { type Log, silentLog } from '../lib/log.ts'
import { emptyTask, type Task } from '../proto/gen/objects.ts'
import { stopContainers } from './host-shutdown.ts'

const task = (id: string): Task => ({ ...emptyTask, id })

function runtimeWith(stop: (task: Task) => Promise<void>): Runtime {
  const refuse = () => Promise.reject(new Error('not asked for here'))
  return {
    name: 'process',
    describe: refuse,
    list: refuse,
    prepare: refuse,
    start: refuse,
    probe: refuse,
    stop,
    remove: refuse,
    watch: () => undefined,
    logs: () => {
      throw new Error('not asked for here')
    },
    close: refuse,
  }
}

test('containers of a host that shuts down are stopped side by side', async () => {
  const stopping: string[] = []
  let free: () => void = () => undefined
  const all = new Promise<void>((resolve) => {
    free = resolve
  })
  const runtime = runtimeWith(async ({ id }) => {
    stopping.push(id)
    if (stopping.length === 2) free()
    await all
  })

  await stopContainers(runtime, [task('a'), task('b')], silentLog, 60_000)

  expect(stopping).toEqual(['a', 'b'])
})

test('a container that is not stopped holds the host up no longer than allowed', async () => {
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (_fields, message) => warnings.push(message) }
  const runtime = runtimeWith(({ id }) =>
    id === 'stuck' ? new Promise(() => undefined) : Promise.reject(new Error('no such container')),
  )

  await stopContainers(runtime, [task('stuck'), task('gone')], log, 1)

  expect(warnings).toEqual(['container not stopped'])
})
