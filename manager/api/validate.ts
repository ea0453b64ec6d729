/**
 * What a service may ask for: every field of a ServiceSpec is checked here, in the words that
 * clients of Swarm know where there are such (swarm-mode.md 1.3, 2.3), with the field's name in
 * Docker's spelling everywhere. It decides on the spec alone; names that are taken and versions are
 * the handlers'. What this version cannot do is refused as `unimplemented`, never dropped.
 */
import { type Code, SwarmError } from '../../lib/errors.ts'
import { parseReference } from '../../lib/image-reference.ts'
import {
  type Annotations,
  type ContainerSpec,
  type EndpointSpec,
  emptyTaskSpec,
  encodeServiceSpec,
  type Mount,
  type ResourceRequirements,
  type RestartPolicy,
  type ServiceSpec,
  type TaskSpec,
  type UpdateConfig,
} from '../../proto/gen/specs.ts'
import type { PortConfig, Resources } from '../../proto/gen/types.ts'
import { checkServiceName } from '../model/naming.ts'
import { RESTART_DELAY_MS } from '../model/restart-delay.ts'
import { checkDisconnect } from './validate-disconnect.ts'
import { checkHealthcheck } from './validate-health.ts'
import { checkPlacement } from './validate-placement.ts'

/** A service holds its spec twice, and one entry of the log holds 1 MiB (DESIGN section 5). */
export const SERVICE_SPEC_BYTES_MAX = 400_000
/** Of everything besides a secret's or config's data, and of a node's spec. */
export const ANNOTATIONS_BYTES_MAX = 16_384
const CPU_NANO_MIN = 1_000_000
const MEMORY_BYTES_MIN = 4 * 2 ** 20
const PORT_MAX = 65_535

const HOSTNAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/
const SIGNAL = /^[a-zA-Z0-9+-]{1,16}$/
const CAPABILITY = /^[a-zA-Z_]{2,32}$/
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/

/** Throws SwarmError that names the field, unless a service with this spec can be run. */
export function checkServiceSpec(spec: ServiceSpec): void {
  checkServiceName(spec.annotations?.name ?? '')
  checkAnnotations(spec.annotations)
  if (spec.mode === undefined) throw refusal('Mode: one of Replicated and Global must be given')
  checkTask(spec.task ?? emptyTaskSpec)
  checkPlacement(spec)
  checkJob(spec)
  checkDisconnect(spec)
  if (spec.update !== undefined) checkUpdate(spec.update, 'UpdateConfig')
  if (spec.rollback !== undefined) checkRollback(spec.rollback)
  if (spec.endpoint !== undefined) checkEndpoint(spec.endpoint)
  checkSize('service spec', encodeServiceSpec(spec), SERVICE_SPEC_BYTES_MAX)
}

/** Throws SwarmError `invalid-argument` for labels that no client could name. */
export function checkAnnotations(annotations: Annotations | undefined): void {
  for (const [key, value] of annotations?.labels ?? [])
    if (key === '' || hasZero(key) || hasZero(value))
      throw refusal(`Labels: "${key}" must have a name, and neither name nor value a zero byte`)
}

/** Throws SwarmError `invalid-argument` where an encoded object is larger than it may be. */
export function checkSize(what: string, encoded: Uint8Array, max: number): void {
  if (encoded.length <= max) return
  throw refusal(`${what} of ${encoded.length} bytes is larger than ${max} bytes`)
}

function checkTask(task: TaskSpec): void {
  if (task.container === undefined) throw refusal('ContainerSpec: missing in service spec')
  checkContainer(task.container)
  if (task.resources !== undefined) checkResources(task.resources)
  if (task.restart !== undefined) checkRestart(task.restart)
  for (const [at, network] of task.networks.entries())
    if (network.target !== 'host' || at > 0)
      throw refusal(
        `TaskTemplate.Networks: network "${network.target}" is not supported yet, only "host" alone or none`,
        'unimplemented',
      )
}

function checkContainer(container: ContainerSpec): void {
  const { image, hostname, dir, stopSignal } = container
  if (image === '') throw refusal('ContainerSpec: image reference must be provided')
  parseReference(image)
  checkTemplate('ContainerSpec.Hostname', hostname)
  if (hostname !== '' && !HOSTNAME.test(hostname))
    throw refusal(`ContainerSpec.Hostname: "${hostname}" is not a valid host name`)
  if (dir !== '' && !dir.startsWith('/'))
    throw refusal(`ContainerSpec.Dir: the working directory "${dir}" must be an absolute path`)
  if (stopSignal !== '' && !SIGNAL.test(stopSignal))
    throw refusal(`ContainerSpec.StopSignal: invalid signal: ${stopSignal}`)
  for (const entry of container.env) checkEnv(entry)
  for (const capability of [...container.capabilityAdd, ...container.capabilityDrop])
    if (!CAPABILITY.test(capability))
      throw refusal(`ContainerSpec.CapabilityAdd, CapabilityDrop: "${capability}" is no capability`)
  for (const text of [...container.command, ...container.args, container.user, dir])
    if (hasZero(text)) throw refusal('ContainerSpec: Command, Args, User and Dir hold no zero byte')
  if (container.healthcheck !== undefined) checkHealthcheck(container.healthcheck)
  checkMounts(container.mounts)
}

function checkEnv(entry: string): void {
  if (entry === '' || entry.startsWith('='))
    throw refusal(`ContainerSpec.Env: invalid environment variable: "${entry}"`)
  if (hasZero(entry)) throw refusal('ContainerSpec.Env: an entry holds no zero byte')
  checkTemplate('ContainerSpec.Env', entry)
}

function checkMounts(mounts: readonly Mount[]): void {
  const targets = new Set<string>()
  for (const mount of mounts) {
    checkMount(mount)
    const target = mount.target.replace(/\/+$/, '')
    if (targets.has(target))
      throw refusal(`ContainerSpec.Mounts: duplicate mount point: ${mount.target}`)
    targets.add(target)
  }
}

function checkMount(mount: Mount): void {
  const { source, target } = mount
  checkTemplate('ContainerSpec.Mounts.Source', source)
  checkTemplate('ContainerSpec.Mounts.Target', target)
  if (!target.startsWith('/') || hasZero(target))
    throw refusal(`invalid mount target, must be an absolute path: ${target}`)
  if (/^\/+$/.test(target))
    throw refusal(`invalid mount target "${target}": destination can't be '/'`)
  checkMountOptions(mount)
  switch (mount.type) {
    case 'bind':
      if (!source.startsWith('/') || hasZero(source))
        throw refusal(`invalid bind mount source, must be an absolute path: ${source}`)
      return
    case 'volume':
      if (source !== '' && !VOLUME_NAME.test(source))
        throw refusal(`invalid volume mount source, "${source}" is not a valid name for a volume`)
      return
    case 'tmpfs':
      if (source !== '') throw refusal('invalid tmpfs source, source must be empty')
      return
    default:
      mount.type satisfies never
  }
}

function checkMountOptions(mount: Mount): void {
  const given = {
    bind: mount.propagation !== 'rprivate',
    volume: mount.volumeNoCopy,
    tmpfs: mount.tmpfsSizeBytes > 0 || mount.tmpfsMode > 0,
  }
  const names = { bind: 'BindOptions', volume: 'VolumeOptions', tmpfs: 'TmpfsOptions' } as const
  for (const type of ['bind', 'volume', 'tmpfs'] as const)
    if (given[type] && mount.type !== type)
      throw refusal(
        `ContainerSpec.Mounts.${names[type]}: only for mounts of type ${type}, not for ${mount.target}`,
      )
}

function checkResources({ limits, reservations, pidsLimit }: ResourceRequirements): void {
  if (limits !== undefined) checkAmount('Resources.Limits', limits)
  if (reservations !== undefined) checkAmount('Resources.Reservations', reservations)
  if (pidsLimit < 0) throw refusal(`Resources.Limits.Pids: ${pidsLimit} is negative`)
}

function checkRestart({ delayMs = RESTART_DELAY_MS, maxDelayMs }: RestartPolicy): void {
  if (maxDelayMs === 0 || (delayMs > 0 && delayMs <= maxDelayMs)) return
  throw refusal(
    `RestartPolicy.MaxDelay: a delay of ${delayMs} ms cannot grow to ${maxDelayMs} ms: give a Delay above 0 and at most MaxDelay`,
  )
}

function checkAmount(field: string, { nanoCpus, memoryBytes }: Resources): void {
  if (nanoCpus !== 0 && nanoCpus < CPU_NANO_MIN)
    throw refusal(`${field}: invalid cpu value ${nanoCpus / 1e9}: Must be at least 0.001`)
  if (memoryBytes !== 0 && memoryBytes < MEMORY_BYTES_MIN)
    throw refusal(`${field}: invalid memory value ${memoryBytes}: Must be at least 4MiB`)
}

function checkJob({ mode, update, rollback }: ServiceSpec): void {
  if (mode?.kind !== 'replicatedJob' && mode?.kind !== 'globalJob') return
  if (update !== undefined || rollback !== undefined)
    throw refusal(
      'UpdateConfig, RollbackConfig: update and rollback configuration is not supported for jobs',
    )
  if (mode.kind === 'replicatedJob' && mode.replicatedJob.maxConcurrent === 0)
    throw refusal('Mode.ReplicatedJob.MaxConcurrent: must be at least 1, or no task would ever run')
}

function checkUpdate({ maxFailureRatio }: UpdateConfig, field: string): void {
  if (maxFailureRatio >= 0 && maxFailureRatio <= 1) return
  const what = field === 'UpdateConfig' ? 'update' : 'rollback'
  throw refusal(
    `TaskSpec: ${what}-maxfailureratio cannot be less than 0 or bigger than 1 (${field}.MaxFailureRatio)`,
  )
}

function checkRollback(config: UpdateConfig): void {
  checkUpdate(config, 'RollbackConfig')
  if (config.failureAction === 'rollback')
    throw refusal(
      'RollbackConfig.FailureAction: a rollback cannot be rolled back, use one of pause and continue',
    )
}

function checkEndpoint({ mode, ports }: EndpointSpec): void {
  if (mode === 'dnsrr')
    throw refusal(
      'EndpointSpec.Mode "dnsrr" is not supported yet: services have no names on overlay networks',
      'unimplemented',
    )
  const published = new Set<string>()
  for (const port of ports) {
    checkPort(port)
    if (port.publishedPort === 0) continue
    const key = `${port.protocol}/${port.publishedPort}`
    if (published.has(key))
      throw refusal(
        `EndpointSpec: duplicate published ports provided: ${port.publishedPort}/${port.protocol}`,
      )
    published.add(key)
  }
}

function checkPort({ targetPort, publishedPort, publishMode, protocol }: PortConfig): void {
  if (targetPort < 1 || targetPort > PORT_MAX)
    throw refusal(`EndpointSpec.Ports.TargetPort: ${targetPort} is not from 1 to ${PORT_MAX}`)
  if (publishedPort > PORT_MAX)
    throw refusal(`EndpointSpec.Ports.PublishedPort: ${publishedPort} is above ${PORT_MAX}`)
  if (publishMode === 'ingress')
    throw refusal(
      `EndpointSpec.Ports.PublishMode "ingress" (port ${targetPort}) is not supported yet: publish it with mode=host`,
      'unimplemented',
    )
  if (protocol === 'sctp')
    throw refusal(
      `EndpointSpec.Ports.Protocol "sctp" (port ${targetPort}) is not supported yet`,
      'unimplemented',
    )
}

/** Swarm would expand it; as that is not built, the text must not reach a container as it is. */
function checkTemplate(field: string, text: string): void {
  if (text.includes('{{'))
    throw refusal(`${field}: templates are not supported yet: "${text}"`, 'unimplemented')
}

function hasZero(text: string): boolean {
  return text.includes('\0')
}

function refusal(message: string, code: Code = 'invalid-argument'): SwarmError {
  return new SwarmError(code, message)
}
