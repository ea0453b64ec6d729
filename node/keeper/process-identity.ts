/**
 * Tells a process from a later one that got the same number, over restarts of whoever asks: by the
 * time it was started and by the boot. Where there is no /proc both are empty and the number alone
 * counts.
 */
import { existsSync, readFileSync } from 'node:fs'

export type ProcessIdentity = {
  readonly pid: number
  /** In clock ticks since the boot, as the kernel writes it. */
  readonly startTime: string
  readonly bootId: string
}

/** The identity of a process that is alive now. */
export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: readStat(pid)?.startTime ?? '', bootId: readBootId() }
}

/** Whether this very process is alive; a zombie is not. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== readBootId()) return false
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    // It lives and belongs to somebody else: EPERM.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
  const stat = readStat(identity.pid)
  return stat === undefined || (stat.startTime === identity.startTime && stat.state !== 'Z')
}

type Stat = { readonly state: string; readonly startTime: string }

/** The name in the second field may hold spaces and brackets: fields are counted from its end. */
function readStat(pid: number): Stat | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startTime: fields[19] ?? '' }
}

function readBootId(): string {
  const path = '/proc/sys/kernel/random/boot_id'
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}
