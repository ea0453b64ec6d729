/**
 * The daemon's settings: flags of `tsswarm daemon` over the values of `--config FILE` over the
 * defaults. It parses and checks; a value that cannot be used is refused with the flag's name.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { findBytes, findNanoCpus } from '../lib/amount.ts'
import { SwarmError } from '../lib/errors.ts'
import { parseGenericResources } from '../manager/model/generic-resources.ts'
import type { GenericResource } from '../proto/gen/types.ts'
import { formatAddress, parseAddress } from './address.ts'
import { LOG_LEVELS, type LogLevel } from './io/log.ts'

export type Config = {
  readonly stateDirectory: string
  /** unix:///path or tcp://host:port, at least one. */
  readonly api: readonly string[]
  /** Certificates for tcp:// listeners; all three or none. */
  readonly apiTls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined
  readonly listen: string
  readonly raftListen: string
  /** Empty: chosen at init and join. */
  readonly advertiseAddr: string
  readonly runtime: 'containerd' | 'process'
  /** Of an external containerd; undefined: a private one. */
  readonly containerd: string | undefined
  readonly imagesDirectory: string | undefined
  readonly labels: ReadonlyMap<string, string>
  readonly genericResources: readonly GenericResource[]
  /** What tasks leave to the system. */
  readonly reserved: { readonly nanoCpus: number; readonly memoryBytes: number }
  readonly metrics: string | undefined
  readonly logLevel: LogLevel
  readonly registryMirrors: readonly string[]
  readonly insecureRegistries: readonly string[]
  /** This start gets the manager's log anew from the others. Never in a file: it is for one start. */
  readonly isRebuild: boolean
}

const CONTROL_PORT = 2377
const RAFT_PORT = 7946

const DEFAULTS = {
  'state-dir': '/var/lib/tsswarm',
  api: ['unix:///run/tsswarm/docker.sock'],
  listen: '0.0.0.0:2377',
  'raft-listen': '0.0.0.0:7946',
  'advertise-addr': '',
  'log-level': 'info',
}

const OPTIONS = {
  'state-dir': { type: 'string' },
  api: { type: 'string', multiple: true },
  'api-tls-ca': { type: 'string' },
  'api-tls-cert': { type: 'string' },
  'api-tls-key': { type: 'string' },
  listen: { type: 'string' },
  'raft-listen': { type: 'string' },
  'advertise-addr': { type: 'string' },
  runtime: { type: 'string' },
  containerd: { type: 'string' },
  images: { type: 'string' },
  label: { type: 'string', multiple: true },
  'node-generic-resource': { type: 'string', multiple: true },
  'reserve-cpu': { type: 'string' },
  'reserve-memory': { type: 'string' },
  metrics: { type: 'string' },
  'log-level': { type: 'string' },
  'registry-mirror': { type: 'string', multiple: true },
  'insecure-registry': { type: 'string', multiple: true },
  config: { type: 'string' },
  rebuild: { type: 'boolean' },
} as const

/** What a file may not hold: itself, and what is for one start only. */
const FLAGS_ONLY: readonly string[] = ['config', 'rebuild']

type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

/** The settings; `invalid-argument` naming the flag and the value. */
export function parseConfig(args: readonly string[]): Config {
  const flags = parseFlags(args)
  const path = textOf(flags, 'config')
  const values: Values = {
    ...DEFAULTS,
    ...(path === undefined ? {} : readConfigFile(path)),
    ...flags,
  }
  const isRoot = process.getuid?.() === 0
  return {
    stateDirectory: textOf(values, 'state-dir') ?? DEFAULTS['state-dir'],
    api: listOf(values, 'api').map(checkApi),
    apiTls: tlsOf(values),
    listen: addressOf(values, 'listen', CONTROL_PORT) ?? DEFAULTS.listen,
    raftListen: addressOf(values, 'raft-listen', RAFT_PORT) ?? DEFAULTS['raft-listen'],
    advertiseAddr: textOf(values, 'advertise-addr') ?? '',
    runtime: choiceOf(
      values,
      'runtime',
      ['containerd', 'process'],
      isRoot ? 'containerd' : 'process',
    ),
    containerd: textOf(values, 'containerd'),
    imagesDirectory: textOf(values, 'images'),
    labels: new Map(listOf(values, 'label').map(parseLabel)),
    genericResources: genericResourcesOf(values),
    reserved: {
      nanoCpus: Math.round(amountOf(values, 'reserve-cpu', findNanoCpus, 'like 0.5')),
      memoryBytes: amountOf(values, 'reserve-memory', findBytes, 'like 512m or 2g'),
    },
    metrics: addressOf(values, 'metrics'),
    logLevel: choiceOf(values, 'log-level', LOG_LEVELS, 'info'),
    registryMirrors: listOf(values, 'registry-mirror').map(checkMirror),
    insecureRegistries: listOf(values, 'insecure-registry'),
    isRebuild: flags['rebuild'] === true,
  }
}

function parseFlags(args: readonly string[]): Values {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new SwarmError('invalid-argument', `tsswarm daemon: ${text}`, { cause })
  }
}

/** JSON with the flags' names; lists where a flag may be repeated. */
function readConfigFile(path: string): Values {
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new SwarmError('invalid-argument', `--config ${path} cannot be read as JSON`, { cause })
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new SwarmError('invalid-argument', `--config ${path} must hold a JSON object`)
  const values: Record<string, string | readonly string[]> = {}
  for (const [key, value] of Object.entries(parsed)) {
    const option = Object.entries(OPTIONS).find(
      ([name]) => name === key && !FLAGS_ONLY.includes(name),
    )
    if (option === undefined)
      throw new SwarmError('invalid-argument', `--config ${path}: "${key}" is no setting`)
    const isList = 'multiple' in option[1]
    if (isList && Array.isArray(value) && value.every((item) => typeof item === 'string'))
      values[key] = value
    else if (typeof value === 'string') values[key] = isList ? [value] : value
    else
      throw new SwarmError(
        'invalid-argument',
        `--config ${path}: "${key}" must be ${isList ? 'a list of texts' : 'a text'}`,
      )
  }
  return values
}

function textOf(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** With the default port where none is written; a setting without one needs it written. */
function addressOf(values: Values, name: string, portDefault?: number): string | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  try {
    return formatAddress(parseAddress(text, portDefault))
  } catch (cause) {
    throw new SwarmError('invalid-argument', `--${name} "${text}" is no address: write HOST:PORT`, {
      cause,
    })
  }
}

function listOf(values: Values, name: string): readonly string[] {
  const value = values[name]
  return typeof value === 'object' ? value : []
}

function choiceOf<T extends string>(
  values: Values,
  name: string,
  choices: readonly T[],
  otherwise: T,
): T {
  const value = textOf(values, name)
  if (value === undefined) return otherwise
  const found = choices.find((choice) => choice === value)
  if (found === undefined)
    throw new SwarmError(
      'invalid-argument',
      `--${name} "${value}" is none of ${choices.join(', ')}`,
    )
  return found
}

function checkApi(address: string): string {
  if (/^unix:\/\/\/.|^tcp:\/\/./.test(address)) return address
  throw new SwarmError(
    'invalid-argument',
    `--api "${address}" is neither unix:///PATH nor tcp://HOST:PORT`,
  )
}

function checkMirror(address: string): string {
  if (/^https?:\/\/[^/]/.test(address)) return address
  throw new SwarmError(
    'invalid-argument',
    `--registry-mirror "${address}" is no URL: write https://HOST or http://HOST`,
  )
}

function tlsOf(values: Values): Config['apiTls'] {
  const ca = textOf(values, 'api-tls-ca')
  const cert = textOf(values, 'api-tls-cert')
  const key = textOf(values, 'api-tls-key')
  const isTcp = listOf(values, 'api').some((address) => address.startsWith('tcp://'))
  if (ca === undefined && cert === undefined && key === undefined) {
    if (isTcp)
      throw new SwarmError(
        'invalid-argument',
        '--api tcp://… needs --api-tls-ca, --api-tls-cert and --api-tls-key: whoever reaches it owns the cluster',
      )
    return undefined
  }
  if (ca === undefined || cert === undefined || key === undefined)
    throw new SwarmError(
      'invalid-argument',
      '--api-tls-ca, --api-tls-cert and --api-tls-key go together',
    )
  return { ca, cert, key }
}

function genericResourcesOf(values: Values): readonly GenericResource[] {
  try {
    return parseGenericResources(listOf(values, 'node-generic-resource'))
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new SwarmError('invalid-argument', `--node-generic-resource: ${text}`, { cause })
  }
}

/** 0 where the setting is not given. */
function amountOf(
  values: Values,
  name: string,
  find: (text: string) => number | undefined,
  example: string,
): number {
  const text = textOf(values, name)
  if (text === undefined) return 0
  const amount = find(text)
  if (amount !== undefined) return amount
  throw new SwarmError(
    'invalid-argument',
    `--${name} "${text}" is no amount: write a number ${example}`,
  )
}

function parseLabel(text: string): [string, string] {
  const at = text.indexOf('=')
  const key = at < 0 ? text : text.slice(0, at)
  if (key === '') throw new SwarmError('invalid-argument', `--label "${text}" has no key`)
  return [key, at < 0 ? '' : text.slice(at + 1)]
}
