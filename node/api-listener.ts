/**
 * Where the HTTP API is served: a socket for its group, or TCP with mutual TLS. Client certificates
 * come from a CA of their own; a node's certificate is refused, or any worker would administer the
 * cluster (host.md 33).
 */
import { readFileSync } from 'node:fs'
import { assert } from '../lib/assert.ts'
import type { ApiListener } from '../manager/api/http/server.ts'
import { parseAddress } from './address.ts'
import type { Config } from './config.ts'

export function listenerOf(address: string, config: Config): ApiListener {
  if (address.startsWith('unix://')) return { kind: 'unix', path: address.slice('unix://'.length) }
  const { host, port } = parseAddress(address.slice('tcp://'.length), 2376)
  const files = config.apiTls
  assert(files !== undefined, 'settings with tcp:// have certificates', { address })
  const read = (path: string): string => readFileSync(path, 'utf8')
  return {
    kind: 'tcp',
    host,
    port,
    tls: { ca: read(files.ca), cert: read(files.cert), key: read(files.key) },
  }
}
