/**
 * The delay of a restart (docs/task-model.md): a task that is held back is let run only when its time
 * has come, whoever leads by then. Cluster time and the task's own field are all that counts.
 */
import type { Step, StepChecker } from './step.ts'

export class DelayChecker implements StepChecker {
  *check({ after: view, tasks }: Step): Iterable<string> {
    for (const { id, before, after } of tasks) {
      const isLetRun = after?.desiredState === 'running' && before?.desiredState !== 'running'
      if (isLetRun && view.timeMs < after.startAfterMs)
        yield `T: task ${id} was let run ${after.startAfterMs - view.timeMs} ms before its delay was over`
    }
  }
}
