/**
 * What the host can do, each feature tried by using it, because what the kernel announces and what
 * it does differ (overlayfs on overlayfs mounts and then refuses to create files; host.md 5). It
 * changes nothing that stays, but for one raised limit. What is missing becomes a warning with its
 * remedy, shown in `node inspect`.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasSystemd, isUnified } from './cgroup.ts'
import { execute } from './command-runner.ts'
import type { HostPaths } from './host-paths.ts'
import type { CommandResult } from './protocol.ts'

const TIMEOUT_MS = 10_000
/** One for each container's shim on cgroup v2; the kernel's default ends at about 128. */
const INOTIFY_INSTANCES = 8_192
const INOTIFY_PATH = '/proc/sys/fs/inotify/max_user_instances'

export type ProbeResult = {
  readonly snapshotter: 'overlayfs' | 'native'
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  readonly warnings: readonly string[]
}

type Attempt = {
  readonly argv: readonly string[]
  readonly input?: string
  /** The warning when it fails. */
  readonly remedy: string
}

/** Tries everything; takes about half a second. Only as root: others have no use for any of it. */
export async function probeHost(paths: HostPaths): Promise<ProbeResult> {
  const cgroupDriver = hasSystemd() && isUnified() ? 'systemd' : 'cgroupfs'
  if (process.getuid?.() !== 0) return { snapshotter: 'native', cgroupDriver, warnings: [] }
  const warnings = [...raiseInotifyLimit(), ...(await tryNetwork(paths))]
  const overlay = await tryOverlay(paths)
  if (overlay.exitCode === 0) return { snapshotter: 'overlayfs', cgroupDriver, warnings }
  const warning =
    `overlayfs does not work in ${paths.stateDirectory} (${firstLine(overlay.stderr)}): images are ` +
    'copied instead; put the state directory on ext4 or xfs'
  return { snapshotter: 'native', cgroupDriver, warnings: [...warnings, warning] }
}

function raiseInotifyLimit(): readonly string[] {
  try {
    if (Number(readFileSync(INOTIFY_PATH, 'utf8')) < INOTIFY_INSTANCES) {
      writeFileSync(INOTIFY_PATH, String(INOTIFY_INSTANCES))
    }
    return []
  } catch {
    return [
      `fs.inotify.max_user_instances cannot be raised: about 128 tasks fit; set it to ${INOTIFY_INSTANCES}`,
    ]
  }
}

/** Two layers mounted, a file made, and one of a lower layer removed, in a mount namespace of its own. */
async function tryOverlay(paths: HostPaths): Promise<CommandResult> {
  const folder = join(paths.stateDirectory, 'probe-overlay')
  for (const name of ['lower1', 'lower2', 'upper', 'work', 'merged']) {
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 })
  }
  writeFileSync(join(folder, 'lower1', 'below'), '')
  const script =
    'mount -t overlay overlay -o lowerdir=lower2:lower1,upperdir=upper,workdir=work merged && ' +
    'echo x >merged/made && rm merged/below && ! test -e merged/below'
  const argv = ['unshare', '--mount', '--', 'sh', '-c', `cd "$1" && ${script}`, 'probe', folder]
  const result = await attempt({ argv, remedy: '' })
  rmSync(folder, { recursive: true, force: true })
  return result
}

async function tryNetwork(paths: HostPaths): Promise<readonly string[]> {
  const namespace = `ts-probe-${paths.hash}`
  const warnings: string[] = []
  const made = await attempt({ argv: ['ip', 'netns', 'add', namespace], remedy: '' })
  if (made.exitCode !== 0) {
    return [`network namespaces cannot be made (${firstLine(made.stderr)}): install iproute2`]
  }
  for (const each of networkAttempts(namespace)) {
    const result = await attempt(each)
    if (result.exitCode !== 0) warnings.push(`${each.remedy} (${firstLine(result.stderr)})`)
  }
  await attempt({ argv: ['ip', 'netns', 'delete', namespace], remedy: '' })
  return warnings
}

function networkAttempts(namespace: string): readonly Attempt[] {
  const inside = ['nsenter', `--net=/run/netns/${namespace}`, '--']
  return [
    {
      argv: ['ip', '-n', namespace, 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'probe1'],
      remedy: 'tasks get no outside access: the kernel has no veth links; load the module veth',
    },
    {
      argv: [
        ...['ip', '-n', namespace, 'link', 'add', 'probe2', 'type', 'vxlan', 'id', '1048576'],
        ...['dstport', '4789', 'nolearning', 'proxy'],
      ],
      remedy: 'overlay networks do not work: the kernel has no vxlan; load the module vxlan',
    },
    {
      argv: [...inside, 'nft', '-f', '-'],
      input: NFT_TEXT,
      remedy:
        'ports cannot be published: nftables with nat, numgen and fib does not work; ' +
        'install nftables and load nft_nat, nft_masq, nft_numgen and nft_fib_inet',
    },
    {
      argv: [...inside, 'conntrack', '-C'],
      remedy: 'entries of ended tasks cannot be flushed: install conntrack',
    },
  ]
}

const NFT_TEXT = `
table inet probe {
  map backends { type inet_proto . inet_service : ipv4_addr . inet_service; }
  chain output {
    type nat hook output priority -100;
    fib daddr type local dnat ip to meta l4proto . th dport map @backends
    ip daddr 192.0.2.1 dnat to numgen random mod 2 map { 0 : 192.0.2.2, 1 : 192.0.2.3 }
  }
  chain postrouting { type nat hook postrouting priority srcnat; oifname "probe0" masquerade; }
}
`

/** A program that is missing counts as one that failed. */
async function attempt(each: Attempt): Promise<CommandResult> {
  try {
    return await execute({ argv: each.argv, input: each.input ?? '', timeoutMs: TIMEOUT_MS })
  } catch (error) {
    return { exitCode: 127, stdout: '', stderr: error instanceof Error ? error.message : 'failed' }
  }
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? ''
}
