/**
 * Flags of `service create` and `service update` → the spec that the daemon is sent, seen at a real
 * socket; and that the production API takes each of them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CliSwarm, ScriptedDaemon } from '../../test/cli-world.ts'
import { at, isObject, type Json, setAt } from '../json.ts'

const BARE: Json = {
  Labels: {},
  TaskTemplate: { ContainerSpec: { Image: 'img' } },
  Mode: { Replicated: { Replicas: 1 } },
}
const CONTAINER = ['TaskTemplate', 'ContainerSpec']
const RESTART = { Condition: 'any', Delay: 5e9 }
const UPDATE = {
  Parallelism: 1,
  Delay: 0,
  FailureAction: 'pause',
  Monitor: 5e9,
  MaxFailureRatio: 0,
  Order: 'stop-first',
}

type Row = readonly [readonly string[], readonly (readonly [readonly string[], Json])[]]

const CREATE: readonly Row[] = [
  [[], []],
  [['--name', 'web'], [[['Name'], 'web']]],
  [['--replicas', '0'], [[['Mode', 'Replicated', 'Replicas'], 0]]],
  [
    ['--mode', 'replicated-job'],
    [[['Mode'], { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 1 } }]],
  ],
  [
    ['--mode', 'replicated-job', '--replicas', '7'],
    [[['Mode'], { ReplicatedJob: { MaxConcurrent: 7, TotalCompletions: 7 } }]],
  ],
  [
    ['--mode', 'replicated-job', '--replicas', '7', '--max-concurrent', '2'],
    [[['Mode'], { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 7 } }]],
  ],
  [['--mode', 'global-job'], [[['Mode'], { GlobalJob: {} }]]],
  [['--mode', 'global'], [[['Mode'], { Global: {} }]]],
  [['-l', 'a=1', '--label', 'b'], [[['Labels'], { a: '1', b: '' }]]],
  [['--container-label', 'c=2'], [[[...CONTAINER, 'Labels'], { c: '2' }]]],
  [
    ['-e', 'A=1', '--env', 'B=x=y'],
    [
      [
        [...CONTAINER, 'Env'],
        ['A=1', 'B=x=y'],
      ],
    ],
  ],
  [
    ['--entrypoint', `sh -c 'a b'`],
    [
      [
        [...CONTAINER, 'Command'],
        ['sh', '-c', 'a b'],
      ],
    ],
  ],
  [['-u', '1000:1000'], [[[...CONTAINER, 'User'], '1000:1000']]],
  [['-w', '/srv'], [[[...CONTAINER, 'Dir'], '/srv']]],
  [['--hostname', 'h'], [[[...CONTAINER, 'Hostname'], 'h']]],
  [['--read-only'], [[[...CONTAINER, 'ReadOnly'], true]]],
  [['--stop-signal', 'SIGINT'], [[[...CONTAINER, 'StopSignal'], 'SIGINT']]],
  [['--stop-grace-period', '1m'], [[[...CONTAINER, 'StopGracePeriod'], 60e9]]],
  [['--cap-add', 'net_admin'], [[[...CONTAINER, 'CapabilityAdd'], ['CAP_NET_ADMIN']]]],
  [['--cap-drop', 'ALL'], [[[...CONTAINER, 'CapabilityDrop'], ['ALL']]]],
  [['--no-healthcheck'], [[[...CONTAINER, 'Healthcheck'], { Test: ['NONE'] }]]],
  [['--health-retries', '2'], [[[...CONTAINER, 'Healthcheck'], { Retries: 2 }]]],
  [
    [
      ...['--health-cmd', 'curl -f localhost || exit 1', '--health-interval', '1m'],
      ...['--health-timeout', '500ms', '--health-retries', '5', '--health-start-period', '2s'],
      ...['--health-start-interval', '1s'],
    ],
    [
      [
        [...CONTAINER, 'Healthcheck'],
        {
          Test: ['CMD-SHELL', 'curl -f localhost || exit 1'],
          Interval: 60e9,
          Timeout: 5e8,
          Retries: 5,
          StartPeriod: 2e9,
          StartInterval: 1e9,
        },
      ],
    ],
  ],
  [
    ['--mount', 'type=tmpfs,target=/t'],
    [[[...CONTAINER, 'Mounts'], [{ Type: 'tmpfs', Target: '/t' }]]],
  ],
  [
    ['--limit-cpu', '0.5', '--limit-memory', '64m', '--limit-pids', '100'],
    [[['TaskTemplate', 'Resources', 'Limits'], { NanoCPUs: 5e8, MemoryBytes: 2 ** 26, Pids: 100 }]],
  ],
  [
    ['--reserve-cpu', '1', '--reserve-memory', '32m'],
    [[['TaskTemplate', 'Resources', 'Reservations'], { NanoCPUs: 1e9, MemoryBytes: 2 ** 25 }]],
  ],
  [
    ['--constraint', 'node.role==worker', '--replicas-max-per-node', '2'],
    [[['TaskTemplate', 'Placement'], { Constraints: ['node.role==worker'], MaxReplicas: 2 }]],
  ],
  [
    [
      ...[
        '--placement-pref',
        'spread=node.labels.zone',
        '--placement-pref',
        'spread=node.labels.rack',
      ],
      ...['--placement-strategy', 'binpack', '--affinity', 'service=db', '--anti-affinity'],
      'service=web',
    ],
    [
      [
        ['TaskTemplate', 'Placement'],
        {
          Preferences: [
            { Spread: { SpreadDescriptor: 'node.labels.zone' } },
            { Spread: { SpreadDescriptor: 'node.labels.rack' } },
          ],
          Strategy: 'binpack',
          Affinities: [{ Service: 'db' }, { Service: 'web', Anti: true }],
        },
      ],
    ],
  ],
  [
    ['--generic-resource', 'GPU=2', '--generic-resource', 'SSD=1'],
    [
      [
        ['TaskTemplate', 'Resources', 'Reservations', 'GenericResources'],
        [
          { DiscreteResourceSpec: { Kind: 'GPU', Value: 2 } },
          { DiscreteResourceSpec: { Kind: 'SSD', Value: 1 } },
        ],
      ],
    ],
  ],
  [['--max-unavailable', '2'], [[['DisruptionBudget'], { MaxUnavailable: 2 }]]],
  [
    ['--restart-condition', 'on-failure'],
    [[['TaskTemplate', 'RestartPolicy'], { ...RESTART, Condition: 'on-failure' }]],
  ],
  [
    ['--restart-max-attempts', '3', '--restart-window', '2m', '--restart-delay', '1s'],
    [
      [
        ['TaskTemplate', 'RestartPolicy'],
        { ...RESTART, Delay: 1e9, MaxAttempts: 3, Window: 120e9 },
      ],
    ],
  ],
  [
    ['--restart-delay', '1s', '--restart-max-delay', '5m'],
    [[['TaskTemplate', 'RestartPolicy'], { ...RESTART, Delay: 1e9, MaxDelay: 300e9 }]],
  ],
  [
    ['--disconnect-lost-after', '5m', '--disconnect-keep', 'original'],
    [[['TaskTemplate', 'Disconnect'], { LostAfter: 300e9, Keep: 'original' }]],
  ],
  [['--disconnect-stop-after', '30s'], [[['TaskTemplate', 'Disconnect'], { StopAfter: 30e9 }]]],
  [['--update-delay', '10s'], [[['UpdateConfig'], { ...UPDATE, Delay: 10e9 }]]],
  [
    ['--update-failure-action', 'rollback', '--rollback-parallelism', '0'],
    [
      [['UpdateConfig'], { ...UPDATE, FailureAction: 'rollback' }],
      [['RollbackConfig'], { ...UPDATE, Parallelism: 0 }],
    ],
  ],
  [
    [
      ...['--update-parallelism', '0', '--update-order', 'start-first', '--update-monitor', '1s'],
      ...['--update-failure-action', 'continue', '--update-max-failure-ratio', '0.2'],
    ],
    [
      [
        ['UpdateConfig'],
        {
          ...UPDATE,
          Parallelism: 0,
          Order: 'start-first',
          Monitor: 1e9,
          FailureAction: 'continue',
          MaxFailureRatio: 0.2,
        },
      ],
    ],
  ],
  [
    ['-p', 'target=80,published=8080,mode=host'],
    [
      [
        ['EndpointSpec'],
        {
          Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }],
        },
      ],
    ],
  ],
  [['--network', 'host'], [[['TaskTemplate', 'Networks'], [{ Target: 'host' }]]]],
  [['--no-resolve-image'], []],
]

function specOf(changes: Row[1]): Json {
  return changes.reduce<Json>((spec, [path, value]) => setAt(spec, path, value), BARE)
}

describe('service create', () => {
  let daemon: ScriptedDaemon
  let swarm: CliSwarm

  beforeAll(async () => {
    daemon = await ScriptedDaemon.start(() => ({ status: 201, body: { ID: 'abc' } }))
    swarm = await CliSwarm.start()
  })

  afterAll(async () => {
    await daemon.close()
    await swarm.close()
  })

  test.each(CREATE)('%s', async (flags, changes) => {
    daemon.asked.length = 0
    const args = ['service', 'create', '-d', ...flags, 'img']

    expect(await daemon.run(args)).toEqual({ code: 0, out: 'abc\n', err: '' })
    expect(daemon.asked.map(({ call }) => call)).toEqual(['POST /services/create'])
    expect(daemon.asked[0]?.body).toEqual(specOf(changes))
    expect(daemon.asked[0]?.headers['x-registry-auth']).toBeUndefined()
    expect(await swarm.run(...args)).toMatchObject({ code: 0, err: '' })
  })

  test('--env-file is read, and keys alone come from the environment', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    writeFileSync(join(folder, 'env'), 'A=1\nB\n')
    daemon.asked.length = 0

    await daemon.run(
      ['service', 'create', '-d', '--env-file', join(folder, 'env'), '-e', 'C', 'img'],
      { env: { B: 'b' } },
    )

    rmSync(folder, { recursive: true })
    expect(at(daemon.asked[0]?.body, ...CONTAINER, 'Env')).toEqual(['A=1', 'B=b'])
  })

  test('--with-registry-auth sends what docker login left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    const auth = Buffer.from('me:se:cret').toString('base64')
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({ auths: { 'reg.io:5000': { auth } } }),
    )
    const header = async (image: string): Promise<Json> => {
      daemon.asked.length = 0
      const args = ['service', 'create', '-d', '--with-registry-auth', image]
      await daemon.run(args, { env: { DOCKER_CONFIG: folder } })
      const text = daemon.asked[0]?.headers['x-registry-auth']
      return typeof text === 'string'
        ? JSON.parse(Buffer.from(text, 'base64url').toString())
        : undefined
    }

    expect(await header('reg.io:5000/team/app')).toEqual({
      username: 'me',
      password: 'se:cret',
      serveraddress: 'reg.io:5000',
    })
    expect(await header('nginx')).toBeUndefined()
    rmSync(folder, { recursive: true })
  })
})

describe('service update', () => {
  let daemon: ScriptedDaemon
  let conflicts = 0

  const before: Json = {
    Name: 'web',
    Labels: { a: '1', b: '2' },
    TaskTemplate: {
      ContainerSpec: {
        Image: 'img:1',
        Args: ['x'],
        Env: ['A=1', 'B=2', 'C=3'],
        Mounts: [{ Type: 'volume', Source: 'v', Target: '/v' }],
        CapabilityDrop: ['CAP_KILL'],
        Healthcheck: { Test: ['NONE'], Interval: 1e9 },
        Unknown: { Member: [1, null] },
      },
      Resources: {
        Reservations: {
          GenericResources: [
            { DiscreteResourceSpec: { Kind: 'GPU', Value: 2 } },
            { DiscreteResourceSpec: { Kind: 'SSD', Value: 1 } },
          ],
        },
      },
      Placement: {
        Constraints: ['node.role==worker', 'node.labels.z==a'],
        Preferences: [
          { Spread: { SpreadDescriptor: 'node.labels.a' } },
          { Spread: { SpreadDescriptor: 'node.labels.z' } },
        ],
        Affinities: [{ Service: 'db' }],
      },
      ForceUpdate: 4,
    },
    Mode: { Replicated: { Replicas: 2 } },
    DisruptionBudget: { MaxUnavailable: 1 },
    UpdateConfig: { Parallelism: 2, Order: 'start-first' },
    EndpointSpec: {
      Mode: 'vip',
      Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }],
    },
  }

  beforeEach(async () => {
    conflicts = 0
    daemon = await ScriptedDaemon.start(({ call }) => {
      if (call.startsWith('GET'))
        return { body: { ID: 'abc', Version: { Index: 7 }, Spec: before } }
      conflicts -= 1
      return conflicts >= 0
        ? { status: 500, body: { message: 'rpc error: update out of sequence' } }
        : { body: { Warnings: null } }
    })
  })

  afterEach(() => daemon.close())

  async function update(...flags: readonly string[]): Promise<Json> {
    const result = await daemon.run(['service', 'update', '-d', ...flags, 'web'])
    expect(result).toEqual({ code: 0, out: 'web\n', err: '' })
    return daemon.asked.at(-1)?.body
  }

  test('sends the spec as it came, with its version, where nothing is asked', async () => {
    expect(await update()).toEqual(before)
    expect(daemon.calls).toEqual([
      'GET /services/web',
      'POST /services/abc/update?version=7&registryAuthFrom=spec',
    ])
  })

  const container = (name: string): readonly string[] => [...CONTAINER, name]
  const EDITS: readonly (readonly [readonly string[], readonly string[], Json])[] = [
    [['--image', 'img:2'], container('Image'), 'img:2'],
    [['--args', `sh -c 'x y'`], container('Args'), ['sh', '-c', 'x y']],
    [['--replicas', '5'], ['Mode', 'Replicated', 'Replicas'], 5],
    [['--force'], ['TaskTemplate', 'ForceUpdate'], 5],
    [
      ['--env-add', 'B=9', '--env-add', 'D=4', '--env-rm', 'A'],
      container('Env'),
      ['B=9', 'C=3', 'D=4'],
    ],
    [['--label-add', 'c=3', '--label-rm', 'a'], ['Labels'], { b: '2', c: '3' }],
    [['--container-label-add', 'x=y'], container('Labels'), { x: 'y' }],
    [
      ['--constraint-add', 'node.id!=x', '--constraint-rm', 'node.role==worker'],
      ['TaskTemplate', 'Placement', 'Constraints'],
      ['node.labels.z==a', 'node.id!=x'],
    ],
    [
      [
        '--placement-pref-rm',
        'spread=node.labels.a',
        '--placement-pref-add',
        'spread=node.labels.b',
      ],
      ['TaskTemplate', 'Placement', 'Preferences'],
      [
        { Spread: { SpreadDescriptor: 'node.labels.z' } },
        { Spread: { SpreadDescriptor: 'node.labels.b' } },
      ],
    ],
    [
      ['--affinity-rm', 'service=db', '--anti-affinity-add', 'service=db'],
      ['TaskTemplate', 'Placement', 'Affinities'],
      [{ Service: 'db', Anti: true }],
    ],
    [
      ['--generic-resource-rm', 'SSD', '--generic-resource-add', 'GPU=4'],
      ['TaskTemplate', 'Resources', 'Reservations', 'GenericResources'],
      [{ DiscreteResourceSpec: { Kind: 'GPU', Value: 4 } }],
    ],
    [['--max-unavailable', '0'], ['DisruptionBudget'], undefined],
    [['--mount-rm', '/v'], container('Mounts'), []],
    [['--limit-memory', '1g'], ['TaskTemplate', 'Resources', 'Limits'], { MemoryBytes: 2 ** 30 }],
    [['--restart-delay', '1s'], ['TaskTemplate', 'RestartPolicy'], { ...RESTART, Delay: 1e9 }],
    [
      ['--update-delay', '1s'],
      ['UpdateConfig'],
      { ...UPDATE, Delay: 1e9, Parallelism: 2, Order: 'start-first' },
    ],
    [['--publish-rm', '80'], ['EndpointSpec', 'Ports'], []],
    [['--read-only'], container('ReadOnly'), true],
    [['--user', ''], container('User'), ''],
    [['--stop-grace-period', '0'], container('StopGracePeriod'), 0],
    [
      ['--health-cmd', 'x', '--health-retries', '2'],
      container('Healthcheck'),
      { Test: ['CMD-SHELL', 'x'], Interval: 1e9, Retries: 2 },
    ],
    [['--health-interval', '2s'], container('Healthcheck'), { Interval: 2e9 }],
    [['--health-cmd', ''], container('Healthcheck'), { Interval: 1e9 }],
    [['--no-healthcheck'], container('Healthcheck'), { Test: ['NONE'] }],
  ]

  test.each(EDITS)('%s', async (flags, path, value) => {
    expect(await update(...flags)).toEqual(setAt(before, path, value))
  })

  test('a capability that was dropped is taken back', async () => {
    const spec = await update('--cap-add', 'KILL')

    expect(at(spec, ...container('CapabilityDrop'))).toEqual([])
    expect(at(spec, ...container('CapabilityAdd'))).toEqual([])
  })

  test('is made again on what is there when somebody else was faster', async () => {
    conflicts = 2
    await update('--force')

    expect(daemon.calls.filter((call) => call.startsWith('POST'))).toHaveLength(3)
    expect(daemon.calls.filter((call) => call.startsWith('GET'))).toHaveLength(3)
  })

  test('gives up when that goes on', async () => {
    conflicts = 100
    const result = await daemon.run(['service', 'update', '-d', 'web'])

    expect(result).toMatchObject({ code: 1, err: expect.stringContaining('out of sequence') })
  })

  test('changes nothing on the way: objects keep what is not known here', async () => {
    const spec = await update('--image', 'img:2')

    expect(isObject(spec) && at(spec, ...container('Unknown'))).toEqual({ Member: [1, null] })
  })
})
