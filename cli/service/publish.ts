/**
 * `--publish` in its long form (`target=80,published=8080,mode=host`) and its short one
 * (`8080:80/tcp`, ranges too) → PortConfigs of the API (swarm-mode.md 5.3), and edits of a list of
 * them. Which modes and protocols can be had is the server's to say.
 */
import { compact, type Json, type JsonObject, numberAt, textAt } from '../json.ts'
import { parseChoice } from '../text/units.ts'
import { usageError } from '../usage-error.ts'
import { parseFields } from './csv.ts'

const PORT_MAX = 65_535
const PROTOCOLS = ['tcp', 'udp', 'sctp']
const SHORT = /^(?:(?:(\[[^\]]*\]|[^:]*):)?(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:\/([a-z]+))?$/i

/** One port, or as many as the ranges hold. */
export function parsePublish(text: string, flag: string): readonly JsonObject[] {
  return text.includes('=') ? [parseLong(text, flag)] : parseShort(text, flag)
}

/** Ports to remove go first, by target, protocol and mode where given; then added ones come. */
export function editPorts(
  ports: readonly Json[],
  edit: { readonly add: readonly string[]; readonly remove: readonly string[] },
): readonly Json[] {
  const removed = edit.remove.flatMap((text) => parsePublish(text, 'publish-rm'))
  const isLong = edit.remove.some((text) => text.includes('mode='))
  const kept = ports.filter((port) => !removed.some((other) => isSameTarget(port, other, isLong)))
  const added = edit.add
    .flatMap((text) => parsePublish(text, 'publish-add'))
    .filter((port) => !kept.some((other) => keyOf(other) === keyOf(port)))
  return [...kept, ...added]
}

function parseLong(text: string, flag: string): JsonObject {
  const values = new Map<string, string>()
  for (const [key, value] of parseFields(text, flag)) {
    if (value === undefined || !['target', 'published', 'protocol', 'mode'].includes(key))
      throw usageError(
        `invalid field "${key}" in "--${flag} ${text}": use target, published, protocol and mode`,
      )
    values.set(key, value)
  }
  const target = values.get('target')
  if (target === undefined)
    throw usageError(`missing mandatory field "target" in "--${flag} ${text}"`)
  const published = values.get('published')
  return portConfig({
    protocol: parseChoice(
      (values.get('protocol') ?? 'tcp').toLowerCase(),
      `${flag} protocol`,
      PROTOCOLS,
    ),
    target: parsePort(target, flag),
    published: published === undefined ? undefined : parsePort(published, flag),
    mode: parseChoice((values.get('mode') ?? 'ingress').toLowerCase(), `${flag} mode`, [
      'ingress',
      'host',
    ]),
  })
}

function parseShort(text: string, flag: string): readonly JsonObject[] {
  const match = SHORT.exec(text)
  const [, hostIp, published, target, protocol = 'tcp'] = match ?? []
  if (target === undefined)
    throw usageError(
      `invalid publish opts format in "--${flag} ${text}": use [PUBLISHED:]TARGET[/PROTOCOL]`,
    )
  if (hostIp) throw usageError(`hostip is not supported in "--${flag} ${text}"`)
  const targets = parseRange(target, flag)
  const outside = published === undefined ? [] : parseRange(published, flag)
  if (outside.length > 0 && outside.length !== targets.length)
    throw usageError(`invalid ranges in "--${flag} ${text}": they must be as long as each other`)
  const known = parseChoice(protocol.toLowerCase(), `${flag} protocol`, PROTOCOLS)
  return targets.map((port, at) =>
    portConfig({ protocol: known, target: port, published: outside[at], mode: 'ingress' }),
  )
}

function portConfig(port: {
  readonly protocol: string
  readonly target: number
  readonly published: number | undefined
  readonly mode: string
}): JsonObject {
  return compact({
    Protocol: port.protocol,
    TargetPort: port.target,
    PublishedPort: port.published,
    PublishMode: port.mode,
  })
}

function parseRange(text: string, flag: string): readonly number[] {
  const [first = '', last = first] = text.split('-')
  const from = parsePort(first, flag)
  const to = parsePort(last, flag)
  if (to < from) throw usageError(`invalid port range "${text}" for "--${flag}"`)
  return Array.from({ length: to - from + 1 }, (_, at) => from + at)
}

function parsePort(text: string, flag: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > PORT_MAX)
    throw usageError(`invalid port "${text}" for "--${flag}": use 1 to ${PORT_MAX}`)
  return port
}

function isSameTarget(port: Json, other: Json, withMode: boolean): boolean {
  const isSame =
    numberAt(port, 'TargetPort') === numberAt(other, 'TargetPort') &&
    (textAt(port, 'Protocol') || 'tcp') === textAt(other, 'Protocol')
  return isSame && (!withMode || modeOf(port) === modeOf(other))
}

function keyOf(port: Json): string {
  return [
    numberAt(port, 'PublishedPort'),
    numberAt(port, 'TargetPort'),
    textAt(port, 'Protocol') || 'tcp',
    modeOf(port),
  ].join('/')
}

function modeOf(port: Json): string {
  return textAt(port, 'PublishMode') || 'ingress'
}
