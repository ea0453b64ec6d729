/**
 * A host that goes down, told apart from a daemon that is only stopped: systemd's own answer, where it
 * runs the host. Containers outlive a daemon, so at a shutdown nobody would end them but systemd's last
 * SIGKILL, a minute and a half later: the daemon stops them, each with its signal and grace, before it
 * ends (Docker's daemon does so at each of its stops).
 */
import { existsSync } from 'node:fs'
import type { Runtime } from '../agent/runtime/runtime.ts'
import type { Log } from '../lib/log.ts'
import type { Task } from '../proto/gen/objects.ts'
import type { KeeperClient } from './keeper/client.ts'

const ANSWER_MS = 2_000
/** Below the TimeoutStopSec of the unit; longer graces are cut by the host going down. */
const STOP_MS = 80_000

/** True while systemd stops the host's units; false also where it cannot say. */
export async function isHostShuttingDown(keeper: Pick<KeeperClient, 'run'>): Promise<boolean> {
  if (!existsSync('/run/systemd/system')) return false
  try {
    // The exit code is 0 for the state `running` alone, so the word decides.
    const { stdout } = await keeper.run(['systemctl', 'is-system-running'], {
      timeoutMs: ANSWER_MS,
    })
    return stdout.trim() === 'stopping'
  } catch {
    return false
  }
}

/** Nothing of these tasks runs any more, or the host's patience is over. */
export async function stopContainers(
  runtime: Runtime,
  tasks: readonly Task[],
  log: Log,
  withinMs: number = STOP_MS,
): Promise<void> {
  log.info({ tasks: tasks.length }, 'the host shuts down: containers are stopped')
  const stops = tasks.map((task) =>
    runtime.stop(task).catch((error: unknown) => {
      log.warn({ task: task.id, error: String(error) }, 'container not stopped')
    }),
  )
  const { promise: timeout, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, withinMs)
  await Promise.race([Promise.all(stops), timeout])
  clearTimeout(timer)
}
