/**
 * The AppArmor profile of containers, on hosts where AppArmor is on (Debian, Ubuntu): a second wall
 * behind masked paths, capabilities and seccomp. It is loaded once at the start; where that cannot be
 * done containers run without it, and the node says so.
 */
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Host } from './host.ts'

export type AppArmor = {
  /** Undefined where containers run without one. */
  readonly profile: string | undefined
  readonly warnings: readonly string[]
}

const PROFILE = 'tsswarm-default'
const ENABLED_PATH = '/sys/module/apparmor/parameters/enabled'

/**
 * Everything but what reaches around the container. Signals come from the host's own processes and
 * from the programs that run containers, which newer distributions confine themselves.
 */
const PROFILE_TEXT = `profile ${PROFILE} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,

  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer=${PROFILE},
  ptrace (trace,read,tracedby,readby) peer=${PROFILE},

  deny mount,
  deny /proc/kcore rwklx,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/sys/** w,
  deny /proc/[^0-9]* w,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`

/** The profile is loaded in the kernel, if that has AppArmor. `directory` keeps its text. */
export async function loadAppArmor(
  host: Host,
  directory: string,
  enabledPath: string = ENABLED_PATH,
): Promise<AppArmor> {
  const isOn = existsSync(enabledPath) && readFileSync(enabledPath, 'utf8').startsWith('Y')
  if (!isOn) return { profile: undefined, warnings: [] }
  const path = join(directory, 'apparmor-profile')
  await writeFile(path, PROFILE_TEXT, { mode: 0o600 })
  const failure = await tryLoad(host, path)
  if (failure === undefined) return { profile: PROFILE, warnings: [] }
  const warning = `containers run without AppArmor (${failure}); install the package apparmor`
  return { profile: undefined, warnings: [warning] }
}

/** Why it could not be loaded; the parser's package is not everywhere where the kernel has AppArmor. */
async function tryLoad(host: Host, path: string): Promise<string | undefined> {
  try {
    const { exitCode, stderr } = await host.run(['apparmor_parser', '--replace', '--quiet', path])
    return exitCode === 0 ? undefined : stderr.trim()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
