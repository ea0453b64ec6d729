/**
 * What `tsswarm-keeper.service` starts, as `tsswarm keeper` with the daemon's own flags: it becomes
 * the keeper of the daemon with these settings. systemd is then what the shell of `launch.ts` is
 * elsewhere: it starts a dead keeper again. The lock is the same, so that a daemon that lost
 * patience and this unit never have two keepers at work; which of the two came first does not matter.
 */
import { SwarmError } from '../../../lib/errors.ts'
import { parseConfig } from '../../config.ts'
import { openHostPaths } from '../host-paths.ts'
import { KEEPER_ENVIRONMENT, keeperCommand, LOCKED_STATUS } from '../launch.ts'

const FLOCK = '/usr/bin/flock'

const paths = openHostPaths(readStateDirectory())
process.execve?.(
  FLOCK,
  [
    FLOCK,
    '--nonblock',
    '--conflict-exit-code',
    String(LOCKED_STATUS),
    '--no-fork',
    paths.keeperLock,
    ...keeperCommand(paths),
  ],
  { ...process.env, ...KEEPER_ENVIRONMENT },
)
// It returns only where this system cannot do it.
throw new Error('a process cannot become another one here: let the daemon start its keeper')

function readStateDirectory(): string {
  try {
    return parseConfig(process.argv.slice(2)).stateDirectory
  } catch (error) {
    process.stderr.write(`${error instanceof SwarmError ? error.message : String(error)}\n`)
    process.exit(125)
  }
}
