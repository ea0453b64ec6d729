/**
 * What is mounted into a container: the service's binds, volumes and tmpfs, and an anonymous volume for
 * each that the image declares. It decides places and options; making directories is left to
 * `volumes.ts`, mounting to runc, which resolves targets inside the root without leaving it.
 * Rules and messages are Docker's (swarm-mode.md 1.3).
 */
import { posix } from 'node:path'
import { SwarmError } from '../../../../lib/errors.ts'
import type { Mount, MountPropagation } from '../../../../proto/gen/specs.ts'
import type { OciMount } from './oci.ts'

export type PlannedMount =
  | {
      readonly kind: 'bind'
      readonly target: string
      readonly source: string
      readonly readOnly: boolean
      readonly propagation: MountPropagation
    }
  | {
      readonly kind: 'volume'
      readonly target: string
      /** Undefined is an anonymous volume, which goes with its container. */
      readonly name: string | undefined
      readonly readOnly: boolean
      /** What the image has at the target is copied into the volume while that is empty. */
      readonly copyUp: boolean
    }
  | {
      readonly kind: 'tmpfs'
      readonly target: string
      readonly readOnly: boolean
      readonly sizeBytes: number
      readonly mode: number
    }

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/
const TMPFS_MODE = 0o1777

/** By target, parents first. SwarmError 'invalid-argument' for what cannot be mounted. */
export function planMounts(
  mounts: readonly Mount[],
  imageVolumes: readonly string[],
): readonly PlannedMount[] {
  const planned = new Map<string, PlannedMount>()
  for (const mount of mounts) {
    const plan = planMount(mount)
    if (planned.has(plan.target)) throw refusal(`duplicate mount point: ${plan.target}`)
    planned.set(plan.target, plan)
  }
  for (const volume of imageVolumes) {
    const target = cleanTarget(volume)
    if (planned.has(target)) continue
    planned.set(target, { kind: 'volume', target, name: undefined, readOnly: false, copyUp: true })
  }
  const depth = (mount: PlannedMount): number => mount.target.split('/').length
  return [...planned.values()].sort((a, b) => depth(a) - depth(b) || (a.target < b.target ? -1 : 1))
}

/** `source` is where a bind or volume lies on the host; a tmpfs has none. */
export function newOciMount(mount: PlannedMount, source: string): OciMount {
  const access = mount.readOnly ? 'ro' : 'rw'
  switch (mount.kind) {
    case 'bind':
      return bindMount(source, mount.target, [access, mount.propagation])
    case 'volume':
      return bindMount(source, mount.target, [access, 'rprivate'])
    case 'tmpfs':
      return {
        destination: mount.target,
        type: 'tmpfs',
        source: 'tmpfs',
        options: [
          ...['noexec', 'nosuid', 'nodev', access, `mode=${mount.mode.toString(8)}`],
          ...(mount.sizeBytes > 0 ? [`size=${mount.sizeBytes}`] : []),
        ],
      }
    default:
      return mount satisfies never
  }
}

/** The propagation that the container's root needs so that its mounts' can work. */
export function rootPropagation(mounts: readonly PlannedMount[]): string {
  const kinds = mounts.map((mount) => (mount.kind === 'bind' ? mount.propagation : 'rprivate'))
  if (kinds.some((kind) => kind === 'shared' || kind === 'rshared')) return 'shared'
  if (kinds.some((kind) => kind === 'slave' || kind === 'rslave')) return 'rslave'
  return 'rprivate'
}

function bindMount(source: string, target: string, options: readonly string[]): OciMount {
  return { destination: target, type: 'bind', source, options: ['rbind', ...options] }
}

function planMount(mount: Mount): PlannedMount {
  const target = cleanTarget(mount.target)
  const { readOnly, source } = mount
  switch (mount.type) {
    case 'bind': {
      if (!posix.isAbsolute(source)) {
        throw invalidConfig('bind', `invalid mount path: '${source}' mount path must be absolute`)
      }
      const { propagation } = mount
      return { kind: 'bind', target, source: posix.normalize(source), readOnly, propagation }
    }
    case 'volume': {
      const name = source === '' ? undefined : source
      if (name !== undefined && !VOLUME_NAME.test(name)) {
        throw invalidConfig('volume', `"${name}" is not a valid name for a volume`)
      }
      return { kind: 'volume', target, name, readOnly, copyUp: !mount.volumeNoCopy }
    }
    case 'tmpfs': {
      if (source !== '') throw invalidConfig('tmpfs', 'field Source must not be specified')
      const mode = mount.tmpfsMode === 0 ? TMPFS_MODE : mount.tmpfsMode
      return { kind: 'tmpfs', target, readOnly, sizeBytes: mount.tmpfsSizeBytes, mode }
    }
    default:
      return mount.type satisfies never
  }
}

function cleanTarget(target: string): string {
  if (!posix.isAbsolute(target)) {
    throw refusal(`invalid mount target "${target}": it must be an absolute path`)
  }
  const clean = posix.normalize(target).replace(/(.)\/$/, '$1')
  if (clean !== '/') return clean
  throw refusal(`invalid mount target "${target}": destination can't be '/'`)
}

function invalidConfig(type: string, reason: string): SwarmError {
  return refusal(`invalid mount config for type "${type}": ${reason}`)
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
