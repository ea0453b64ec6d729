/**
 * A task, its image and the host → the OCI spec that runc runs. Everything that would otherwise be
 * inherited from the shim or is dangerous by default is set here: limits, umask, OOM score, masked and
 * read-only paths, devices, capabilities, seccomp (`docs/containers.md`). The defaults are Docker's,
 * so that images behave as they do there.
 */
import { SwarmError } from '../../../../lib/errors.ts'
import type { ContainerSpec, TaskSpec } from '../../../../proto/gen/specs.ts'
import type { ImageConfig } from '../image/manifest.ts'
import { listCapabilities, newCapabilitySets } from './capabilities.ts'
import type { OciDeviceRule, OciMount, OciResources, OciSpec } from './oci.ts'
import { listRlimits, type RlimitCeilings } from './rlimits.ts'
import { evaluateSeccomp } from './seccomp.ts'
import type { ContainerUser } from './user.ts'

/** What a spec depends on besides its task: the same on one host for every container. */
export type SpecHost = {
  /** As node calls it: x64, arm64, … */
  readonly architecture: string
  readonly kernelRelease: string
  /** The number of the last capability that the kernel knows. */
  readonly capabilityLast: number
  /** Whether swap can be limited. */
  readonly hasSwapLimit: boolean
  readonly hasSeccomp: boolean
  readonly rlimitCeilings: RlimitCeilings
  /** Undefined where AppArmor is off. */
  readonly apparmorProfile: string | undefined
}

export type SpecInput = {
  readonly task: TaskSpec
  readonly container: ContainerSpec
  readonly image: ImageConfig
  readonly host: SpecHost
  readonly user: ContainerUser
  readonly hostname: string
  readonly cgroupsPath: string
  /** Undefined is the host's network namespace. */
  readonly netnsPath: string | undefined
  /** The service's mounts, parents first. */
  readonly mounts: readonly OciMount[]
  readonly rootPropagation: string
  /** The task's own /etc/hosts, /etc/hostname and /etc/resolv.conf on the host. */
  readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string }
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const UMASK = 0o022
const NANO = 1_000_000_000
/** The scheduler's bounds on a quota and its period, in microseconds. */
const CPU_PERIOD_US = 100_000
const CPU_PERIOD_MAX_US = 1_000_000
const CPU_QUOTA_MIN_US = 1_000

/** Nothing of them can be read, listed or written: they show or steer the whole host. */
const MASKED_PATHS: readonly string[] = [
  ...['acpi', 'asound', 'interrupts', 'kcore', 'keys', 'latency_stats', 'sched_debug'].map(inProc),
  ...['scsi', 'timer_list', 'timer_stats'].map(inProc),
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

const READONLY_PATHS: readonly string[] = [
  ...['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map(inProc),
  // With version 1 the hierarchies are read-only, but not the folder that they are in.
  '/sys/fs/cgroup',
]

/** The rest is denied; a node may be made of any device, but only these can be opened. */
const DEVICE_RULES: readonly OciDeviceRule[] = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...[3, 5, 7, 8, 9].map((minor) => characterDevice(1, minor)), // null, zero, full, (u)random
  ...[0, 1, 2].map((minor) => characterDevice(5, minor)), // tty, console, ptmx
  { allow: true, type: 'c', major: 136, access: 'rwm' }, // pts/*
]

const SYSTEM_MOUNTS: readonly OciMount[] = [
  systemMount('/proc', 'proc', 'nosuid noexec nodev'),
  systemMount('/dev', 'tmpfs', 'nosuid strictatime mode=755 size=65536k'),
  systemMount('/dev/pts', 'devpts', 'nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5'),
  systemMount('/sys', 'sysfs', 'nosuid noexec nodev ro'),
  systemMount('/sys/fs/cgroup', 'cgroup', 'nosuid noexec nodev relatime ro'),
  systemMount('/dev/mqueue', 'mqueue', 'nosuid noexec nodev'),
  systemMount('/dev/shm', 'tmpfs', 'nosuid noexec nodev mode=1777 size=65536k'),
]

/** With a network namespace of their own, users other than root may ping and take low ports. */
const NETWORK_SYSCTLS: Readonly<Record<string, string>> = {
  'net.ipv4.ip_unprivileged_port_start': '0',
  'net.ipv4.ping_group_range': '0 2147483647',
}

/** SwarmError 'invalid-argument' where the task cannot be run as it says. */
export function newSpec(input: SpecInput): OciSpec {
  const { container, host } = input
  const capabilities = listCapabilities({
    add: container.capabilityAdd,
    drop: container.capabilityDrop,
    lastKnown: host.capabilityLast,
  })
  return {
    ociVersion: '1.0.2',
    root: { path: 'rootfs', readonly: container.readOnly },
    hostname: input.hostname,
    process: {
      terminal: false,
      user: { ...input.user, umask: UMASK },
      args: listArguments(container, input.image),
      env: listEnvironment(input),
      cwd: firstOf(container.dir, input.image.directory, '/'),
      capabilities: newCapabilitySets(capabilities, input.user.uid),
      rlimits: listRlimits(host.rlimitCeilings),
      noNewPrivileges: false,
      oomScoreAdj: 0,
      ...(host.apparmorProfile === undefined ? {} : { apparmorProfile: host.apparmorProfile }),
    },
    mounts: listMounts(input),
    linux: {
      namespaces: listNamespaces(input.netnsPath),
      cgroupsPath: input.cgroupsPath,
      resources: newResources(input.task, host),
      sysctl: input.netnsPath === undefined ? {} : NETWORK_SYSCTLS,
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
      rootfsPropagation: input.rootPropagation,
      ...(host.hasSeccomp ? { seccomp: evaluateSeccomp({ ...host, capabilities }) } : {}),
    },
  }
}

/** Entrypoint and command: replacing the first leaves out the image's second, as in Docker. */
function listArguments(container: ContainerSpec, image: ImageConfig): readonly string[] {
  const replaced = container.command.length > 0
  const entrypoint = replaced ? container.command : image.entrypoint
  const command = container.args.length > 0 || replaced ? container.args : image.command
  const words = [...entrypoint, ...command]
  if (words.length > 0) return words
  throw new SwarmError(
    'invalid-argument',
    `no command specified: image "${container.image}" has none, give one`,
  )
}

/** Later ones win in the place of the first; a name without a value takes the variable away. */
function listEnvironment(input: SpecInput): readonly string[] {
  const variables = new Map<string, string>()
  const all = [PATH, `HOSTNAME=${input.hostname}`, ...input.image.env, ...input.container.env]
  for (const entry of all) {
    const name = entry.split('=', 1)[0] ?? ''
    if (entry.includes('=')) variables.set(name, entry)
    else variables.delete(name)
  }
  return [...variables.values()]
}

function listMounts(input: SpecInput): readonly OciMount[] {
  const access = input.container.readOnly ? 'ro' : 'rw'
  const own = [
    [input.files.resolvConf, '/etc/resolv.conf'],
    [input.files.hostname, '/etc/hostname'],
    [input.files.hosts, '/etc/hosts'],
  ].map(([source = '', destination = '']): OciMount => {
    return { destination, type: 'bind', source, options: ['rbind', 'rprivate', access] }
  })
  const taken = new Set(input.mounts.map((mount) => mount.destination))
  const ours = [...SYSTEM_MOUNTS, ...own].filter((mount) => !taken.has(mount.destination))
  return [...ours, ...input.mounts]
}

function listNamespaces(netnsPath: string | undefined): OciSpec['linux']['namespaces'] {
  const own = ['pid', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type }))
  return netnsPath === undefined ? own : [...own, { type: 'network', path: netnsPath }]
}

function newResources(task: TaskSpec, host: SpecHost): OciResources {
  const limit = task.resources?.limits?.memoryBytes ?? 0
  const reservation = task.resources?.reservations?.memoryBytes ?? 0
  const nanoCpus = task.resources?.limits?.nanoCpus ?? 0
  const pids = task.resources?.pidsLimit ?? 0
  const memory = {
    ...(limit > 0 ? { limit } : {}),
    // Memory and swap together: as much swap as memory, Docker's default.
    ...(limit > 0 && host.hasSwapLimit ? { swap: limit * 2 } : {}),
    ...(reservation > 0 ? { reservation } : {}),
  }
  return {
    devices: DEVICE_RULES,
    ...(Object.keys(memory).length > 0 ? { memory } : {}),
    ...(nanoCpus > 0 ? { cpu: newCpuQuota(nanoCpus) } : {}),
    ...(pids > 0 ? { pids: { limit: pids } } : {}),
  }
}

function newCpuQuota(nanoCpus: number): { readonly quota: number; readonly period: number } {
  const quotaIn = (period: number): number => Math.round((nanoCpus / NANO) * period)
  const usual = quotaIn(CPU_PERIOD_US)
  if (usual >= CPU_QUOTA_MIN_US) return { quota: usual, period: CPU_PERIOD_US }
  const long = Math.max(CPU_QUOTA_MIN_US, quotaIn(CPU_PERIOD_MAX_US))
  return { quota: long, period: CPU_PERIOD_MAX_US }
}

function firstOf(...values: readonly string[]): string {
  return values.find((value) => value !== '') ?? ''
}

function inProc(name: string): string {
  return `/proc/${name}`
}

function characterDevice(major: number, minor: number): OciDeviceRule {
  return { allow: true, type: 'c', major, minor, access: 'rwm' }
}

function systemMount(destination: string, type: string, options: string): OciMount {
  return { destination, type, source: type, options: options.split(' ') }
}
