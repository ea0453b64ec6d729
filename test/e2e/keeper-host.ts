/**
 * A host for tests of the containerd runtime: a keeper and its containerd in a temporary folder, with
 * the runtime's port Host on top of the keeper's calls. The network of a task is a namespace without a
 * way out, which is enough to be confined in; the routed link has tests of its own.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Host } from '../../agent/runtime/containerd/host.ts'
import { type Log, silentLog } from '../../lib/log.ts'
import { KeeperClient } from '../../node/keeper/client.ts'
import { type HostPaths, openHostPaths } from '../../node/keeper/host-paths.ts'

export type TestHost = {
  readonly host: Host
  readonly paths: HostPaths
  readonly keeper: KeeperClient
  /** containerd is killed, and back when this is done. */
  restartContainerd(): Promise<void>
  /** Nothing of it is left. Containers must have been removed. */
  close(): Promise<void>
}

export async function openTestHost(log: Log = silentLog): Promise<TestHost> {
  const folder = mkdtempSync('/var/tmp/tsswarm-e2e-')
  const paths = openHostPaths(join(folder, 'state'))
  const keeper = new KeeperClient({ paths, log })
  await keeper.ensureContainerd()
  const { snapshotter, cgroupDriver, warnings } = await keeper.probe()
  const netns = (taskId: string): string => `ts-${paths.hash}-${taskId.slice(0, 12)}`
  const run = async (argv: readonly string[]): Promise<void> => {
    const { exitCode, stderr } = await keeper.run(argv)
    if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`)
  }
  const host: Host = {
    facts: {
      containerdAddress: `unix://${paths.containerdSocket}`,
      runtimeRoot: paths.runtimeRoot,
      logDirectory: paths.logDirectory,
      snapshotter,
      cgroupDriver,
      cgroupParent:
        cgroupDriver === 'systemd'
          ? `tsswarm.slice:tsswarm-${paths.hash}`
          : `/tsswarm/${paths.hash}`,
      warnings,
    },
    openLogs: async (taskId) => {
      const { stdout, stderr } = await keeper.openLogs(taskId)
      return { stdoutFifo: stdout, stderrFifo: stderr }
    },
    closeLogs: (taskId) => keeper.closeLogs(taskId),
    attachNetwork: async (taskId, { mode }) => {
      const resolvConf = 'nameserver 127.0.0.11\n'
      if (mode === 'host') return { netnsPath: undefined, address: undefined, resolvConf }
      const name = netns(taskId)
      if (!existsSync(`/run/netns/${name}`)) await run(['ip', 'netns', 'add', name])
      await run(['ip', '-n', name, 'link', 'set', 'lo', 'up'])
      return { netnsPath: `/run/netns/${name}`, address: '127.0.0.1', resolvConf }
    },
    detachNetwork: async (taskId) => {
      const name = netns(taskId)
      if (existsSync(`/run/netns/${name}`)) await run(['ip', 'netns', 'del', name])
    },
    openPorts: async (_taskId, { ports }) => ports,
    closePorts: async () => undefined,
    run: (argv, options = {}) => keeper.run(argv, options),
  }
  const containerdPid = (): number =>
    Number(JSON.parse(readFileSync(join(paths.runDirectory, 'containerd.json'), 'utf8')).pid)
  return {
    ...{ host, paths, keeper },
    restartContainerd: async () => {
      const pid = containerdPid()
      process.kill(pid, 'SIGKILL')
      while (containerdPid() === pid) await delay(20)
      await keeper.ensureContainerd()
    },
    close: async () => {
      const pid = await keeper.pid()
      await keeper.end(true)
      while (existsSync(`/proc/${pid}/exe`)) await delay(20)
      for (const name of [paths.hash, `keeper-${paths.hash}`, `containerd-${paths.hash}`]) {
        await removeCgroups(name)
      }
      rmSync(folder, { recursive: true, force: true })
      rmSync(paths.runDirectory, { recursive: true, force: true })
    },
  }
}

/** The cgroups that the host made, in every hierarchy. What ended a moment ago may still be in one. */
async function removeCgroups(name: string): Promise<void> {
  const root = '/sys/fs/cgroup'
  const isUnified = existsSync(`${root}/cgroup.controllers`)
  const roots = isUnified ? [root] : readdirSync(root).map((hierarchy) => `${root}/${hierarchy}`)
  for (const path of roots.map((each) => `${each}/tsswarm/${name}`)) {
    for (let attempt = 0; existsSync(path) && attempt < 100; attempt++) {
      try {
        rmdirSync(path)
      } catch {
        await delay(20)
      }
    }
  }
}
