/**
 * The Engine API's objects as clients meet them, on a backend with the production handlers and loops:
 * life stories of services, nodes, secrets and configs, filters, and every reply against the
 * official definition where its file is there.
 */
import { describe, expect, test } from 'vitest'
import { newSigner } from '../../../node/io/signer.ts'
import { ApiClient, filters, member, type Reply } from '../../../test/api-client.ts'
import { SMALL_WORLD, TestBackend, WALL_MS } from '../../../test/backend.ts'
import { cluster, config, secret, service, task } from '../../../test/build.ts'
import { EngineDefinition } from '../../../test/engine-definition.ts'

const definition = EngineDefinition.find()
const SPEC = {
  Name: 'web',
  TaskTemplate: { ContainerSpec: { Image: 'nginx', Env: ['A=b'] } },
  Mode: { Replicated: { Replicas: 2 } },
  EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }] },
}

test('the definition of the Engine API is there to check replies against', () => {
  if (process.env['CI'] !== undefined) expect(definition).toBeDefined()
  else if (definition === undefined)
    console.info('engine-v1.50.yaml is not beside the repository: replies are not checked')
})

/** The reply, whose body must be what the definition says of the operation. */
function checked(operation: string, reply: Reply): Reply {
  expect(definition?.checkReply(operation, reply) ?? []).toEqual([])
  return reply
}

describe('services', () => {
  test('are created, found, changed and removed', async () => {
    const client = new ApiClient()

    const created = checked(
      'POST /services/create',
      await client.ask('POST /services/create', SPEC),
    )
    expect(created).toMatchObject({ status: 201, body: { Warnings: null } })
    const id = String(member(created.body, 'ID'))

    const found = checked('GET /services/{id}', await client.ask('GET /services/web'))
    expect(found.body).toMatchObject({
      ID: id,
      CreatedAt: '2023-11-14T22:13:20.000Z',
      Spec: {
        ...SPEC,
        EndpointSpec: { Mode: 'vip', Ports: [{ Protocol: 'tcp', TargetPort: 80 }] },
      },
      Endpoint: { Ports: [{ PublishedPort: 8080, PublishMode: 'host' }] },
    })
    expect((await client.ask(`GET /services/${id.slice(0, 9)}`)).body).toEqual(found.body)

    const version = member(found.body, 'Version.Index')
    const update = `POST /services/web/update?version=${version}`
    const newSpec = { ...SPEC, Mode: { Replicated: { Replicas: 3 } } }
    expect(checked('POST /services/{id}/update', await client.ask(update, newSpec))).toMatchObject({
      status: 200,
      body: { Warnings: null },
    })
    expect((await client.ask('GET /services/web')).body).toMatchObject({
      Spec: { Mode: { Replicated: { Replicas: 3 } } },
      PreviousSpec: { Mode: { Replicated: { Replicas: 2 } } },
    })
    expect(await client.ask(update, newSpec)).toMatchObject({
      status: 500,
      body: { message: 'update out of sequence' },
    })

    expect((await client.ask(`DELETE /services/${id}`)).status).toBe(200)
    expect(await client.ask('GET /services/web')).toMatchObject({
      status: 404,
      body: { message: 'service web not found' },
    })
    expect((await client.ask('GET /services')).body).toEqual([])
  })

  test('are listed with the state of their tasks for clients that know it', async () => {
    const client = new ApiClient()
    await client.ask('POST /services/create', SPEC)
    await client.ask('POST /services/create', {
      ...SPEC,
      Name: 'all',
      Mode: { Global: {} },
      EndpointSpec: null,
    })

    const listed = checked('GET /services', await client.ask('GET /services?status=true'))

    const statuses = { RunningTasks: 2, DesiredTasks: 2, CompletedTasks: 0 }
    expect(member(listed.body, '0.ServiceStatus')).toEqual(statuses)
    expect(member(listed.body, '1.ServiceStatus')).toEqual(statuses)
    for (const path of ['/services', '/v1.40/services?status=true'])
      expect(member((await client.ask(`GET ${path}`)).body, '0.ServiceStatus')).toBeUndefined()
  })

  test('are shown with every default for inspect', async () => {
    const client = new ApiClient()
    await client.ask('POST /services/create', SPEC)

    const shown = checked(
      'GET /services/{id}',
      await client.ask('GET /services/web?insertDefaults=1'),
    )

    expect(shown.body).toMatchObject({
      Spec: { RollbackConfig: { Order: 'stop-first' }, UpdateConfig: { Monitor: 5e9 } },
    })
  })

  test('take credentials from a header and never give them back', async () => {
    const client = new ApiClient()
    const auth = Buffer.from('{"username":"u","password":"hunter2"}').toString('base64url')

    await client.ask('POST /services/create', SPEC, { 'x-registry-auth': auth })

    const [stored] = client.backend.store.view().services.list()
    expect(stored?.spec?.task?.container?.registryAuth).toBe(auth)
    for (const path of ['/services', '/services/web?insertDefaults=1', '/tasks'])
      expect((await client.ask(`GET ${path}`)).text).not.toContain(auth)
    for (const header of ['nonsense', Buffer.from('[1').toString('base64url')])
      expect(
        await client.ask('POST /services/create', SPEC, { 'x-registry-auth': header }),
      ).toMatchObject({
        status: 400,
        body: { message: expect.stringMatching(/^X-Registry-Auth:/) },
      })
  })

  test('pass filters by id, name, label, mode and runtime', async () => {
    const world = {
      ...SMALL_WORLD,
      services: [
        service({
          id: 'abc',
          spec: { annotations: { name: 'Web', labels: new Map([['a', 'b']]) } },
        }),
        service({ id: 'abd', spec: { annotations: { name: 'webapi' }, mode: GLOBAL } }),
      ],
    }
    const client = new ApiClient(new TestBackend(world))
    const table: readonly (readonly [Readonly<Record<string, string[]>>, string])[] = [
      [{}, 'abc abd'],
      [{ id: ['abd'] }, 'abd'],
      [{ id: ['ab'] }, 'abc abd'],
      [{ name: ['web'] }, 'abc abd'],
      [{ name: ['weba'] }, 'abd'],
      [{ name: ['x', 'web'] }, 'abc abd'],
      [{ label: ['a'] }, 'abc'],
      [{ label: ['a=b'] }, 'abc'],
      [{ label: ['a=c'] }, ''],
      [{ label: ['a', 'c'] }, ''],
      [{ mode: ['global'] }, 'abd'],
      [{ mode: ['replicated-job'] }, ''],
      [{ runtime: ['container'] }, 'abc abd'],
      [{ runtime: ['plugin'] }, ''],
      [{ mode: ['global'], name: ['Web'] }, 'abd'],
    ]

    for (const [wanted, ids] of table)
      expect([wanted, idsOf(await client.ask(`GET /services?${filters(wanted)}`))]).toEqual([
        wanted,
        ids,
      ])
    const older = encodeURIComponent('{"id":{"abd":true,"abc":false}}')
    expect(idsOf(await client.ask(`GET /services?filters=${older}`))).toBe('abd')
  })

  test('are found by name before the beginning of an id, and by no ambiguous one', async () => {
    const world = {
      ...SMALL_WORLD,
      services: [
        service({ id: 'abc', spec: { annotations: { name: 'x' } } }),
        service({ id: 'abd', spec: { annotations: { name: 'abc1' } } }),
        service({ id: 'abc1x', spec: { annotations: { name: 'y' } } }),
      ],
    }
    const client = new ApiClient(new TestBackend(world))

    expect(member((await client.ask('GET /services/abc')).body, 'ID')).toBe('abc')
    expect(member((await client.ask('GET /services/abc1')).body, 'ID')).toBe('abd')
    expect(await client.ask('GET /services/ab')).toMatchObject({
      status: 400,
      body: { message: 'service ab is ambiguous (3 matches found)' },
    })
  })
})

describe('tasks', () => {
  test('are listed and found, named as clients name them', async () => {
    const client = new ApiClient()
    await client.ask('POST /services/create', SPEC)

    const listed = checked('GET /tasks', await client.ask('GET /tasks'))

    expect(listed.body).toMatchObject([
      { Labels: {}, Status: { State: 'running', Message: 'started' }, DesiredState: 'running' },
      { Spec: { ContainerSpec: { Image: 'nginx' } } },
    ])
    const id = String(member(listed.body, '0.ID'))
    const slot = member(listed.body, '0.Slot')
    for (const reference of [id, id.slice(0, 10), `web.${slot}.${id}`])
      expect(
        member(checked('GET /tasks/{id}', await client.ask(`GET /tasks/${reference}`)).body, 'ID'),
      ).toBe(id)
  })

  test('pass filters, whose services and nodes must exist', async () => {
    const client = new ApiClient(
      new TestBackend({
        ...SMALL_WORLD,
        services: [service({ id: 's1', spec: { annotations: { name: 'web' } }, specVersion: 2 })],
        tasks: [
          task({
            id: 't1',
            serviceId: 's1',
            nodeId: 'node1',
            specVersion: 1,
            spec: { forceUpdate: 1 },
          }),
          task({ id: 't2', serviceId: 's1', nodeId: 'node2', specVersion: 2, slot: 2 }),
          task({ id: 't3', serviceId: 'gone', desiredState: 'shutdown' }),
        ],
      }),
    )
    const table: readonly (readonly [Readonly<Record<string, string[]>>, string])[] = [
      [{ service: ['web'] }, 't1 t2'],
      [{ service: ['s1'], node: ['beta'] }, 't2'],
      [{ node: ['node1'] }, 't1'],
      [{ node: ['node1', 'node2'] }, 't1 t2'],
      [{ 'desired-state': ['shutdown'] }, 't3'],
      [{ 'desired-state': ['running', 'shutdown'] }, 't1 t2 t3'],
      [{ 'desired-state': ['allocated'] }, ''],
      [{ service: ['web'], '_up-to-date': ['true'] }, 't2'],
      [{ service: ['web'], '_up-to-date': ['false'] }, 't1'],
      [{ name: ['s1.1'] }, 't1'],
      [{ runtime: ['plugin'] }, ''],
    ]

    for (const [wanted, ids] of table)
      expect([wanted, idsOf(await client.ask(`GET /tasks?${filters(wanted)}`))]).toEqual([
        wanted,
        ids,
      ])
    expect(await client.ask(`GET /tasks?${filters({ service: ['api'] })}`)).toMatchObject({
      status: 404,
      body: { message: 'service api not found' },
    })
    expect((await client.ask(`GET /tasks?${filters({ node: ['api'] })}`)).status).toBe(404)
    expect(await client.ask(`GET /tasks?${filters({ 'desired-state': ['up'] })}`)).toMatchObject({
      status: 400,
      body: { message: "invalid filter 'desired-state=up'" },
    })
  })
})

describe('nodes', () => {
  test('are listed with who manages, found, changed and removed', async () => {
    const client = new ApiClient()

    const listed = checked('GET /nodes', await client.ask('GET /nodes'))
    expect(listed.body).toMatchObject([
      {
        ID: 'node1',
        Spec: { Role: 'manager', Availability: 'active', Labels: {} },
        Description: { Hostname: 'alpha', Platform: { Architecture: 'x86_64', OS: 'linux' } },
        Status: { State: 'ready', Addr: '10.0.0.1' },
        ManagerStatus: { Leader: true, Reachability: 'reachable', Addr: '10.0.0.1:2377' },
      },
      { ID: 'node2' },
    ])
    expect(member(listed.body, '1.ManagerStatus')).toBeUndefined()

    const found = checked('GET /nodes/{id}', await client.ask('GET /nodes/beta'))
    const version = member(found.body, 'Version.Index')
    const spec = { Role: 'worker', Availability: 'drain', Labels: { zone: 'a' } }
    const updated = await client.ask(`POST /nodes/node2/update?version=${version}`, spec)
    expect(updated.status).toBe(200)
    expect((await client.ask('GET /nodes/node2')).body).toMatchObject({ Spec: spec })

    expect(await client.ask('DELETE /nodes/node2')).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining("can't be removed") },
    })
    expect((await client.ask('DELETE /nodes/node2?force=1')).status).toBe(200)
    expect((await client.ask('GET /nodes/node2')).status).toBe(404)
  })

  test('cannot lose their last manager', async () => {
    const client = new ApiClient()
    const version = member((await client.ask('GET /nodes/node1')).body, 'Version.Index')

    const demoted = await client.ask(`POST /nodes/node1/update?version=${version}`, {
      Role: 'worker',
      Availability: 'active',
    })

    expect(demoted).toMatchObject({
      status: 400,
      body: { message: 'attempting to demote the last manager of the swarm' },
    })
  })

  test('must be given their role and availability in an update', async () => {
    const client = new ApiClient()

    for (const [spec, message] of [
      [{}, 'Role: must be given'],
      [{ Role: 'worker' }, 'Availability: must be given'],
      [{ Role: 'Worker', Availability: 'active' }, 'Role: invalid Role: "Worker"'],
      [{ Role: 'worker', Availability: '' }, 'Availability: invalid Availability: ""'],
    ] as const)
      expect(await client.ask('POST /nodes/node2/update?version=1', spec)).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining(message) },
      })
  })

  test('pass filters', async () => {
    const client = new ApiClient()

    for (const [wanted, ids] of [
      [{ role: ['manager'] }, 'node1'],
      [{ name: ['BE'] }, 'node2'],
      [{ id: ['node'] }, 'node1 node2'],
      [{ membership: ['pending'] }, ''],
      [{ 'node.label': ['zone'] }, ''],
    ] as const)
      expect(idsOf(await client.ask(`GET /nodes?${filters(wanted)}`))).toBe(ids)
  })
})

describe('secrets and configs', () => {
  test.each(['secret', 'config'])('%s: created, found, relabelled and removed', async (kind) => {
    const client = new ApiClient()
    const data = Buffer.from('hunter2').toString('base64')

    const created = await client.ask(`POST /${kind}s/create`, {
      Name: 'key.pem',
      Labels: { a: 'b' },
      Data: data,
    })
    const id = String(member(created.body, 'ID'))
    // The definition knows `Id` alone, clients read `ID`.
    expect(created).toMatchObject({ status: 201, body: { ID: id, Id: id } })
    checked(`POST /${kind}s/create`, { ...created, body: { Id: id } })

    const found = checked(`GET /${kind}s/{id}`, await client.ask(`GET /${kind}s/key.pem`))
    expect(found.body).toMatchObject({ Spec: { Name: 'key.pem', Labels: { a: 'b' } } })
    expect(member(found.body, 'Spec.Data')).toBe(kind === 'config' ? data : undefined)

    const path = `/${kind}s/key.pem/update?version=${member(found.body, 'Version.Index')}`
    expect(await client.ask(`POST ${path}`, { Name: 'key.pem', Data: 'b3RoZXI=' })).toMatchObject({
      status: 400,
      body: { message: 'only updates to Labels are allowed' },
    })
    expect((await client.ask(`POST ${path}`, { Name: 'key.pem', Labels: { c: 'd' } })).status).toBe(
      200,
    )

    const listed = checked(`GET /${kind}s`, await client.ask(`GET /${kind}s`))
    expect(listed.body).toMatchObject([{ Spec: { Labels: { c: 'd' } } }])

    const again = await client.ask(`POST /${kind}s/create`, { Name: 'KEY.pem', Data: data })
    expect(again).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining('name conflicts with an existing object') },
    })
    expect(await client.ask(`DELETE /${kind}s/key.pem`)).toMatchObject({ status: 204, text: '' })
    expect((await client.ask(`GET /${kind}s/key.pem`)).status).toBe(404)
  })

  test('pass filters by id, name, names and label', async () => {
    const client = new ApiClient(
      new TestBackend({
        ...SMALL_WORLD,
        secrets: [
          secret({ id: 'k1', spec: { annotations: { name: 'db' } } }),
          secret({ id: 'k2' }),
        ],
        configs: [config({ id: 'k1', spec: { annotations: { labels: new Map([['x', '1']]) } } })],
      }),
    )

    for (const [path, wanted, ids] of [
      ['secrets', { name: ['d'] }, 'k1'],
      ['secrets', { names: ['d'] }, ''],
      ['secrets', { names: ['db', 'k2'] }, 'k1 k2'],
      ['secrets', { id: ['k'] }, 'k1 k2'],
      ['configs', { label: ['x=1'] }, 'k1'],
    ] as const)
      expect(idsOf(await client.ask(`GET /${path}?${filters(wanted)}`))).toBe(ids)
  })

  test('refuse what they cannot do and what is no base64', async () => {
    const client = new ApiClient()

    expect(
      await client.ask('POST /secrets/create', { Name: 'a', Driver: { Name: 'vault' } }),
    ).toMatchObject({ status: 501, body: { message: 'Driver is not supported yet' } })
    expect(
      await client.ask('POST /configs/create', { Name: 'a', Templating: { Name: 'golang' } }),
    ).toMatchObject({ status: 501 })
    expect(await client.ask('POST /configs/create', { Name: 'a', Data: '?' })).toMatchObject({
      status: 400,
      body: { message: 'Data: must be base64' },
    })
  })
})

describe('the swarm', () => {
  test('is shown with its tokens, and updated', async () => {
    const client = new ApiClient()

    const shown = checked('GET /swarm', await client.ask('GET /swarm'))
    expect(shown.body).toMatchObject({
      ID: 'cluster1',
      JoinTokens: { Worker: 'SWMTKN-1-root-worker', Manager: 'SWMTKN-1-root-manager' },
      Spec: {
        Name: 'default',
        Dispatcher: { HeartbeatPeriod: 2e9 },
        CAConfig: { NodeCertExpiry: 7_776_000_000_000_000 },
      },
    })

    const update = `POST /swarm/update?version=${member(shown.body, 'Version.Index')}`
    expect(
      (await client.ask(`${update}&rotateWorkerToken=1`, member(shown.body, 'Spec'))).status,
    ).toBe(200)
    const rotated = await client.ask('GET /swarm')
    expect(member(rotated.body, 'JoinTokens.Worker')).toMatch(/^SWMTKN-1-/)
    expect(member(rotated.body, 'JoinTokens.Worker')).not.toBe('SWMTKN-1-root-worker')
    expect(member(rotated.body, 'JoinTokens.Manager')).toBe('SWMTKN-1-root-manager')
  })

  test('refuses settings it does not have, by name', async () => {
    const client = new ApiClient()

    for (const [spec, status, message] of [
      [{ EncryptionConfig: { AutoLockManagers: true } }, 501, 'EncryptionConfig is not supported'],
      [{ Raft: { ElectionTick: 3 } }, 501, 'Raft.ElectionTick is not supported yet'],
      [{ Raft: { HeartbeatTick: 2 } }, 501, 'Raft.HeartbeatTick is not supported yet'],
      [{ CAConfig: { SigningCACert: 'x' } }, 501, 'CAConfig.SigningCACert is not supported yet'],
      [{ CAConfig: { SigningCAKey: 'x' } }, 501, 'CAConfig.SigningCAKey is not supported yet'],
      [{ CAConfig: { ForceRotate: 1 } }, 501, 'CAConfig.ForceRotate is not supported yet'],
      [{ CAConfig: { ExternalCAs: [{ URL: 'https://a' }] } }, 501, 'CAConfig.ExternalCAs'],
      [{ TaskDefaults: { LogDriver: { Name: 'none' } } }, 501, 'TaskDefaults is not supported yet'],
      [{ Dispatcher: { HeartbeatPeriod: 0 } }, 400, 'Dispatcher.HeartbeatPeriod: 0 ms'],
      [{ Dispatcher: { HeartbeatPeriod: 1e9 }, CAConfig: {} }, 400, 'minimum certificate expiry'],
      [{ Name: 'other' }, 400, 'modification of cluster name'],
    ] as const)
      expect(await client.ask('POST /swarm/update?version=1', spec)).toMatchObject({
        status,
        body: { message: expect.stringContaining(message) },
      })
    expect(
      (await client.ask('POST /swarm/update?version=1&rotateManagerUnlockKey=1', {})).status,
    ).toBe(501)
  })

  test('shows the root that is trusted in the same three forms for cluster and node', async () => {
    const root = await newSigner().createRoot(WALL_MS)
    const client = new ApiClient(
      new TestBackend({
        ...SMALL_WORLD,
        clusters: [cluster({ rootCa: { ...root } })],
        nodes: (SMALL_WORLD.nodes ?? []).map((object) => ({
          ...object,
          description: object.description && {
            ...object.description,
            trustRootPem: root.certificatePem,
          },
        })),
      }),
    )

    const shown = await client.ask('GET /swarm')

    const info = member(shown.body, 'TLSInfo')
    expect(info).toMatchObject({ TrustRoot: root.certificatePem })
    expect(
      Buffer.from(String(member(info, 'CertIssuerSubject')), 'base64').toString('latin1'),
    ).toContain('swarm-ca')
    expect(member((await client.ask('GET /nodes/node1')).body, 'Description.TLSInfo')).toEqual(info)
    for (const path of ['/swarm', '/info', '/nodes'])
      expect((await client.ask(`GET ${path}`)).text).not.toContain('PRIVATE')
  })

  test('is begun, joined and left by this node', async () => {
    const client = new ApiClient(
      new TestBackend(SMALL_WORLD, { state: 'inactive', isManager: false }),
    )

    const begun = checked(
      'POST /swarm/init',
      await client.ask('POST /swarm/init', {
        ListenAddr: '0.0.0.0:2377',
        SubnetSize: 24,
        Availability: 'active',
        Spec: { Orchestration: { TaskHistoryRetentionLimit: 0 }, Raft: { SnapshotInterval: 0 } },
      }),
    )
    expect(begun.body).toBe('node1')
    expect(client.backend.calls).toMatchObject([
      {
        listenAddr: '0.0.0.0:2377',
        availability: 'active',
        spec: { taskHistoryLimit: 0, snapshotIntervalEntries: 10_000, heartbeatPeriodMs: 2_000 },
        forceNewCluster: false,
      },
    ])
    expect((await client.ask('POST /swarm/init', {})).status).toBe(503)
    expect(await client.ask('POST /swarm/leave')).toMatchObject({
      status: 503,
      body: { message: expect.stringMatching(/^You are attempting to leave the swarm on a node/) },
    })
    expect((await client.ask('POST /swarm/leave?force=1')).status).toBe(200)
    expect((await client.ask('POST /swarm/leave?force=1')).status).toBe(503)

    const join = {
      RemoteAddrs: ['10.0.0.9:2377'],
      JoinToken: 'SWMTKN-1-a-b',
      AdvertiseAddr: '10.0.0.1',
    }
    expect((await client.ask('POST /swarm/join', join)).status).toBe(200)
    expect(client.backend.calls.at(-1)).toEqual({
      listenAddr: '',
      advertiseAddr: '10.0.0.1',
      remoteAddrs: ['10.0.0.9:2377'],
      joinToken: 'SWMTKN-1-a-b',
      availability: 'active',
    })
  })

  test('refuses to begin and join with what it does not have', async () => {
    const client = new ApiClient(new TestBackend(SMALL_WORLD, { state: 'inactive' }))

    for (const [operation, body, status, message] of [
      ['init', { AutoLockManagers: true }, 501, 'AutoLockManagers'],
      ['init', { DataPathPort: 4790 }, 501, 'DataPathPort'],
      ['init', { DefaultAddrPool: ['10.1.0.0/16'] }, 501, 'DefaultAddrPool'],
      ['init', { SubnetSize: 25 }, 501, 'SubnetSize'],
      ['init', { Availability: 'off' }, 400, 'Availability: invalid Availability: "off"'],
      ['join', { JoinToken: 'x' }, 400, 'at least 1 RemoteAddr is required to join'],
      ['join', { RemoteAddrs: ['a'] }, 400, 'join token is necessary'],
      ['join', { RemoteAddrs: ['a'], JoinToken: 'x', DataPathAddr: 'eth1' }, 501, 'DataPathAddr'],
    ] as const)
      expect(await client.ask(`POST /swarm/${operation}`, body)).toMatchObject({
        status,
        body: { message: expect.stringContaining(message) },
      })
    expect(client.backend.calls).toEqual([])
  })

  test('is begun anew by a manager that is told to go on alone', async () => {
    const client = new ApiClient(new TestBackend(SMALL_WORLD, { state: 'inactive' }))

    await client.ask('POST /swarm/init', { ForceNewCluster: true, AdvertiseAddr: '10.0.0.7' })

    expect(client.backend.calls).toMatchObject([
      { forceNewCluster: true, advertiseAddr: '10.0.0.7' },
    ])
  })

  test('has no unlock key', async () => {
    const client = new ApiClient()

    const key = checked('GET /swarm/unlockkey', await client.ask('GET /swarm/unlockkey'))
    expect(key.body).toEqual({ UnlockKey: '' })
    expect(await client.ask('POST /swarm/unlock', { UnlockKey: 'x' })).toMatchObject({
      status: 409,
      body: { message: 'swarm is not locked' },
    })
  })
})

describe('the node', () => {
  test('shows the health of its own containers, and as a manager that of others', async () => {
    const result = { startMs: 1_000, endMs: 1_500, exitCode: 3, output: 'ill\n' }
    const known = { state: 'unhealthy', failingStreak: 3, results: [result] } as const
    const tasks = [task({ id: 'far', status: { health: known } }), task({ id: 'plain' })]
    const backend = new TestBackend({ ...SMALL_WORLD, tasks })
    backend.health.set('near', { state: 'healthy', failingStreak: 0, results: [] })
    const client = new ApiClient(backend)
    const ask = (id: string) => client.ask(`GET /tsswarm/v1/tasks/${id}/health`)

    expect((await ask('far')).body).toEqual({
      Status: 'unhealthy',
      FailingStreak: 3,
      Log: [
        {
          Start: '1970-01-01T00:00:01.000Z',
          End: '1970-01-01T00:00:01.500Z',
          ExitCode: 3,
          Output: 'ill\n',
        },
      ],
    })
    expect(await ask('plain')).toMatchObject({ status: 404 })
    backend.node = { ...backend.node, isManager: false }
    expect((await ask('near')).body).toMatchObject({ Status: 'healthy', Log: [] })
    expect(await ask('far')).toMatchObject({ status: 503 })
  })

  test('answers to ping, version, info and metrics', async () => {
    const client = new ApiClient()

    for (const method of ['GET', 'HEAD'])
      expect(await client.ask(`${method} /_ping`)).toMatchObject({
        status: 200,
        headers: {
          'api-version': '1.50',
          swarm: 'active/manager',
          ostype: 'linux',
          'docker-experimental': 'false',
          server: 'Docker/0.1.0 (linux)',
          'cache-control': 'no-cache, no-store, must-revalidate',
        },
      })
    expect((await client.ask('GET /_ping')).text).toBe('OK')
    expect(checked('GET /version', await client.ask('GET /version')).body).toMatchObject({
      ApiVersion: '1.50',
      MinAPIVersion: '1.24',
      Arch: 'amd64',
    })
    expect(checked('GET /info', await client.ask('GET /info')).body).toMatchObject({
      NCPU: 4,
      Labels: ['disk=fast'],
      Swarm: {
        NodeID: 'node1',
        LocalNodeState: 'active',
        ControlAvailable: true,
        Nodes: 2,
        Managers: 1,
        Cluster: { ID: 'cluster1' },
        RemoteManagers: [{ NodeID: 'node1', Addr: '10.0.0.1:2377' }],
      },
    })
    expect((await client.ask('GET /tsswarm/v1/metrics')).text).toContain('swarm_manager_leader 1')
  })

  const states = [
    [{ state: 'inactive', isManager: false, nodeId: '' }, 'inactive', 'docker swarm init'],
    [{ state: 'active', isManager: false }, 'active/worker', "Worker nodes can't be used"],
    [{ state: 'locked', isManager: false }, 'locked', 'not a swarm manager'],
  ] as const
  test.each(states)('says what it is when it is no manager: %j', async (local, header, message) => {
    const client = new ApiClient(new TestBackend(SMALL_WORLD, local))

    expect((await client.ask('GET /_ping')).headers['swarm']).toBe(header)
    const info = checked('GET /info', await client.ask('GET /info'))
    expect(info.body).toMatchObject({ Swarm: { ControlAvailable: false } })
    expect(member(info.body, 'Swarm.Cluster')).toBeUndefined()
    expect((await client.ask('GET /info')).text).not.toContain('SWMTKN')
    for (const path of ['/services', '/nodes', '/tasks', '/secrets', '/configs', '/swarm'])
      expect(await client.ask(`GET ${path}`)).toMatchObject({
        status: 503,
        body: { message: expect.stringContaining(message) },
      })
    expect((await client.ask('POST /services/create', SPEC)).status).toBe(503)
  })

  test('has the three networks of every Docker host', async () => {
    const client = new ApiClient()

    expect(idsOf(checked('GET /networks', await client.ask('GET /networks')), 'Id')).toBe(
      'bridge host none',
    )
    const host = await client.ask('GET /networks/host?scope=swarm')
    expect(checked('GET /networks/{id}', host).body).toMatchObject({ Id: 'host', Driver: 'host' })
    expect(idsOf(await client.ask(`GET /networks?${filters({ scope: ['swarm'] })}`), 'Id')).toBe('')
    expect((await client.ask('GET /networks/other')).status).toBe(404)
    expect(await client.ask('POST /networks/create', { Name: 'net' })).toMatchObject({
      status: 501,
      body: { message: expect.stringContaining('networks cannot be created yet') },
    })
  })

  test('asks no registry for digests', async () => {
    expect(await new ApiClient().ask('GET /distribution/ghcr.io/a/b:1/json')).toMatchObject({
      status: 404,
      body: { message: expect.stringContaining('"ghcr.io/a/b:1"') },
    })
  })
})

const GLOBAL = { kind: 'global', global: {} } as const

function idsOf({ body }: Reply, name = 'ID'): string {
  return Array.isArray(body) ? body.map((item) => member(item, name)).join(' ') : 'no list'
}
