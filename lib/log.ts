/**
 * Port Log: the part of pino that the project uses. The message is a constant; everything variable
 * is a field. Never a secret, a token or a key (`node/io/log.ts` redacts as a last resort).
 */

export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  error(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  debug(fields: LogFields, message: string): void
  trace(fields: LogFields, message: string): void
  /** A Log that adds `bindings` to every line. */
  child(bindings: LogFields): Log
}

/** A Log that says nothing: for tests and tools. */
export const silentLog: Log = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  trace: () => undefined,
  child: () => silentLog,
}
