/**
 * Finding and ending what belongs to one host: its daemon, keeper, containerd, shims and containers,
 * known by the host's state and run directories in their command lines, and their descendants.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'

type Process = { readonly pid: number; readonly parent: number; readonly command: string }

/** Every process whose command names one of the folders, and what descends from such a one. */
export function findProcesses(folders: readonly string[]): readonly number[] {
  const all = listProcesses()
  const found = new Set(
    all
      .filter(({ command }) => folders.some((folder) => namesFolder(command, folder)))
      .map(({ pid }) => pid),
  )
  found.delete(process.pid)
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
  }
  return [...found]
}

/** SIGKILL to all of them, those that watch others first; done when none is left. */
export function killAll(folders: readonly string[]): void {
  for (let round = 0; round < 50; round++) {
    const pids = findProcesses(folders)
    if (pids.length === 0) return
    // A container's own processes are named by nothing once their shim is gone: all in one sweep.
    for (const pid of pids) kill(pid)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  }
}

export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended already.
  }
}

export function isAlive(pid: number): boolean {
  if (pid === 0 || !existsSync(`/proc/${pid}`))
    return process.platform !== 'linux' && isKillable(pid)
  return !/^State:\s+[ZX]/m.test(readText(`/proc/${pid}/status`))
}

/** What mounts below these folders hold is given back, deepest first. */
export function unmountBelow(folders: readonly string[]): void {
  const targets = readText('/proc/self/mounts')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((target) =>
      folders.some((folder) => target === folder || target.startsWith(`${folder}/`)),
    )
    .sort((a, b) => b.length - a.length)
  for (const target of targets) run('umount', '--lazy', target)
}

/** The cgroups of this host, on every hierarchy. */
export function removeCgroups(hash: string): void {
  const roots = ['/sys/fs/cgroup', ...listFolders('/sys/fs/cgroup')]
  const names = [hash, `keeper-${hash}`, `containerd-${hash}`]
  for (const root of roots) {
    for (const name of names) removeFolders(`${root}/tsswarm/${name}`)
    // Refused while another host's are in it.
    if (existsSync(`${root}/tsswarm`)) run('rmdir', `${root}/tsswarm`)
  }
}

/** Network namespaces of tasks, which carry the host's hash. */
export function removeTaskNetns(hash: string): void {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : []
  for (const name of names) if (name.startsWith(`ts-${hash}`)) run('ip', 'netns', 'delete', name)
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true })
}

/** cgroup folders are removed by rmdir, inner ones first. */
function removeFolders(path: string): void {
  if (!existsSync(path)) return
  for (const name of readdirSync(path, { withFileTypes: true }))
    if (name.isDirectory()) removeFolders(`${path}/${name.name}`)
  run('rmdir', path)
}

function listFolders(path: string): readonly string[] {
  if (!existsSync(path)) return []
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${path}/${entry.name}`)
}

function listProcesses(): readonly Process[] {
  if (!existsSync('/proc/self/stat')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      const stat = readText(`/proc/${name}/stat`)
      // pid (comm) state ppid: the name may hold anything, so what counts comes after its end.
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0)
      const command = readText(`/proc/${name}/cmdline`).replaceAll('\0', ' ')
      return { pid: Number(name), parent, command }
    })
}

function namesFolder(command: string, folder: string): boolean {
  const at = command.indexOf(folder)
  return at >= 0 && !/[\w-]/.test(command[at + folder.length] ?? ' ')
}

function isKillable(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function run(command: string, ...args: readonly string[]): void {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
  } catch {
    // What is gone needs no removing.
  }
}
