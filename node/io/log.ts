/**
 * The real side of port Log, and the home of pino: JSON lines on stderr, one object a line. It owns
 * the list of what is never written: whoever logs leaves secrets out, and this is the last resort
 * where somebody did not (STYLE section 9).
 */
import { type DestinationStream, destination, type Logger, pino, stdSerializers } from 'pino'
import type { Log } from '../../lib/log.ts'

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const

export type LogLevel = (typeof LOG_LEVELS)[number]

/** Names of fields whose values are replaced, wherever they stand down to the third level. */
const SECRET_NAMES = [
  'password',
  'secret',
  'token',
  'key',
  'keyPem',
  'joinToken',
  'workerToken',
  'managerToken',
  'unlockKey',
  'dataKey',
  'registryAuth',
  'authorization',
  'auth',
  'identitytoken',
  'data',
  'env',
]

const CENSOR = '[hidden]'

export type LogOptions = {
  readonly level: LogLevel
  /** Absent: stderr, synchronously, so that the last line of a dying process is not lost. */
  readonly destination?: DestinationStream
}

/** A Log that writes what is at `level` or worse; `error` and `cause` fields with their stacks. */
export function newLog(options: LogOptions): Log {
  return wrap(
    pino(
      {
        level: options.level,
        base: {},
        timestamp: () => `,"time":"${new Date().toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: stdSerializers.errWithCause },
        redact: { paths: redactedPaths(), censor: CENSOR },
      },
      options.destination ?? destination({ dest: 2, sync: true }),
    ),
  )
}

function redactedPaths(): string[] {
  return SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])
}

function wrap(logger: Logger): Log {
  return {
    error: (fields, message) => logger.error(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    info: (fields, message) => logger.info(fields, message),
    debug: (fields, message) => logger.debug(fields, message),
    trace: (fields, message) => logger.trace(fields, message),
    child: (bindings) => wrap(logger.child(bindings)),
  }
}
