/**
 * The files that a container gets from us: /etc/hosts, /etc/hostname and /etc/resolv.conf, one folder
 * a task below `tasks/`, bind-mounted. Their texts are Docker's.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NetworkAttachment } from './host.ts'

export type TaskFilePaths = {
  readonly hosts: string
  readonly hostname: string
  readonly resolvConf: string
}

/** The files of a task are there. On the host's network the container knows what the host knows. */
export async function writeTaskFiles(
  folder: string,
  hostname: string,
  network: NetworkAttachment,
): Promise<TaskFilePaths> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const paths = {
    hosts: join(folder, 'hosts'),
    hostname: join(folder, 'hostname'),
    resolvConf: join(folder, 'resolv.conf'),
  }
  const hosts =
    network.netnsPath === undefined
      ? await readFile('/etc/hosts', 'utf8').catch(() => formatHosts(hostname, undefined))
      : formatHosts(hostname, network.address)
  await writeFile(paths.hosts, hosts, { mode: 0o644 })
  await writeFile(paths.hostname, `${hostname}\n`, { mode: 0o644 })
  await writeFile(paths.resolvConf, network.resolvConf, { mode: 0o644 })
  return paths
}

export async function removeTaskFiles(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
}

/** The text of /etc/hosts in a network namespace of its own. */
export function formatHosts(hostname: string, address: string | undefined): string {
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...(address === undefined ? [] : [`${address}\t${hostname}`]),
  ]
  return `${lines.join('\n')}\n`
}
