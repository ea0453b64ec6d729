/**
 * The docker CLI, unchanged, against the HTTP API on a socket: what its users type, and what they
 * see. It runs where the CLI is installed; behind the API are the production handlers and loops.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { type ApiServer, newApi } from '../../manager/api/http/server.ts'
import { emptyLogLine } from '../../proto/gen/logs.ts'
import { TestBackend } from '../backend.ts'

const run = promisify(execFile)
const isInstalled = (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
  try {
    accessSync(join(folder, 'docker'), constants.X_OK)
    return true
  } catch {
    return false
  }
})

test('the docker CLI is installed, or it is said that it is not', () => {
  if (process.env['CI'] !== undefined) expect(isInstalled).toBe(true)
  else if (!isInstalled) console.info('docker is not installed: its CLI is not tried')
})

describe.runIf(isInstalled)('docker', { timeout: 60_000 }, () => {
  let folder = ''
  let api: ApiServer
  const backend = new TestBackend()

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tsswarm-docker-'))
    api = newApi({ backend, log: silentLog })
    await api.listen({ kind: 'unix', path: join(folder, 'docker.sock') })
  })

  afterAll(async () => {
    await api.close()
    rmSync(folder, { recursive: true })
  })

  async function docker(command: string, ...args: readonly string[]): Promise<string> {
    const env = { PATH: process.env['PATH'], HOME: folder, DOCKER_CONFIG: folder }
    const host = `unix://${join(folder, 'docker.sock')}`
    const { stdout } = await run('docker', ['-H', host, ...command.split(' '), ...args], { env })
    return stdout.trim()
  }

  test('info and version', async () => {
    expect(await docker('version', '--format', '{{.Server.APIVersion}}')).toBe('1.50')
    const format = '{{.Swarm.LocalNodeState}} {{.Swarm.Managers}}/{{.Swarm.Nodes}}'
    expect(await docker('info', '--format', format)).toBe('active 1/2')
    expect(await docker('info')).toContain('Heartbeat Period: 2 seconds')
  })

  test('node ls, inspect, update', async () => {
    const format = '{{.ID}} {{.Hostname}} {{.Availability}} {{.ManagerStatus}}'

    await docker('node update --availability drain --label-add zone=a beta')

    expect(
      (await docker('node ls', '--format', format)).split('\n').map((line) => line.trim()),
    ).toEqual(['node1 alpha Active Leader', 'node2 beta Drain'])
    expect(await docker('node inspect self --pretty')).toContain('Hostname:              \talpha')
    await expect(docker('node demote alpha')).rejects.toThrow('last manager of the swarm')
    await docker('node update --availability active beta')
  })

  test('service create, ls, ps, inspect, scale, update, rm', async () => {
    const settings = '-q --update-monitor 1s --env A=b --publish mode=host,target=80,published=8080'

    await docker(`service create --name web --replicas 2 ${settings} nginx:1`)

    const format = '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}'
    expect(await docker('service ls', '--format', format)).toBe('web replicated 2/2 nginx:1')
    await docker('service scale -d web=1')
    expect(await docker('service ls', '--format', format)).toBe('web replicated 1/1 nginx:1')
    await docker('service update -d --image nginx:2 --env-add C=d web')
    const inspected =
      '{{.Spec.TaskTemplate.ContainerSpec.Image}} {{len .Spec.TaskTemplate.ContainerSpec.Env}}'
    expect(await docker('service inspect web', '--format', inspected)).toBe('nginx:2 2')
    expect(
      await docker('service ps web -f desired-state=running', '--format', '{{.Name}} {{.Image}}'),
    ).toBe('web.1 nginx:2')
    expect(await docker('service rm web')).toBe('web')
    expect(await docker('service ls -q')).toBe('')
  })

  test('service create on the host network, and everywhere', async () => {
    await docker('service create -d --name host --network host --mode global nginx')

    expect(await docker('service ls', '--format', '{{.Name}} {{.Mode}} {{.Replicas}}')).toBe(
      'host global 2/2',
    )
    await docker('service rm host')
  })

  test('jobs', async () => {
    await docker('service create -d --name job --mode replicated-job --replicas 3 nginx')
    await docker('service create -d --name each --mode global-job nginx')

    expect(await docker('service ls', '--format', '{{.Name}} {{.Mode}} {{.Replicas}}')).toBe(
      'each global job 2/2 (0/2 completed)\njob replicated job 3/3 (0/3 completed)',
    )
    await docker('service scale -d job=5')
    expect(await docker('service inspect job', '--format', '{{json .Spec.Mode}}')).toBe(
      '{"ReplicatedJob":{"MaxConcurrent":3,"TotalCompletions":5}}',
    )
    await docker('service rm job each')
  })

  const refused = [
    ['-p 80:80', 'publish it with mode=host'],
    ['--health-interval 1us', 'Interval in HealthConfig cannot be less than 1ms'],
    ['--sysctl a=b', 'TaskTemplate.ContainerSpec.Sysctls is not supported yet'],
    ['--network net', 'network net not found'],
    ['--constraint node.role=x', 'constraint expected one operator from ==, !='],
    ['--name a.b', 'name must be valid as a DNS name component'],
    ['--limit-memory 1M', 'Must be at least 4MiB'],
  ] as const
  test.each(refused)('service create %s is refused', async (flags, message) => {
    await expect(docker(`service create -d ${flags} nginx`)).rejects.toThrow(message)
    expect(await docker('service ls -q')).toBe('')
  })

  test('service logs', async () => {
    await docker('service create -d --name chatty nginx')
    const [task] = [...backend.store.view().tasks.list()].filter(
      ({ serviceAnnotations }) => serviceAnnotations?.name === 'chatty',
    )
    const { id, nodeId } = task ?? { id: '', nodeId: '' }
    backend.logEvents = [
      { kind: 'line', nodeId, taskId: id, line: { ...emptyLogLine, data: Buffer.from('hello') } },
    ]

    expect(await docker('service logs chatty')).toMatch(
      /^chatty\.1\.[a-z0-9]+@(alpha|beta) +\| hello$/,
    )
    await docker('service rm chatty')
  })

  test.each(['secret', 'config'])('%s create, ls, inspect, rm', async (kind) => {
    const file = join(folder, 'data')
    writeFileSync(file, 'hunter2')

    await docker(`${kind} create -l a=b key ${file}`)

    expect(await docker(`${kind} ls`, '--format', '{{.Name}} {{.Labels}}')).toBe('key a=b')
    expect(await docker(`${kind} inspect key`, '--format', '{{.Spec.Labels.a}}')).toBe('b')
    await expect(docker(`${kind} create key ${file}`)).rejects.toThrow('name conflicts')
    expect(await docker(`${kind} rm key`)).toBe('key')
  })

  test('swarm join-token and update', async () => {
    const before = await docker('swarm join-token -q worker')

    expect(await docker('swarm join-token worker')).toContain('docker swarm join --token')
    expect(await docker('swarm join-token --rotate -q worker')).not.toBe(before)
    await docker('swarm update --task-history-limit 3 --dispatcher-heartbeat 3s')
    expect(await docker('info')).toContain('Task History Retention Limit: 3')
    await expect(docker('swarm leave')).rejects.toThrow('You are attempting to leave the swarm')
  })
})
