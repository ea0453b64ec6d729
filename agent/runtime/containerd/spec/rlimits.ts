/**
 * The resource limits of a container: a kernel's own defaults and Docker's number of open files, all of
 * them stated, so that nothing is inherited from containerd. Where the host itself may not raise limits
 * (no CAP_SYS_RESOURCE, as inside of another container) they end at its own.
 */
import type { OciRlimit } from './oci.ts'

const OPEN_FILES_MAX = 1_048_576
const MIB = 1024 * 1024
const SYS_RESOURCE = 24

const RLIMITS: readonly OciRlimit[] = [
  { type: 'RLIMIT_AS', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_CORE', soft: 0, hard: Infinity },
  { type: 'RLIMIT_CPU', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_DATA', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_FSIZE', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_LOCKS', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_MEMLOCK', soft: 8 * MIB, hard: 8 * MIB },
  { type: 'RLIMIT_MSGQUEUE', soft: 819_200, hard: 819_200 },
  { type: 'RLIMIT_NICE', soft: 0, hard: 0 },
  { type: 'RLIMIT_NOFILE', soft: OPEN_FILES_MAX, hard: OPEN_FILES_MAX },
  { type: 'RLIMIT_NPROC', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_RSS', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_RTPRIO', soft: 0, hard: 0 },
  { type: 'RLIMIT_RTTIME', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_SIGPENDING', soft: Infinity, hard: Infinity },
  { type: 'RLIMIT_STACK', soft: 8 * MIB, hard: Infinity },
]

/** The lines of /proc/PID/limits that do not spell their limit's name. */
const NAMES: Readonly<Record<string, string>> = {
  'cpu time': 'CPU',
  'file size': 'FSIZE',
  'data size': 'DATA',
  'stack size': 'STACK',
  'core file size': 'CORE',
  'resident set': 'RSS',
  processes: 'NPROC',
  'open files': 'NOFILE',
  'locked memory': 'MEMLOCK',
  'address space': 'AS',
  'file locks': 'LOCKS',
  'pending signals': 'SIGPENDING',
  'msgqueue size': 'MSGQUEUE',
  'nice priority': 'NICE',
  'realtime priority': 'RTPRIO',
  'realtime timeout': 'RTTIME',
}

/** Hard limits that cannot be exceeded, by type; a type that is absent has none. */
export type RlimitCeilings = ReadonlyMap<string, number>

export type RlimitSources = {
  /** The texts of /proc/self/status, /proc/self/limits and /proc/sys/fs/nr_open. */
  readonly status: string
  readonly limits: string
  readonly openFilesMax: string
}

export function parseCeilings(sources: RlimitSources): RlimitCeilings {
  const openFiles = Number(sources.openFilesMax.trim() || Infinity)
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(sources.status)?.[1] ?? '0'}`)
  if ((held >> BigInt(SYS_RESOURCE)) & 1n) return new Map([['RLIMIT_NOFILE', openFiles]])
  const ceilings = new Map<string, number>()
  for (const match of sources.limits.matchAll(/^Max (.+?) {2,}\S+ +(\S+)/gm)) {
    const name = NAMES[match[1] ?? '']
    if (name !== undefined && match[2] !== 'unlimited') {
      ceilings.set(`RLIMIT_${name}`, Number(match[2]))
    }
  }
  return ceilings
}

/** The limits of every container on this host. */
export function listRlimits(ceilings: RlimitCeilings): readonly OciRlimit[] {
  return RLIMITS.map(({ type, soft, hard }) => {
    const ceiling = ceilings.get(type) ?? Infinity
    return { type, soft: Math.min(soft, ceiling), hard: Math.min(hard, ceiling) }
  })
}
