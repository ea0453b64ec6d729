/**
 * What this machine is, as far as containers depend on it: architecture, kernel, CPUs, memory, and
 * which means of confinement the kernel has.
 */
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, machine, release, totalmem } from 'node:os'
import type { Platform, Resources } from '../../../proto/gen/types.ts'
import type { Cgroups } from './cgroup.ts'
import type { ImagePlatform } from './image/manifest.ts'
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

export function readMachine(cgroups: Cgroups, apparmorProfile: string | undefined): Machine {
  const hasSwapLimit = cgroups.hasSwapLimit()
  const hasSeccomp = existsSync('/proc/sys/kernel/seccomp/actions_avail')
  return {
    platform: { os: 'linux', architecture: machine() },
    imagePlatform: {
      os: 'linux',
      architecture: IMAGE_ARCHITECTURES[process.arch] ?? process.arch,
      variant: process.arch === 'arm64' ? 'v8' : '',
    },
    resources: { nanoCpus: availableParallelism() * NANO, memoryBytes: totalmem() },
    specHost: {
      architecture: process.arch,
      kernelRelease: release(),
      capabilityLast: readNumber('/proc/sys/kernel/cap_last_cap') ?? CAPABILITY_LAST,
      hasSwapLimit,
      hasSeccomp,
      apparmorProfile,
    },
    warnings: hasSeccomp
      ? []
      : ['the kernel has no seccomp: containers may make every system call; use another kernel'],
  }
}

function readNumber(path: string): number | undefined {
  if (!existsSync(path)) return undefined
  const number = Number(readFileSync(path, 'utf8').trim())
  return Number.isSafeInteger(number) ? number : undefined
}
