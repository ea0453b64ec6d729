/**
 * What this machine is, as far as containers depend on it: architecture, kernel, CPUs, memory, and
 * which means of confinement the kernel has.
 */
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, machine, release, totalmem } from 'node:os'
import { emptyResources, type Platform, type Resources } from '../../../proto/gen/types.ts'
import type { Cgroups } from './cgroup.ts'
import type { ImagePlatform } from './image/manifest.ts'
import { listRlimits, parseCeilings, type RlimitCeilings } from './spec/rlimits.ts'
import type { SpecHost } from './spec/spec.ts'

export type Machine = {
  /** As nodes report it: x86_64, linux. */
  readonly platform: Platform
  /** As images name it: amd64, linux. */
  readonly imagePlatform: ImagePlatform
  readonly resources: Resources
  readonly specHost: SpecHost
  readonly warnings: readonly string[]
}

const IMAGE_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
}
const NANO = 1_000_000_000
/** CAP_AUDIT_READ, the last of kernel 3.16, where nobody says. */
const CAPABILITY_LAST = 37
const NO_SECCOMP =
  'the kernel has no seccomp: containers may make every system call; use another kernel'

export function readMachine(cgroups: Cgroups, apparmorProfile: string | undefined): Machine {
  const hasSwapLimit = cgroups.hasSwapLimit()
  const limits = cgroups.findLimits()
  const hasSeccomp = existsSync('/proc/sys/kernel/seccomp/actions_avail')
  const rlimitCeilings = parseCeilings({
    status: readText('/proc/self/status'),
    limits: readText('/proc/self/limits'),
    openFilesMax: readText('/proc/sys/fs/nr_open'),
  })
  return {
    platform: { os: 'linux', architecture: machine() },
    imagePlatform: {
      os: 'linux',
      architecture: IMAGE_ARCHITECTURES[process.arch] ?? process.arch,
      variant: process.arch === 'arm64' ? 'v8' : '',
    },
    resources: {
      ...emptyResources,
      nanoCpus: Math.min(availableParallelism() * NANO, limits.nanoCpus),
      memoryBytes: Math.min(totalmem(), limits.memoryBytes),
    },
    specHost: {
      architecture: process.arch,
      kernelRelease: release(),
      capabilityLast: readNumber('/proc/sys/kernel/cap_last_cap') ?? CAPABILITY_LAST,
      hasSwapLimit,
      hasSeccomp,
      rlimitCeilings,
      apparmorProfile,
    },
    warnings: [
      ...(hasSeccomp ? [] : [NO_SECCOMP]),
      ...(rlimitCeilings.size > 1 ? [limitWarning(rlimitCeilings)] : []),
    ],
  }
}

function limitWarning(ceilings: RlimitCeilings): string {
  const openFiles = listRlimits(ceilings).find((limit) => limit.type === 'RLIMIT_NOFILE')?.hard
  return `resource limits cannot be raised: containers get ${openFiles} open files; grant CAP_SYS_RESOURCE`
}

function readNumber(path: string): number | undefined {
  const number = Number(readText(path).trim() || Number.NaN)
  return Number.isSafeInteger(number) ? number : undefined
}

/** Empty where there is no such file. */
function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
