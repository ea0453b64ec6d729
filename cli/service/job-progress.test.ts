/** The progress of jobs over scripted sights: counts, lines, and when the wait is over. */
import { describe, expect, test } from 'vitest'
import type { Json } from '../json.ts'
import { newWatch, type Progress, progressOf } from './progress.ts'

const REPLICATED = { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 3 } }

describe('a job', () => {
  test('says how often it is done and how many tasks are at it', () => {
    const progress = play(REPLICATED, [[task(0, 'complete'), task(1, 'running'), task(2, 'new')]])

    const [done, active, first, second] = [...progress.lines.values()]
    expect(done).toMatch(/^job progress: 1 out of 3 complete \[=+> +\]$/)
    expect([active, first?.slice(0, 14)]).toEqual([
      'active tasks: 2 out of 2 tasks',
      '1/3: complete ',
    ])
    expect(second).toMatch(/^2\/3: running +\[=+> +\]$/)
    expect(progress.end).toBeUndefined()
  })

  test('is over when it was done as often as it was to be', () => {
    const all = [0, 1, 2].map((slot) => task(slot, 'complete'))
    const progress = play(REPLICATED, [all])

    expect(progress.end).toEqual({ kind: 'converged' })
    expect([...progress.lines.values()].at(-1)).toBe('job complete')
  })

  test('counts nothing of an iteration before', () => {
    const old = [0, 1, 2].map((slot) => ({ ...task(slot, 'complete'), JobIteration: { Index: 6 } }))

    expect(play(REPLICATED, [old]).end).toBeUndefined()
  })

  test('has failed when nothing was at work for a while', () => {
    const given = [task(0, 'complete'), { ...task(1, 'failed'), DesiredState: 'shutdown' }]
    const sights = Array.from({ length: 7 }, () => given)

    expect(play(REPLICATED, sights.slice(0, 5)).end).toBeUndefined()
    expect(play(REPLICATED, sights).end).toEqual({
      kind: 'failed',
      message: 'job failed: 1 out of 3 complete, and no attempt is left',
    })
  })

  test('on all nodes goes by the nodes that have a task', () => {
    const onNode = (id: string, state: string): Json => ({
      ...task(0, state),
      Slot: undefined,
      NodeID: id,
    })
    const mode = { GlobalJob: {} }

    expect(play(mode, [[]]).end).toBeUndefined()
    const half = play(mode, [[onNode('a', 'complete'), onNode('b', 'running')]])
    expect([...half.lines.values()][0]).toContain('1 out of 2 complete')
    expect(half.end).toBeUndefined()
    expect(play(mode, [[onNode('a', 'complete'), onNode('b', 'complete')]]).end).toEqual({
      kind: 'converged',
    })
  })
})

function task(slot: number, state: string): { readonly [key: string]: Json } {
  return {
    Slot: slot,
    NodeID: 'n1',
    JobIteration: { Index: 7 },
    DesiredState: 'complete',
    Status: { State: state },
    CreatedAt: '2026-01-01T00:00:00Z',
  }
}

function play(mode: Json, scenes: readonly (readonly Json[])[]): Progress {
  const service = {
    Spec: { Name: 'job', Mode: mode },
    JobStatus: { JobIteration: { Index: 7 } },
  }
  let progress: Progress = { watch: newWatch, lines: new Map(), end: undefined }
  for (const [second, tasks] of scenes.entries())
    progress = progressOf(
      progress.watch,
      { service, tasks, nodes: [], nowMs: second * 1_000 },
      'job',
    )
  return progress
}
