/**
 * Where a registry's content may be asked for, in order: its mirrors, then itself; over HTTPS, and for
 * an insecure one over HTTPS with any certificate, then plain HTTP. Docker's rules: 127.0.0.0/8 and
 * localhost are insecure without being told.
 */
import { SwarmError } from '../../../../lib/errors.ts'

export type RegistryOptions = {
  /** Registry as in references (`docker.io`) → base addresses of its mirrors, tried in order. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>
  /** Registries as in references: `host`, `host:port`. */
  readonly insecureRegistries: readonly string[]
}

export type Endpoint = {
  /** Ends with a slash: `https://registry-1.docker.io/v2/`. */
  readonly base: URL
  readonly insecure: boolean
  /** The registry itself, which alone is shown the user's credentials. */
  readonly isOrigin: boolean
}

const DOCKER_HUB = 'https://registry-1.docker.io'

/** SwarmError 'invalid-argument' where a mirror's address is none. */
export function listEndpoints(registry: string, options: RegistryOptions): readonly Endpoint[] {
  const mirrors = (options.mirrors.get(registry) ?? []).map((address): Endpoint => {
    const base = parseBase(address)
    return { base, insecure: isInsecure(base.host, options), isOrigin: false }
  })
  const insecure = isInsecure(registry, options)
  const address = registry === 'docker.io' ? DOCKER_HUB : `https://${registry}`
  const origin = { base: parseBase(address), insecure, isOrigin: true }
  if (!insecure) return [...mirrors, origin]
  return [...mirrors, origin, { ...origin, base: parseBase(`http://${registry}`) }]
}

function parseBase(address: string): URL {
  const text = address.includes('://') ? address : `https://${address}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new SwarmError('invalid-argument', `invalid registry address "${address}"`)
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/v2$/, '')
  return new URL(`${url.origin}${path}/v2/`)
}

function isInsecure(host: string, options: RegistryOptions): boolean {
  const name = host.replace(/:\d+$/, '')
  const isLoopback = name === 'localhost' || name === '[::1]' || /^127(\.\d+){3}$/.test(name)
  return isLoopback || options.insecureRegistries.includes(host)
}
