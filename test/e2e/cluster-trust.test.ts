/**
 * What a cluster keeps to itself and what it refuses: secrets on a stopped manager's disk, join
 * tokens that are wrong, rotated or foreign, and requests that make no sense. One manager, a
 * worker, and two daemons in no cluster.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callApi } from '../../deploy/quickstart/api.ts'
import { type Host, tsswarm } from '../../deploy/quickstart/cluster.ts'
import { asJson, type Cluster, joinTokens, messageOf, openCluster, serviceSpec } from './cluster.ts'

const ENV_VALUE = 'env-value-that-nobody-else-has'
const CONFIG_VALUE = 'config-value-that-nobody-else-has'
const SECRET_VALUE = 'secret-value-that-nobody-else-has'
let cluster: Cluster
let first: Host
let stranger: Host
let foreigner: Host

beforeAll(async () => {
  cluster = await openCluster(3, { hosts: 4, managers: 1, strangers: 2 })
  first = cluster.host(1)
  stranger = cluster.host(3)
  foreigner = cluster.host(4)
})

afterAll(() => cluster.close())

function joinBy(host: Host, token: string): Promise<unknown> {
  return cluster.call(host, 'POST', '/swarm/join', {
    RemoteAddrs: [`${first.address}:2377`],
    JoinToken: token,
  })
}

async function rotateWorkerToken(): Promise<void> {
  const swarm = asJson(await cluster.call(first, 'GET', '/swarm'))
  const version = String(asJson(swarm['Version'])['Index'])
  const path = `/swarm/update?version=${version}&rotateWorkerToken=true`
  await cluster.call(first, 'POST', path, swarm['Spec'])
}

test('a token that is wrong, rotated or of another cluster is refused, and nothing is written', async () => {
  const { worker } = await joinTokens(cluster, first)
  await rotateWorkerToken()
  await cluster.call(foreigner, 'POST', '/swarm/init', {})
  const foreign = await joinTokens(cluster, foreigner)
  const before = listFiles(stranger.stateDirectory)

  const refusals = [
    [worker, /join token/],
    [worker.replace(/-[^-]+$/, '-0000000000000000000000000'), /join token/],
    [foreign.worker, /fingerprint/],
    [foreign.manager, /fingerprint/],
    ['nonsense', /join token/],
  ] as const
  for (const [token, message] of refusals) {
    await expect(joinBy(stranger, token)).rejects.toThrow(message)
    expect(listFiles(stranger.stateDirectory)).toEqual(before)
  }

  const info = asJson(asJson(await cluster.call(stranger, 'GET', '/info'))['Swarm'])
  expect(info['LocalNodeState']).toBe('inactive')
  await joinBy(stranger, (await joinTokens(cluster, first)).worker)
  await cluster.untilReady(first, 3)
})

test('the disk of a stopped manager gives nothing away', async () => {
  const tokens = await joinTokens(cluster, first)
  await cluster.createService(first, { name: 'web', replicas: 3, env: [`PASSWORD=${ENV_VALUE}`] })
  const create = { Name: 'c', Data: Buffer.from(CONFIG_VALUE).toString('base64') }
  await cluster.call(first, 'POST', '/configs/create', create)
  const secret = { Name: 's', Data: Buffer.from(SECRET_VALUE).toString('base64') }
  await cluster.call(first, 'POST', '/secrets/create', secret)
  await cluster.untilRunning(first, 'web', 3)
  await cluster.end(first, 'SIGTERM')

  const bytes = Buffer.concat(
    ['raft', 'agent'].flatMap((folder) =>
      listFiles(join(first.stateDirectory, folder)).map((file) => readFileSync(file)),
    ),
  )

  expect(bytes.length).toBeGreaterThan(1_000)
  const needles = [
    ...[ENV_VALUE, CONFIG_VALUE, SECRET_VALUE],
    // The last part of a token is what must be secret; the root's digest is not.
    ...[tokens.worker, tokens.manager].map((token) => token.split('-').at(-1) ?? token),
    ...['PRIVATE KEY', 'hello:1', 'BEGIN CERTIFICATE'],
  ]
  for (const needle of needles) {
    expect(bytes.includes(needle)).toBe(false)
    expect(bytes.includes(Buffer.from(needle).toString('base64').replace(/=+$/, ''))).toBe(false)
  }
  await cluster.start(first)
  await cluster.untilRunning(first, 'web', 3)
})

const spec = serviceSpec({ name: 'bad' })
const template = asJson(spec['TaskTemplate'])
const REFUSED: readonly (readonly [string, string, unknown, number, RegExp])[] = [
  ['broken JSON', '/services/create', '{"Name": ', 400, /JSON|body/i],
  ['a list as body', '/services/create', '[]', 400, /object|body/i],
  [
    'no image',
    '/services/create',
    { Name: 'x', TaskTemplate: { ContainerSpec: {} } },
    400,
    /image/,
  ],
  ['a bad name', '/services/create', { ...spec, Name: 'no/slash' }, 400, /name/],
  ['a type that is wrong', '/services/create', { ...spec, Name: 7 }, 400, /Name/],
  [
    'a bad constraint',
    '/services/create',
    { ...spec, TaskTemplate: { ...template, Placement: { Constraints: ['node.role=manager'] } } },
    400,
    /constraint/,
  ],
  [
    'a negative number of replicas',
    '/services/create',
    { ...spec, Mode: { Replicated: { Replicas: -1 } } },
    400,
    /eplicas/,
  ],
  ['a config without a name', '/configs/create', { Data: '' }, 400, /name/],
  ['an unknown path', '/services/x/explode', {}, 404, /not found/],
  ['a version of the future', '/v9.99/services/create', spec, 400, /version/],
  ['a version of the past', '/v1.5/services/create', spec, 400, /version/],
  ['an update of nothing', '/services/none/update?version=1', spec, 404, /none/],
]

test.each(REFUSED)('%s is refused in Docker’s way', async (_, path, body, status, message) => {
  const answer = await callApi({ socket: first.socket, method: 'POST', path, body })

  expect(messageOf(answer.body)).toMatch(message)
  expect(messageOf(answer.body)).not.toMatch(/\n\s+at |\.ts:\d/)
  expect(answer.status).toBe(status)
})

test('an oversized body is refused, and the daemon lives on', async () => {
  const body = { ...spec, Labels: { large: 'x'.repeat(20 * 1024 * 1024) } }

  const answer = await callApi({
    socket: first.socket,
    method: 'POST',
    path: '/services/create',
    body,
  }).catch(() => undefined)

  expect(answer === undefined || [400, 413].includes(answer.status)).toBe(true)
  const nodes = await cluster.call(first, 'GET', '/nodes')
  expect(nodes).toHaveLength(3)
})

test('the command line refuses what it does not know with 125, what fails with 1', async () => {
  const unknown = await tsswarm(first, ['service', 'create', '--explode', 'hello:1'])
  const missing = await tsswarm(first, ['service', 'inspect', 'none'])
  const daemon = await tsswarm(first, ['daemon', '--explode'])

  expect(unknown.exitCode).toBe(125)
  expect(unknown.stderr).toMatch(/--explode/)
  expect(missing.exitCode).toBe(1)
  expect(missing.stderr).toMatch(/none/)
  expect(daemon.exitCode).toBe(125)
  expect(daemon.stderr).toMatch(/--explode/)
})

function listFiles(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/\/(?:containerd|logs)\/|\.log$/.test(path))
    .sort()
}
