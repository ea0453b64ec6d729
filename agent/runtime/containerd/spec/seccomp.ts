/**
 * The default seccomp profile for one container on one host: the rules of `seccomp-profile.ts` whose
 * conditions hold there. Everything that no rule allows is answered with EPERM.
 */
import type { OciSeccomp, OciSyscall } from './oci.ts'
import { SECCOMP_RULES, type SeccompRule } from './seccomp-profile.ts'

export type SeccompFacts = {
  /** As node calls it: x64, arm64, … */
  readonly architecture: string
  /** As uname gives it: 6.1.0-18-amd64. */
  readonly kernelRelease: string
  /** The container's bounding set. */
  readonly capabilities: readonly string[]
}

const EPERM = 1

/** The architecture's own calls and those of its 32-bit programs; empty means the native one only. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
}

/** What runc is to load before it starts the container's first process. */
export function evaluateSeccomp(facts: SeccompFacts): OciSeccomp {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: ARCHITECTURES[facts.architecture] ?? [],
    syscalls: SECCOMP_RULES.filter((rule) => holds(rule, facts)).map(toSyscall),
  }
}

function holds(rule: SeccompRule, facts: SeccompFacts): boolean {
  const has = (name: string): boolean => facts.capabilities.includes(name)
  if (rule.capabilities !== undefined && !rule.capabilities.some(has)) return false
  if (rule.withoutCapabilities?.some(has) === true) return false
  if (rule.architectures?.includes(facts.architecture) === false) return false
  return rule.kernel === undefined || isAtLeast(facts.kernelRelease, rule.kernel)
}

function toSyscall(rule: SeccompRule): OciSyscall {
  return {
    names: rule.names,
    action: rule.errno === undefined ? 'SCMP_ACT_ALLOW' : 'SCMP_ACT_ERRNO',
    ...(rule.errno === undefined ? {} : { errnoRet: rule.errno }),
    ...(rule.args === undefined ? {} : { args: rule.args }),
  }
}

function isAtLeast(release: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release)
  if (match === null) return false
  const found = Number(match[1])
  return found > major || (found === major && Number(match[2]) >= minor)
}
