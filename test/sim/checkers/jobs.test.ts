/**
 * The checker of jobs fires on bad histories, and on nothing else.
 */
import { describe, expect, test } from 'vitest'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { type Part, service, storeWith, task } from '../../build.ts'
import { JobChecker } from './jobs.ts'
import { type Entry, play } from './play.ts'

const job = (iteration: number, maxConcurrent = 1, totalCompletions = 2): Service => ({
  ...service({
    id: 'job',
    spec: { mode: { kind: 'replicatedJob', replicatedJob: { maxConcurrent, totalCompletions } } },
  }),
  jobStatus: { iteration, lastExecutionMs: 0 },
})
const of = (id: string, slot: number, part: Part<Task> = {}): Task =>
  task({ id, serviceId: 'job', slot, jobIteration: 1, ...part })
const done: Part<Task> = { desiredState: 'shutdown', nodeId: 'n1', status: { state: 'complete' } }
const failed: Part<Task> = { desiredState: 'shutdown', nodeId: 'n1', status: { state: 'failed' } }
const once: Part<Task> = { spec: { restart: { maxAttempts: 1 } } }
const retry = (id: string, replaces: string, part: Part<Task> = {}): Task =>
  of(id, 1, { replaces, desiredState: 'ready', ...part })

describe('the checker of jobs', () => {
  test.each<[string, readonly Entry[]]>([
    [
      'a job from its beginning to its end',
      [
        { services: [job(1)] },
        { tasks: [of('t1', 1)] },
        { tasks: [of('t1', 1, failed), retry('t2', 't1')] },
        { tasks: [retry('t2', 't1', { desiredState: 'running' })] },
        { tasks: [of('t2', 1, { replaces: 't1', ...done }), of('t3', 2)] },
        { tasks: [of('t3', 2, done)] },
      ],
    ],
    [
      'one that is run anew',
      [
        { services: [job(1)] },
        { tasks: [of('t1', 1, done)] },
        { services: [job(2)], tasks: [of('t2', 1, { jobIteration: 2 })] },
        { tasks: [of('t1', 1, { ...done, desiredState: 'remove' })], atMs: 90_000 },
      ],
    ],
    [
      'as many attempts as are allowed',
      [
        { services: [job(1)], tasks: [of('t1', 1, once)] },
        { tasks: [of('t1', 1, { ...once, ...failed }), retry('t2', 't1', once)] },
      ],
    ],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new JobChecker(), entries)).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    [
      'J1: job job is at work in 2 slots, 1 are allowed',
      'a task beyond max concurrent',
      [{ services: [job(1)], tasks: [of('t1', 1)] }, { tasks: [of('t2', 2)] }],
    ],
    [
      'J2: task t1 was made in slot 3',
      'a slot too many',
      [{ services: [job(1)] }, { tasks: [of('t1', 3)] }],
    ],
    [
      'J2: job job is done or at work in 2 slots, 1 are asked for',
      'a completion too many',
      [{ services: [job(1, 2, 1)], tasks: [of('t1', 1, done)] }, { tasks: [of('t2', 2)] }],
    ],
    [
      'J2: task t2 was let run in slot job/1, where t1 has done the work',
      'work that is done twice',
      [{ services: [job(1)], tasks: [of('t1', 1, done)] }, { tasks: [of('t2', 1)] }],
    ],
    [
      'J3: slot job/1 is tried again by task t3 for the 2. time, 1 are allowed',
      'an attempt too many',
      [
        { services: [job(1)], tasks: [of('t1', 1, { ...once, ...failed })] },
        { tasks: [retry('t2', 't1', once)] },
        { removed: ['t1'] },
        { tasks: [retry('t2', 't1', { ...once, ...failed }), retry('t3', 't2', once)] },
      ],
    ],
    [
      'J3: slot job/1 is tried again by task t2 for the 1. time, 0 are allowed',
      'an attempt where there is one only',
      [
        { services: [job(1)], tasks: [of('t1', 1, failed)] },
        { tasks: [retry('t2', 't1', { spec: { restart: { condition: 'none' } } })] },
      ],
    ],
    [
      'J4: task t1 was made for iteration 1',
      'a task of an iteration before',
      [{ services: [job(2)] }, { tasks: [of('t1', 1)] }],
    ],
    [
      'J4: task t1 of iteration 1 of job job was let run',
      'a task of an iteration before that is let run',
      [
        { services: [job(1)], tasks: [of('t1', 1, { desiredState: 'ready' })] },
        { services: [job(2)] },
        { tasks: [of('t1', 1)] },
      ],
    ],
    [
      'J4: task t1 of iteration 1 of job job goes on',
      'a task of an iteration before that nobody ends',
      [
        { services: [job(1)], tasks: [of('t1', 1)] },
        { services: [job(2)] },
        ...Array.from({ length: 20 }, (_, at) => ({ atMs: 2_000 + at * 500 })),
        { tasks: [of('t1', 1, done)], atMs: 20_000 },
      ],
    ],
  ])('finds "%s" for %s', (says, _what, entries) => {
    expect(play(new JobChecker(), entries).join('\n')).toContain(says)
  })

  test('remembers the attempts of the survivor whom the group goes on from', () => {
    const checker = new JobChecker()
    const tasks = [of('t1', 1, { ...once, ...failed }), retry('t2', 't1', { ...once, ...failed })]
    checker.restored(storeWith({ tasks }).view())

    const problems = play(checker, [{ services: [job(1)], tasks: [retry('t3', 't2', once)] }])

    expect(problems.join()).toContain('J3: slot job/1 is tried again by task t3 for the 2. time')
  })
})
