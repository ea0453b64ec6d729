/** What a client is told of how far a service is. */
import { expect, test } from 'vitest'
import { service, storeWith, task } from '../../../test/build.ts'
import { serviceStatusToJson } from './service-status.ts'

const done = { serviceId: 'job', jobIteration: 2, status: { state: 'complete' } } as const

test('a slot of a job that was done twice is counted once, and another iteration not at all', () => {
  const mode = {
    kind: 'replicatedJob',
    replicatedJob: { maxConcurrent: 1, totalCompletions: 3 },
  } as const
  const job = {
    ...service({ id: 'job', spec: { mode } }),
    jobStatus: { iteration: 2, lastExecutionMs: 1 },
  }
  const tasks = [
    task({ id: 't1', slot: 1, ...done }),
    task({ id: 't2', slot: 1, ...done, createdClusterMs: 9 }),
    task({ id: 't3', slot: 2, ...done }),
    task({ id: 't4', slot: 3, ...done, jobIteration: 1 }),
  ]

  expect(serviceStatusToJson(storeWith({ services: [job], tasks }).view(), job)).toEqual({
    RunningTasks: 0,
    DesiredTasks: 1,
    CompletedTasks: 2,
  })
})

test('nodes are the slots of a global job', () => {
  const job = {
    ...service({ id: 'job', spec: { mode: { kind: 'globalJob', globalJob: {} } } }),
    jobStatus: { iteration: 2, lastExecutionMs: 1 },
  }
  const tasks = ['n1', 'n2'].map((nodeId) => task({ id: nodeId, slot: 0, nodeId, ...done }))

  const status = serviceStatusToJson(storeWith({ services: [job], tasks }).view(), job)

  expect(status['CompletedTasks']).toBe(2)
})
