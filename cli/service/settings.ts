/**
 * The settings of a service that are set alike when it is created and when it is updated: one flag,
 * one place in the spec. Groups with defaults of Docker's own (restart and update) are filled with
 * those when one of their flags is given and the group was not there (swarm-mode.md 5.3), because
 * in the API a missing parallelism means "all at once".
 */
import type { Flags } from '../command.ts'
import { at, flagAt, type Json, type JsonObject, objectAt, setAt } from '../json.ts'
import {
  parseBytes,
  parseChoice,
  parseCount,
  parseCpus,
  parseDuration,
  parseRatio,
} from '../text/units.ts'
import { usageError } from '../usage-error.ts'
import { splitWords } from './csv.ts'
import { applyHealthcheck } from './healthcheck.ts'

type Setting = {
  readonly flag: string
  readonly path: readonly string[]
  readonly parse: (text: string, flag: string) => Json
}

const CONTAINER = ['TaskTemplate', 'ContainerSpec']
const LIMITS = ['TaskTemplate', 'Resources', 'Limits']
const RESERVATIONS = ['TaskTemplate', 'Resources', 'Reservations']
const RESTART = ['TaskTemplate', 'RestartPolicy']
const DISCONNECT = ['TaskTemplate', 'Disconnect']
const UPDATE = ['UpdateConfig']
const ROLLBACK = ['RollbackConfig']

const UPDATE_DEFAULTS: JsonObject = {
  Parallelism: 1,
  Delay: 0,
  FailureAction: 'pause',
  Monitor: 5e9,
  MaxFailureRatio: 0,
  Order: 'stop-first',
}

const GROUP_DEFAULTS: readonly (readonly [readonly string[], JsonObject])[] = [
  [RESTART, { Condition: 'any', Delay: 5e9 }],
  [UPDATE, UPDATE_DEFAULTS],
  [ROLLBACK, UPDATE_DEFAULTS],
]

/** How tasks are replaced, by an update or by a rollback. */
function replacementSettings(
  prefix: 'update' | 'rollback',
  path: readonly string[],
  failureActions: readonly string[],
): readonly Setting[] {
  return [
    { flag: `${prefix}-parallelism`, path: [...path, 'Parallelism'], parse: parseCount },
    { flag: `${prefix}-delay`, path: [...path, 'Delay'], parse: parseDuration },
    { flag: `${prefix}-monitor`, path: [...path, 'Monitor'], parse: parseDuration },
    {
      flag: `${prefix}-failure-action`,
      path: [...path, 'FailureAction'],
      parse: oneOf(failureActions),
    },
    { flag: `${prefix}-max-failure-ratio`, path: [...path, 'MaxFailureRatio'], parse: parseRatio },
    {
      flag: `${prefix}-order`,
      path: [...path, 'Order'],
      parse: oneOf(['start-first', 'stop-first']),
    },
  ]
}

const SETTINGS: readonly Setting[] = [
  { flag: 'user', path: [...CONTAINER, 'User'], parse: asText },
  { flag: 'workdir', path: [...CONTAINER, 'Dir'], parse: asText },
  { flag: 'hostname', path: [...CONTAINER, 'Hostname'], parse: asText },
  { flag: 'stop-signal', path: [...CONTAINER, 'StopSignal'], parse: asText },
  { flag: 'stop-grace-period', path: [...CONTAINER, 'StopGracePeriod'], parse: parseDuration },
  { flag: 'entrypoint', path: [...CONTAINER, 'Command'], parse: splitWords },
  { flag: 'limit-cpu', path: [...LIMITS, 'NanoCPUs'], parse: parseCpus },
  { flag: 'limit-memory', path: [...LIMITS, 'MemoryBytes'], parse: parseBytes },
  { flag: 'limit-pids', path: [...LIMITS, 'Pids'], parse: parseCount },
  { flag: 'reserve-cpu', path: [...RESERVATIONS, 'NanoCPUs'], parse: parseCpus },
  { flag: 'reserve-memory', path: [...RESERVATIONS, 'MemoryBytes'], parse: parseBytes },
  {
    flag: 'replicas-max-per-node',
    path: ['TaskTemplate', 'Placement', 'MaxReplicas'],
    parse: parseCount,
  },
  {
    flag: 'restart-condition',
    path: [...RESTART, 'Condition'],
    parse: oneOf(['none', 'on-failure', 'any']),
  },
  { flag: 'restart-delay', path: [...RESTART, 'Delay'], parse: parseDuration },
  { flag: 'restart-max-attempts', path: [...RESTART, 'MaxAttempts'], parse: parseCount },
  { flag: 'restart-max-delay', path: [...RESTART, 'MaxDelay'], parse: parseDuration },
  { flag: 'restart-window', path: [...RESTART, 'Window'], parse: parseDuration },
  { flag: 'disconnect-lost-after', path: [...DISCONNECT, 'LostAfter'], parse: parseDuration },
  { flag: 'disconnect-stop-after', path: [...DISCONNECT, 'StopAfter'], parse: parseDuration },
  {
    flag: 'disconnect-keep',
    path: [...DISCONNECT, 'Keep'],
    parse: oneOf(['replacement', 'original']),
  },
  ...replacementSettings('update', UPDATE, ['pause', 'continue', 'rollback']),
  ...replacementSettings('rollback', ROLLBACK, ['pause', 'continue']),
]

/** The spec with every setting that a flag was given for. */
export function applySettings(spec: Json, flags: Flags): Json {
  let changed = spec
  for (const { flag, path, parse } of SETTINGS) {
    const text = flags.text(flag)
    if (text === undefined) continue
    changed = setAt(withGroupDefaults(changed, path), path, parse(text, flag))
  }
  changed = applyHealthcheck(changed, flags)
  const isReadOnly = flags.choice('read-only')
  if (isReadOnly === undefined || isReadOnly === flagAt(spec, ...CONTAINER, 'ReadOnly'))
    return changed
  return setAt(changed, [...CONTAINER, 'ReadOnly'], isReadOnly)
}

/** Whether the service has a number of tasks to set. */
export function hasReplicas(spec: Json): boolean {
  return (
    at(spec, 'Mode', 'Replicated') !== undefined || at(spec, 'Mode', 'ReplicatedJob') !== undefined
  )
}

/** Replicas of a service, completions of a job; a usage error for another mode. */
export function setReplicas(spec: Json, replicas: number): Json {
  if (!hasReplicas(spec))
    throw usageError('replicas can only be used with replicated or replicated-job mode')
  const isJob = at(spec, 'Mode', 'ReplicatedJob') !== undefined
  return setAt(
    spec,
    isJob ? ['Mode', 'ReplicatedJob', 'TotalCompletions'] : ['Mode', 'Replicated', 'Replicas'],
    replicas,
  )
}

/** Tasks of a job at one time; a usage error for another mode. */
export function setMaxConcurrent(spec: Json, count: number): Json {
  if (at(spec, 'Mode', 'ReplicatedJob') === undefined)
    throw usageError('max-concurrent can only be used with replicated-job mode')
  return setAt(spec, ['Mode', 'ReplicatedJob', 'MaxConcurrent'], count)
}

function withGroupDefaults(spec: Json, path: readonly string[]): Json {
  for (const [group, defaults] of GROUP_DEFAULTS) {
    const isInGroup = group.every((name, position) => path[position] === name)
    if (isInGroup) return setAt(spec, group, { ...defaults, ...objectAt(spec, ...group) })
  }
  return spec
}

function asText(text: string): string {
  return text
}

function oneOf(choices: readonly string[]): (text: string, flag: string) => string {
  return (text, flag) => parseChoice(text, flag, choices)
}
