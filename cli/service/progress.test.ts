/** Progress from scripted lists of tasks: what is shown, and when the wait ends and how. */
import { describe, expect, test } from 'vitest'
import type { Json } from '../json.ts'
import { newWatch, type Progress, progressOf, type Watch } from './progress.ts'

const NODES: readonly Json[] = [
  { ID: 'n1', Status: { State: 'ready' } },
  { ID: 'n2', Status: { State: 'down' } },
]

function replicated(replicas: number, more: Json = {}): Json {
  return { Spec: { Mode: { Replicated: { Replicas: replicas } } }, ...Object(more) }
}

function task(
  slot: number,
  state: string,
  more: { desired?: string; node?: string; err?: string } = {},
): Json {
  return {
    Slot: slot,
    NodeID: more.node ?? (state === 'pending' ? '' : 'n1'),
    DesiredState: more.desired ?? 'running',
    Status: { State: state, Err: more.err ?? '' },
  }
}

/** The last step of a play: one list of tasks every second. */
function play(
  service: Json,
  scenes: readonly (readonly Json[])[],
  from: Partial<Watch> = {},
): Progress {
  let progress: Progress = { watch: { ...newWatch, ...from }, lines: new Map(), end: undefined }
  for (const [second, tasks] of scenes.entries()) {
    const sight = { service, tasks, nodes: NODES, nowMs: second * 1_000 }
    progress = progressOf(progress.watch, sight, 'web')
  }
  return progress
}

const texts = (progress: Progress): readonly string[] => [...progress.lines.values()]
const RUNNING = [task(1, 'running'), task(2, 'running')]

describe('progress', () => {
  test('shows one line for all and one with a bar for each task', () => {
    const progress = play(replicated(3), [[task(2, 'running'), task(1, 'preparing')]])

    expect(progress.end).toBeUndefined()
    expect(texts(progress)).toEqual([
      'overall progress: 1 out of 3 tasks',
      '1/3: running   [==================================================>]',
      '2/3: preparing [=================================>                 ]',
      '3/3:',
    ])
  })

  test('a slot keeps its line while tasks come and go', () => {
    const progress = play(replicated(2), [
      [task(7, 'pending')],
      [task(3, 'new'), task(7, 'running')],
    ])

    expect(
      texts(progress)
        .slice(1)
        .map((line) => line.slice(0, 12)),
    ).toEqual(['1/2: running', '2/2: new    '])
  })

  test('an error takes the place of the bar', () => {
    const err = `cannot pull image: ${'x'.repeat(100)}`

    expect(texts(play(replicated(1), [[task(1, 'preparing', { err })]]))[1]).toBe(
      `1/1: cannot pull image: ${'x'.repeat(55)}…`,
    )
  })

  test('many tasks have no lines of their own', () => {
    const tasks = Array.from({ length: 21 }, (_, slot) => task(slot + 1, 'running'))

    expect(texts(play(replicated(21), [tasks]))).toEqual([
      'overall progress: 21 out of 21 tasks',
      'verify: Waiting 5 seconds to verify that tasks are stable...',
    ])
  })

  test('converges when all ran for the monitor time', () => {
    const service = {
      Spec: { Mode: { Replicated: { Replicas: 2 } }, UpdateConfig: { Monitor: 2e9 } },
    }

    expect(play(service, [[], RUNNING, RUNNING]).end).toBeUndefined()
    const progress = play(service, [[], RUNNING, RUNNING, RUNNING])
    expect(progress.end).toEqual({ kind: 'converged' })
    expect(texts(progress).at(-1)).toBe('verify: Service web converged')
  })

  test('a failure while it waits starts the wait anew', () => {
    const failed = [task(1, 'running'), task(2, 'failed', { desired: 'shutdown', err: 'exit 1' })]
    const scenes = [RUNNING, RUNNING, RUNNING, RUNNING, failed]

    expect(texts(play(replicated(2), scenes)).at(-1)).toBe('verify: Detected task failure')
    expect(play(replicated(2), [...scenes, RUNNING, RUNNING]).end).toBeUndefined()
  })

  test('a task on a node that is down does not count', () => {
    const progress = play(replicated(1), [[task(1, 'running', { node: 'n2' })]])

    expect(texts(progress)).toEqual(['overall progress: 0 out of 1 tasks', '1/1:'])
  })

  test('of two tasks of a slot the one that is to run counts', () => {
    const old = task(1, 'running', { desired: 'shutdown' })

    expect(texts(play(replicated(1), [[old, task(1, 'starting')]]))[0]).toBe(
      'overall progress: 0 out of 1 tasks',
    )
    expect(texts(play(replicated(1), [[task(1, 'running'), old]]))[0]).toBe(
      'overall progress: 1 out of 1 tasks',
    )
  })

  test('while an update goes on, running tasks alone are not the end', () => {
    const updating = replicated(2, { UpdateStatus: { State: 'updating' } })

    expect(
      play(
        updating,
        Array.from({ length: 9 }, () => RUNNING),
      ).end,
    ).toBeUndefined()
  })

  test('a completed update ends the wait at once', () => {
    const completed = replicated(2, { UpdateStatus: { State: 'completed' } })

    expect(play(completed, [RUNNING]).end).toEqual({ kind: 'converged' })
  })

  test('a paused update is a failure with its message', () => {
    const paused = replicated(2, { UpdateStatus: { State: 'paused', Message: 'too many failed' } })

    expect(play(paused, [RUNNING]).end).toEqual({
      kind: 'failed',
      message: 'service update paused: too many failed',
    })
  })

  test('a rollback shows why, and ends the wait as what was asked for', () => {
    const status = { State: 'rollback_started', Message: 'manually requested rollback' }
    const sight = play(replicated(2, { UpdateStatus: status }), [RUNNING])
    const completed = { State: 'rollback_completed', Message: 'rollback completed' }

    expect(texts(sight)).toContain('rollback: manually requested rollback')
    expect(texts(sight)[0]).toMatch(/^rolling back update: /)
    expect(
      play(replicated(2, { UpdateStatus: completed }), [RUNNING], { wantsRollback: true }).end,
    ).toEqual({ kind: 'converged' })
  })

  test('an update that was rolled back has failed', () => {
    const completed = { State: 'rollback_completed', Message: 'rollback completed' }

    expect(play(replicated(2, { UpdateStatus: completed }), [RUNNING]).end).toEqual({
      kind: 'failed',
      message: 'service update failed: the service was rolled back to its former settings',
    })
  })

  test('no replicas are no wait for tasks', () => {
    expect(texts(play(replicated(0), [[]]))[0]).toBe('overall progress: 0 out of 0 tasks')
    expect(play(replicated(0), [[], [], [], [], [], []]).end).toEqual({ kind: 'converged' })
  })

  test('a task that may end has done its part when it completed', () => {
    const once = {
      Spec: {
        Mode: { Replicated: { Replicas: 1 } },
        TaskTemplate: { RestartPolicy: { Condition: 'on-failure' } },
      },
    }
    const ended = [task(1, 'complete', { desired: 'shutdown' })]

    expect(play(once, [ended, ended, ended, ended, ended, ended]).end).toEqual({
      kind: 'converged',
    })
    expect(play(replicated(1), [ended, ended, ended, ended, ended, ended]).end).toBeUndefined()
  })

  test('a global service is shown by node', () => {
    const global = { Spec: { Mode: { Global: {} } } }
    const onNode = (node: string) => ({ ...Object(task(0, 'running')), NodeID: node })

    expect(texts(play(global, [[]]))).toEqual(['overall progress: waiting for new tasks'])
    expect(texts(play(global, [[onNode('n1'), onNode('n2')]]))).toEqual([
      'overall progress: 1 out of 1 tasks',
      'n1: running   [==================================================>]',
      'verify: Waiting 5 seconds to verify that tasks are stable...',
    ])
  })
})
