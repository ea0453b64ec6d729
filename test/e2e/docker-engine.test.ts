/**
 * A host on which Docker Engine runs as well: one of its own, in the host's namespace, with its own
 * directories. It sets the policy of FORWARD to drop and restarts its chains as it likes; both serve
 * their containers all the same, and when tsswarm is gone Docker finds everything as it left it.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Host, waitFor } from '../../deploy/quickstart/cluster.ts'
import {
  buildImage,
  busyboxLayer,
  formatDockerArchive,
  imageFile,
} from '../../deploy/quickstart/image.ts'
import { killAll, unmountBelow } from '../../deploy/quickstart/processes.ts'
import { asJson, asList, type Cluster, openCluster, serviceSpec } from './cluster.ts'

const WAIT_MS = 60_000
const FOLDER = '/var/tmp/tsswarm-docker-engine'
const SOCKET = `unix://${join(FOLDER, 'docker.sock')}`
const DOCKER_PORT = 8081
const SWARM_PORT = 8082
let cluster: Cluster
let host: Host
let engine: ChildProcess
let outside: Server
/** Before tsswarm was there. */
let rules: readonly string[]

beforeAll(async () => {
  closeEngine()
  outside = createServer((_request, response) => response.end('the outside'))
  await new Promise<void>((resolve) => outside.listen(0, '0.0.0.0', resolve))
  cluster = await openCluster(8, {
    ...{ hosts: 1, managers: 1 },
    prepare: async (made) => {
      host = made
      // Where Docker itself turns forwarding on, it lets nothing through but what it knows.
      inHost('sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward')
      await startEngine()
      await loadImage()
      await docker('run', '-d', '--name', 'web', '-p', `${DOCKER_PORT}:80`, 'web:1')
      rules = readRules()
    },
  })
})

afterAll(() => {
  cluster.close()
  closeEngine()
  outside.close()
})

async function startEngine(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const log = openSync(join(FOLDER, 'log'), 'a')
  const folders = ['--data-root', join(FOLDER, 'data'), '--exec-root', join(FOLDER, 'exec')]
  engine = spawn(
    'nsenter',
    [
      ...[`--net=/run/netns/${host.netns}`, '--', 'dockerd', '-H', SOCKET, ...folders],
      ...['--pidfile', join(FOLDER, 'pid'), '--bip', '172.31.255.1/24', '--live-restore'],
    ],
    { stdio: ['ignore', log, log] },
  )
  closeSync(log)
  await waitFor(`Docker Engine, see ${FOLDER}/log`, WAIT_MS, () =>
    docker('info').then(
      () => true,
      () => undefined,
    ),
  )
}

/** dockerd alone, as by `systemctl stop docker`: with live-restore its containers go on. */
async function stopEngine(): Promise<void> {
  const ended = new Promise((resolve) => engine.once('close', resolve))
  engine.kill('SIGTERM')
  await ended
}

function closeEngine(): void {
  killAll([FOLDER])
  unmountBelow([FOLDER])
  rmSync(FOLDER, { recursive: true, force: true })
}

async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', ['-H', SOCKET, ...args])
  return stdout.trim()
}

async function loadImage(): Promise<void> {
  const archive = join(FOLDER, 'web.tar')
  const image = buildImage({
    name: 'web:1',
    layers: [[...busyboxLayer(), imageFile('www/index.html', 'docker')]],
    config: { Cmd: ['httpd', '-f', '-p', '80', '-h', '/www'], Env: ['PATH=/bin'] },
  })
  writeFileSync(archive, formatDockerArchive(image))
  await docker('load', '-i', archive)
}

function inHost(...argv: readonly string[]): string {
  return execFileSync('nsenter', [`--net=/run/netns/${host.netns}`, ...argv], { encoding: 'utf8' })
}

/** All rules of iptables, without what they counted. Docker's restart changes their order. */
function readRules(): readonly string[] {
  return inHost('iptables-save')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ''))
    .sort()
}

/** What a server of the machine answers to a process in the container's network namespace. */
async function callOutside(pid: number): Promise<string> {
  const { port } = outside.address() as AddressInfo
  const subnet = Number(host.address.split('.')[2]) - 1
  const url = `http://${host.address.replace(/\.\d+\.\d+$/, `.${subnet}.1`)}:${port}`
  const script = `fetch('${url}').then((answer) => answer.text()).then((text) => console.log(text))`
  const argv = [`--net=/proc/${pid}/ns/net`, process.execPath, '-e', script]
  return (await promisify(execFile)('nsenter', argv, { timeout: 10_000 })).stdout.trim()
}

async function serves(port: number, text: string): Promise<void> {
  await waitFor(`"${text}" at port ${port}`, WAIT_MS, async () => {
    const answer = await fetch(`http://${host.address}:${port}`, {
      signal: AbortSignal.timeout(1_000),
    }).catch(() => undefined)
    return (await answer?.text())?.includes(text) === true ? true : undefined
  })
}

test('Docker’s containers and tsswarm’s serve beside each other, and Docker stays as it was', async () => {
  await serves(DOCKER_PORT, 'docker')
  const containers = await inspect()
  expect(rules).toContain(':FORWARD DROP')

  await cluster.call(host, 'POST', '/services/create', {
    ...serviceSpec({ name: 'web', command: ['serve'] }),
    EndpointSpec: {
      Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: SWARM_PORT, PublishMode: 'host' }],
    },
  })
  const [task] = await cluster.untilRunning(host, 'web', 1)
  await serves(SWARM_PORT, 'hello from task')
  await serves(DOCKER_PORT, 'docker')
  expect(await callOutside(task?.pid ?? 0)).toBe('the outside')
  expect(await callOutside(Number(containers[0]?.Pid))).toBe('the outside')
  expect(await docker('ps', '--format', '{{.Names}}')).toBe('web')

  await stopEngine()
  await serves(SWARM_PORT, 'hello from task')
  await startEngine()
  await serves(DOCKER_PORT, 'docker')
  await serves(SWARM_PORT, 'hello from task')
  const [later] = await cluster.untilRunning(host, 'web', 1)
  expect([later?.id, later?.pid]).toEqual([task?.id, task?.pid])

  await cluster.call(host, 'DELETE', '/services/web')
  await cluster.call(host, 'POST', '/swarm/leave?force=true')
  await cluster.end(host, 'SIGTERM')
  cluster.cutPower(host)

  expect(await inspect()).toEqual(containers)
  await serves(DOCKER_PORT, 'docker')
  expect(readRules()).toEqual(rules)

  async function inspect(): Promise<readonly { readonly Pid: unknown }[]> {
    const found = asList(JSON.parse(await docker('inspect', 'web')))
    return found.map(({ Id, State, RestartCount }) => {
      const { Pid, StartedAt } = asJson(State)
      return { Id, Pid, StartedAt, RestartCount }
    })
  }
})
