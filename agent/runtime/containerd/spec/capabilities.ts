/**
 * Which capabilities a container gets: Docker's defaults, changed by what the service adds and drops
 * (swarm-mode.md 1.3; Docker's rules for ALL). Names are `CAP_…`; users may leave that out.
 */
import { SwarmError } from '../../../../lib/errors.ts'
import type { OciCapabilities } from './oci.ts'

/** By number, as in linux/capability.h. */
const ALL: readonly string[] = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE ' +
  'NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO ' +
  'SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME ' +
  'SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG ' +
  'WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
)
  .split(' ')
  .map((name) => `CAP_${name}`)

const DEFAULTS: readonly string[] = (
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP ' +
  'NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
)
  .split(' ')
  .map((name) => `CAP_${name}`)

export type CapabilityChoice = {
  readonly add: readonly string[]
  readonly drop: readonly string[]
  /** The number of the last capability that the kernel knows (/proc/sys/kernel/cap_last_cap). */
  readonly lastKnown: number
}

/** In the order of their numbers; SwarmError 'invalid-argument' for a name that there is not. */
export function listCapabilities(choice: CapabilityChoice): readonly string[] {
  const add = new Set(choice.add.map(parseCapability))
  const drop = new Set(choice.drop.map(parseCapability))
  const known = ALL.slice(0, choice.lastKnown + 1)
  if (drop.has('ALL')) return known.filter((name) => add.has(name))
  const base = add.has('ALL') ? known : [...DEFAULTS, ...add]
  return known.filter((name) => base.includes(name) && !drop.has(name))
}

/** The five sets of a first process: a user other than root starts with none in effect. */
export function newCapabilitySets(names: readonly string[], uid: number): OciCapabilities {
  const held = uid === 0 ? names : []
  return { bounding: names, effective: held, permitted: held, inheritable: [], ambient: [] }
}

function parseCapability(text: string): string {
  const upper = text.trim().toUpperCase()
  if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL'
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (ALL.includes(name)) return name
  throw new SwarmError('invalid-argument', `unknown capability "${text}"`, {
    facts: { capability: text },
  })
}
