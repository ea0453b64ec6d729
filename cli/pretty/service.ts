/** `tsswarm service inspect --pretty`: a service in words, in the order of Docker's. */
import { formatDuration } from '../../lib/amount.ts'
import {
  at,
  flagAt,
  type Json,
  labelsAt,
  listAt,
  numberAt,
  objectAt,
  textAt,
  textsAt,
} from '../json.ts'
import { formatBytes } from '../text/units.ts'
import { formatLines, type Line, labelLines } from './lines.ts'

export function formatService(service: Json): string {
  const spec = at(service, 'Spec')
  const task = at(spec, 'TaskTemplate')
  const maxUnavailable = numberAt(spec, 'DisruptionBudget', 'MaxUnavailable')
  return formatLines([
    ['ID', textAt(service, 'ID')],
    ['Name', textAt(spec, 'Name')],
    ['Labels', labelLines(labelsAt(spec, 'Labels'))],
    ...modeLines(at(spec, 'Mode')),
    ['UpdateStatus', updateStatusLines(at(service, 'UpdateStatus'))],
    ['Placement', placementLines(at(task, 'Placement'))],
    ['Max Unavailable', maxUnavailable === 0 ? '' : String(maxUnavailable)],
    ['UpdateConfig', updateConfigLines(at(spec, 'UpdateConfig'), 'Update order')],
    ['RollbackConfig', updateConfigLines(at(spec, 'RollbackConfig'), 'Rollback order')],
    ['ContainerSpec', containerLines(at(task, 'ContainerSpec'))],
    ['Mounts', mountLines(listAt(task, 'ContainerSpec', 'Mounts'))],
    ['Resources', resourceLines(at(task, 'Resources'))],
    ['RestartPolicy', restartLines(at(task, 'RestartPolicy'))],
    ['Disconnect', disconnectLines(at(task, 'Disconnect'))],
    [
      'Networks',
      listAt(task, 'Networks')
        .map((network) => textAt(network, 'Target'))
        .join(' '),
    ],
    ['Endpoint Mode', textAt(spec, 'EndpointSpec', 'Mode')],
    ['Ports', listAt(service, 'Endpoint', 'Ports').map(portLine)],
    ['Healthcheck', healthLines(at(task, 'ContainerSpec', 'Healthcheck'))],
  ])
}

function modeLines(mode: Json): readonly Line[] {
  const [name = 'Replicated'] = Object.keys(objectAt(mode))
  const numbers = [
    ['Replicas', at(mode, 'Replicated', 'Replicas')],
    ['Max Concurrent', at(mode, 'ReplicatedJob', 'MaxConcurrent')],
    ['Total Completions', at(mode, 'ReplicatedJob', 'TotalCompletions')],
  ] as const
  return [
    ['Service Mode', name],
    ...numbers.map(
      ([label, value]): Line => [label, value === undefined ? '' : String(numberAt(value))],
    ),
  ]
}

function updateStatusLines(status: Json): readonly Line[] {
  return [
    ['State', textAt(status, 'State')],
    ['Started', textAt(status, 'StartedAt')],
    ['Completed', textAt(status, 'CompletedAt')],
    ['Message', textAt(status, 'Message')],
  ]
}

function placementLines(placement: Json): readonly Line[] {
  const max = numberAt(placement, 'MaxReplicas')
  const preferences = listAt(placement, 'Preferences').map((item) =>
    textAt(item, 'Spread', 'SpreadDescriptor'),
  )
  return [
    ['Constraints', textsAt(placement, 'Constraints').join(', ')],
    ['Preferences', preferences.map((item) => `spread=${item}`).join(', ')],
    ['Max Replicas Per Node', max === 0 ? '' : String(max)],
    ['Strategy', textAt(placement, 'Strategy')],
    ['Beside', servicesOf(placement, false)],
    ['Never Beside', servicesOf(placement, true)],
  ]
}

function servicesOf(placement: Json, isAnti: boolean): string {
  return listAt(placement, 'Affinities')
    .filter((item) => flagAt(item, 'Anti') === isAnti)
    .map((item) => textAt(item, 'Service'))
    .join(', ')
}

function updateConfigLines(update: Json, orderLabel: string): readonly Line[] {
  if (update === undefined) return []
  return [
    ['Parallelism', String(numberAt(update, 'Parallelism'))],
    ['Delay', durationAt(update, 'Delay')],
    ['On failure', textAt(update, 'FailureAction')],
    ['Monitoring Period', durationAt(update, 'Monitor')],
    ['Max failure ratio', String(numberAt(update, 'MaxFailureRatio'))],
    [orderLabel, textAt(update, 'Order')],
  ]
}

function containerLines(container: Json): readonly Line[] {
  return [
    ['Image', textAt(container, 'Image')],
    ['Command', textsAt(container, 'Command').join(' ')],
    ['Args', textsAt(container, 'Args').join(' ')],
    ['Env', textsAt(container, 'Env').join(' ')],
    ['Dir', textAt(container, 'Dir')],
    ['User', textAt(container, 'User')],
    ['Hostname', textAt(container, 'Hostname')],
    ['Read Only', flagAt(container, 'ReadOnly') ? 'true' : ''],
    ['Stop Signal', textAt(container, 'StopSignal')],
    ['Stop Grace Period', durationAt(container, 'StopGracePeriod')],
    ['Capabilities Added', textsAt(container, 'CapabilityAdd').join(', ')],
    ['Capabilities Dropped', textsAt(container, 'CapabilityDrop').join(', ')],
  ]
}

function mountLines(mounts: readonly Json[]): readonly Line[] {
  return mounts.map((mount) => [
    textAt(mount, 'Target'),
    [
      ['Source', textAt(mount, 'Source')],
      ['ReadOnly', String(flagAt(mount, 'ReadOnly'))],
      ['Type', textAt(mount, 'Type')],
    ],
  ])
}

function resourceLines(resources: Json): readonly Line[] {
  return [
    ['Reservations', amountLines(at(resources, 'Reservations'))],
    ['Limits', amountLines(at(resources, 'Limits'))],
  ]
}

function amountLines(amount: Json): readonly Line[] {
  const cpus = numberAt(amount, 'NanoCPUs')
  const memory = numberAt(amount, 'MemoryBytes')
  const pids = numberAt(amount, 'Pids')
  return [
    ['CPU', cpus === 0 ? '' : String(cpus / 1e9)],
    ['Memory', memory === 0 ? '' : formatBytes(memory)],
    ['Pids', pids === 0 ? '' : String(pids)],
    ['Generic', listAt(amount, 'GenericResources').map(genericLine).join(', ')],
  ]
}

function genericLine(resource: Json): string {
  const spec = at(resource, 'DiscreteResourceSpec')
  return `${textAt(spec, 'Kind')}=${numberAt(spec, 'Value')}`
}

function restartLines(restart: Json): readonly Line[] {
  const attempts = numberAt(restart, 'MaxAttempts')
  return [
    ['Condition', textAt(restart, 'Condition')],
    ['Delay', durationAt(restart, 'Delay')],
    ['Max attempts', attempts === 0 ? '' : String(attempts)],
    ['Window', durationAt(restart, 'Window')],
    ['Max delay', durationAt(restart, 'MaxDelay')],
  ]
}

function disconnectLines(disconnect: Json): readonly Line[] {
  return [
    ['Lost after', durationAt(disconnect, 'LostAfter')],
    ['Stop after', durationAt(disconnect, 'StopAfter')],
    ['Keep', textAt(disconnect, 'Keep')],
  ]
}

function healthLines(check: Json): readonly Line[] {
  const retries = numberAt(check, 'Retries')
  return [
    ['Test', textsAt(check, 'Test').join(' ')],
    ['Interval', durationAt(check, 'Interval')],
    ['Timeout', durationAt(check, 'Timeout')],
    ['Retries', retries === 0 ? '' : String(retries)],
    ['Start Period', durationAt(check, 'StartPeriod')],
    ['Start Interval', durationAt(check, 'StartInterval')],
  ]
}

function portLine(port: Json): Line {
  const published = numberAt(port, 'PublishedPort')
  const target = `${numberAt(port, 'TargetPort')}/${textAt(port, 'Protocol')}`
  return [target, `${published === 0 ? 'any' : published} (${textAt(port, 'PublishMode')})`]
}

function durationAt(json: Json, name: string): string {
  return at(json, name) === undefined ? '' : formatDuration(numberAt(json, name))
}
