/**
 * A host for tests of the containerd runtime: keeper, containerd and network of a node whose state is
 * a temporary folder, and no trace of it afterwards.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Log, silentLog } from '../../lib/log.ts'
import { KeeperClient } from '../../node/keeper/client.ts'
import { type KeeperHost, openKeeperHost } from '../../node/keeper/host.ts'
import { type HostPaths, openHostPaths } from '../../node/keeper/host-paths.ts'

export type TestHost = {
  readonly host: KeeperHost
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
  const host = await openKeeperHost({ paths, keeper, refusedPorts: new Map([['22/tcp', 'ssh']]) })
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
      await host.removeNetwork()
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
