/**
 * Starts the keeper so that it outlives whoever starts it: in a session of its own, under a shell
 * that starts it again when it dies, also while the daemon is dead. The shell is the cheapest thing
 * that can wait for a process; it ends when the keeper ends by itself (status 0) or finds another
 * keeper at work for the state directory (status 75, by a lock the kernel frees at death).
 *
 * Spawning stops the caller while the kernel copies its page tables (host.md 1), so the daemon does
 * it at its start, when it is small; later only where keeper *and* shell are gone.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { HostPaths } from './host-paths.ts'

/** The keeper's exit status where another one holds the lock. */
export const LOCKED_STATUS = 75

/**
 * `flock -F` becomes the keeper, which so holds the lock itself; Node closes inherited descriptors
 * for its own children. Where there is no flock (not Linux), who binds the socket first wins. As
 * root the keeper goes before others, but its helper threads and what it starts do not: a writer
 * that it wakes by reading must not run before what was read is safe. A nice value is not enough for
 * that: it counts among the processes of one session or control group only (`docs/keeper.md`).
 */
const SUPERVISOR = `
ulimit -n "$(ulimit -Hn)" 2>/dev/null
lock=$1
shift
if chrt --reset-on-fork --rr 1 true 2>/dev/null; then
  set -- chrt --reset-on-fork --rr 1 "$@"
elif chrt --reset-on-fork --other 0 nice -n -10 true 2>/dev/null; then
  set -- chrt --reset-on-fork --other 0 nice -n -10 "$@"
fi
while :; do
  if command -v flock >/dev/null; then
    flock --nonblock --conflict-exit-code ${LOCKED_STATUS} --no-fork "$lock" "$@"
  else
    "$@"
  fi
  status=$?
  if [ $status -eq 0 ] || [ $status -eq ${LOCKED_STATUS} ]; then exit $status; fi
  sleep 0.05
done
`

/** A small heap: garbage must go before the process grows. One helper thread instead of four. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=96', '--v8-pool-size=1']

/**
 * Without compiler and start-up snapshot the process is 8 MB smaller, at 70 % more processor time for
 * logs (`docs/keeper.md`). Not for sources in TypeScript: stripping their types needs the compiler.
 */
const STRIPPED_FLAGS = ['--jitless', '--no-node-snapshot']

/** Small, as it is one for all its life: one arena and two helper threads. */
export const KEEPER_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '1',
  UV_THREADPOOL_SIZE: '2',
}

/** What a keeper's process is, under the shell above or under systemd (`unit/main.ts`). */
export function keeperCommand(paths: HostPaths): readonly string[] {
  // Beside this file, with its ending: `.ts` in a checkout, `.js` where the sources were stripped.
  const here = fileURLToPath(import.meta.url)
  const ending = extname(here)
  return [
    process.execPath,
    ...NODE_FLAGS,
    ...(ending === '.ts' ? [] : STRIPPED_FLAGS),
    fileURLToPath(new URL(`./main${ending}`, import.meta.url)),
    '--state-dir',
    paths.stateDirectory,
    '--run-dir',
    paths.runDirectory,
  ]
}

/** A keeper for the host is starting, unless one is at work; nothing waits for it here. */
export function launchKeeper(paths: HostPaths): void {
  const log = openSync(paths.keeperLog, 'a', 0o600)
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      SUPERVISOR,
      `tsswarm-keeper-${paths.hash}`,
      paths.keeperLock,
      ...keeperCommand(paths),
      '--supervised',
    ],
    {
      // The root directory: a daemon's working directory may be unmounted.
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...KEEPER_ENVIRONMENT },
    },
  )
  closeSync(log)
  child.on('error', () => undefined)
  child.unref()
}
