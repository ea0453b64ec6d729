/**
 * Addresses as flags and members write them: `host:port`, `[v6]:port`, a bare host. It only takes
 * apart and puts together; which address is advertised is decided in `advertise.ts`.
 */
import { isIP } from 'node:net'
import { SwarmError } from '../lib/errors.ts'

export type Address = { readonly host: string; readonly port: number }

/** `host:port` in its parts; `portDefault` where none is written. `invalid-argument` otherwise. */
export function parseAddress(text: string, portDefault?: number): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]*))(?::(\d+))?$/.exec(
    isIP(text) === 6 ? `[${text}]` : text,
  )
  const isV6 = match?.[1] !== undefined
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? portDefault : Number(match[3])
  if (host === undefined || port === undefined || port > 65_535 || (isV6 && isIP(host) !== 6))
    throw new SwarmError('invalid-argument', `"${text}" is no address: write HOST:PORT`)
  return { host: host === '' ? '0.0.0.0' : host, port }
}

export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether the host means "every address of this machine". */
export function isUnspecified(host: string): boolean {
  return host === '' || host === '0.0.0.0' || host === '::'
}
