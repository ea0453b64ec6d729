/**
 * Three members of etcd on loopback, as the peer that writes are measured beside (peers.md 1.4):
 * Debian's `etcd-server` with its defaults, data in the bench's folder, its JSON gateway for
 * clients. It knows nothing of what is measured.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { waitFor } from '../../deploy/quickstart/cluster.ts'
import { findFreePort } from './loopback.ts'

const START_MS = 20_000

export type Etcd = {
  readonly pids: readonly number[]
  /** The client port of the member that leads. */
  findLeader(): Promise<number>
  stop(): void
}

/** Members that answer; undefined where etcd is not installed. */
export async function startEtcd(folder: string, members: number): Promise<Etcd | undefined> {
  const places: { readonly name: string; readonly client: number; readonly peer: number }[] = []
  for (let number = 1; number <= members; number++)
    places.push({ name: `e${number}`, client: await findFreePort(), peer: await findFreePort() })
  const cluster = places.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',')
  const children: ChildProcess[] = []
  for (const { name, client, peer } of places) {
    const output = openSync(join(folder, `${name}.log`), 'a', 0o600)
    const child = spawn(
      'etcd',
      [
        ...['--name', name, '--data-dir', join(folder, name), '--log-level', 'error'],
        ...['--listen-client-urls', `http://127.0.0.1:${client}`],
        ...['--advertise-client-urls', `http://127.0.0.1:${client}`],
        ...['--listen-peer-urls', `http://127.0.0.1:${peer}`],
        ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peer}`],
        ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
      ],
      // A session of its own, as each daemon has: the kernel shares the processor between sessions.
      { detached: true, stdio: ['ignore', output, output] },
    )
    closeSync(output)
    children.push(child)
    const isStarted = await new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false))
      child.once('spawn', () => resolve(true))
    })
    if (!isStarted) return undefined
  }
  const clientPorts = places.map(({ client }) => client)
  const findLeader = async (): Promise<number> => {
    for (const port of clientPorts) {
      const status: {
        readonly leader?: string
        readonly header?: { readonly member_id?: string }
      } = Object(await ask(port, '/v3/maintenance/status', '{}').catch(() => undefined))
      if (status.leader !== undefined && status.leader === status.header?.member_id) return port
    }
    return 0
  }
  await waitFor('etcd to have a leader', START_MS, async () =>
    (await findLeader()) === 0 ? undefined : true,
  )
  const stop = (): void => {
    for (const child of children) child.kill('SIGKILL')
  }
  return { pids: children.map((child) => child.pid ?? 0), findLeader, stop }
}

function ask(port: number, path: string, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method: 'POST' }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        try {
          resolve(JSON.parse(Buffer.concat(chunks).toString()))
        } catch (error) {
          reject(error)
        }
      })
    })
    call.on('error', reject)
    call.end(body)
  })
}
