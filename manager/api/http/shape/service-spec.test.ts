/**
 * ServiceSpec between JSON and our form: random specs come back as they were, in both directions;
 * what is not supported is refused by name; what Go's clients send without meaning it is accepted.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeServiceSpec, encodeServiceSpec } from '../../../../proto/gen/specs.ts'
import { serviceSpec, writeWithDefaults } from './service-spec.ts'

const MINIMAL = { Name: 'web', TaskTemplate: { ContainerSpec: { Image: 'nginx' } } }

describe('serviceSpec', () => {
  test('reads back what it wrote, through the stored bytes too', () => {
    fc.assert(
      fc.property(jsonSpec(), (json) => {
        const spec = serviceSpec.read(json, '')

        expect(serviceSpec.write(spec)).toEqual(json)
        expect(serviceSpec.write(decodeServiceSpec(encodeServiceSpec(spec)))).toEqual(json)
      }),
      { numRuns: 300 },
    )
  })

  test('fills in what Swarm takes where nothing is said', () => {
    expect(serviceSpec.write(serviceSpec.read(MINIMAL, ''))).toEqual({
      Name: 'web',
      Labels: {},
      TaskTemplate: {
        ContainerSpec: { Image: 'nginx' },
        ForceUpdate: 0,
        Runtime: 'container',
      },
      Mode: { Replicated: { Replicas: 1 } },
    })
  })

  test.each([
    [{}, { MaxConcurrent: 1, TotalCompletions: 1 }],
    [{ MaxConcurrent: 3 }, { MaxConcurrent: 3, TotalCompletions: 3 }],
    [
      { MaxConcurrent: 2, TotalCompletions: 7 },
      { MaxConcurrent: 2, TotalCompletions: 7 },
    ],
    [{ TotalCompletions: 0 }, { MaxConcurrent: 1, TotalCompletions: 0 }],
  ])('a job of %j is one of %j', (asked, stored) => {
    const spec = serviceSpec.read({ ...MINIMAL, Mode: { ReplicatedJob: asked } }, '')

    expect(serviceSpec.write(spec)).toMatchObject({ Mode: { ReplicatedJob: stored } })
  })

  test('never writes credentials', () => {
    const spec = serviceSpec.read(MINIMAL, '')
    const container = spec.task?.container
    const task = spec.task && {
      ...spec.task,
      container: container && { ...container, registryAuth: 'Zm9v' },
    }

    expect(JSON.stringify(serviceSpec.write({ ...spec, task }))).not.toContain('Zm9v')
  })

  test('writes every default for those who ask', () => {
    expect(writeWithDefaults(serviceSpec.read(MINIMAL, ''))).toMatchObject({
      TaskTemplate: {
        ContainerSpec: { StopGracePeriod: 10_000_000_000 },
        RestartPolicy: { Condition: 'any', Delay: 5_000_000_000 },
      },
      UpdateConfig: { Parallelism: 1, Monitor: 5_000_000_000, Order: 'stop-first' },
      RollbackConfig: { Parallelism: 1, FailureAction: 'pause' },
      EndpointSpec: { Mode: 'vip' },
    })
  })

  /** What the docker CLI and docker stack send beside what was asked for. */
  const harmless: readonly (readonly [string, unknown])[] = [
    ['Init', container({ Init: false })],
    ['Isolation', container({ Isolation: 'default' })],
    ['DNSConfig', container({ DNSConfig: {} })],
    ['Healthcheck', container({ Healthcheck: { Test: null, Interval: 0 } })],
    ['Secrets', container({ Secrets: [], Configs: null })],
    ['Privileges', container({ Privileges: { CredentialSpec: null, SELinuxContext: {} } })],
    ['EndpointSpec', { EndpointSpec: { Mode: 'vip' } }],
    ['Runtime', task({ Runtime: 'container' })],
    ['an unknown field that says nothing', { Future: { A: null } }],
    ['the default volume driver', mount({ VolumeOptions: { DriverConfig: { Name: 'local' } } })],
    ['null for absent', { Mode: null, UpdateConfig: null, Labels: null }],
  ]
  test.each(harmless)('accepts %s where it changes nothing', (_name, part) => {
    expect(() => serviceSpec.read(merge(MINIMAL, part), '')).not.toThrow()
  })

  const refused: readonly (readonly [string, unknown, string])[] = [
    ['unimplemented', container({ Groups: ['a'] }), 'TaskTemplate.ContainerSpec.Groups'],
    ['unimplemented', container({ Privileges: { NoNewPrivileges: true } }), 'Privileges'],
    ['unimplemented', container({ Init: true }), 'TaskTemplate.ContainerSpec.Init'],
    ['unimplemented', container({ TTY: true }), 'TaskTemplate.ContainerSpec.TTY'],
    ['unimplemented', container({ OpenStdin: true }), 'TaskTemplate.ContainerSpec.OpenStdin'],
    [
      'invalid-argument',
      container({ Healthcheck: { Interval: 999_999 } }),
      'ContainerSpec: Interval in HealthConfig cannot be less than 1ms',
    ],
    [
      'invalid-argument',
      container({ Healthcheck: { StartInterval: -1 } }),
      'ContainerSpec: StartInterval in HealthConfig cannot be less than 1ms',
    ],
    [
      'invalid-argument',
      container({ Healthcheck: { Retries: -1 } }),
      'ContainerSpec: Retries in HealthConfig cannot be negative',
    ],
    ['unimplemented', container({ Hosts: ['1.2.3.4 a'] }), 'TaskTemplate.ContainerSpec.Hosts'],
    ['unimplemented', container({ DNSConfig: { Search: ['a'] } }), 'ContainerSpec.DNSConfig'],
    ['unimplemented', container({ Secrets: [{ SecretID: 'x' }] }), 'ContainerSpec.Secrets'],
    ['unimplemented', container({ Configs: [{ ConfigID: 'x' }] }), 'ContainerSpec.Configs'],
    ['unimplemented', container({ Isolation: 'hyperv' }), 'ContainerSpec.Isolation'],
    ['unimplemented', container({ Sysctls: { a: 'b' } }), 'ContainerSpec.Sysctls'],
    ['unimplemented', container({ Ulimits: [{ Name: 'a' }] }), 'ContainerSpec.Ulimits'],
    ['unimplemented', container({ OomScoreAdj: 1 }), 'ContainerSpec.OomScoreAdj'],
    ['unimplemented', mount({ Consistency: 'cached' }), 'Mounts[0].Consistency'],
    ['unimplemented', mount({ Type: 'cluster' }), 'Mounts[0].Type "cluster"'],
    ['unimplemented', mount({ BindOptions: { NonRecursive: true } }), 'BindOptions.NonRecursive'],
    ['unimplemented', mount({ BindOptions: { CreateMountpoint: true } }), 'CreateMountpoint'],
    ['unimplemented', mount({ BindOptions: { ReadOnlyNonRecursive: true } }), 'NonRecursive'],
    ['unimplemented', mount({ BindOptions: { ReadOnlyForceRecursive: true } }), 'ForceRecursive'],
    ['unimplemented', mount({ Type: 'npipe' }), 'Mounts[0].Type "npipe"'],
    ['unimplemented', mount({ Type: 'image' }), 'Mounts[0].Type "image"'],
    ['unimplemented', mount({ ImageOptions: { Subpath: 'a' } }), 'Mounts[0].ImageOptions'],
    ['unimplemented', mount({ ClusterOptions: { A: 1 } }), 'Mounts[0].ClusterOptions'],
    ['unimplemented', mount({ VolumeOptions: { Subpath: 'a' } }), 'VolumeOptions.Subpath'],
    ['unimplemented', mount({ VolumeOptions: { DriverConfig: { Name: 'nfs' } } }), 'DriverConfig'],
    ['unimplemented', mount({ TmpfsOptions: { Options: [['a']] } }), 'TmpfsOptions.Options'],
    ['unimplemented', task({ PluginSpec: { Name: 'a' } }), 'TaskTemplate.PluginSpec'],
    ['unimplemented', task({ NetworkAttachmentSpec: { A: 1 } }), 'NetworkAttachmentSpec'],
    ['unimplemented', task({ Resources: { MemorySwappiness: 1 } }), 'Resources.MemorySwappiness'],
    ['unimplemented', task({ LogDriver: { Name: 'none' } }), 'TaskTemplate.LogDriver'],
    ['unimplemented', task({ Runtime: 'plugin' }), 'TaskTemplate.Runtime'],
    [
      'unimplemented',
      task({ Networks: [{ Target: 'host', Aliases: ['a'] }] }),
      'Networks[0].Aliases',
    ],
    [
      'invalid-argument',
      task({ Placement: { Preferences: [{ Spread: {} }, 1] } }),
      'Placement.Preferences[1]: must be an object',
    ],
    [
      'invalid-argument',
      task({ Placement: { Preferences: [{ Pack: 'x' }] } }),
      'Placement.Preferences[0].Spread: must be given',
    ],
    [
      'invalid-argument',
      task({ Placement: { Strategy: 'random' } }),
      'invalid Strategy: "random", use one of spread, binpack',
    ],
    [
      'invalid-argument',
      task({ Placement: { Affinities: [{ Anti: true }] } }),
      'Placement.Affinities[0].Service: must be given',
    ],
    ['unimplemented', task({ Resources: { SwapBytes: 1 } }), 'Resources.SwapBytes'],
    [
      'invalid-argument',
      task({ Resources: { Reservations: { GenericResources: [{}] } } }),
      'GenericResources[0]: either DiscreteResourceSpec or NamedResourceSpec must be given',
    ],
    ['invalid-argument', { DisruptionBudget: { MaxUnavailable: -1 } }, 'must not be negative'],
    [
      'invalid-argument',
      task({ Disconnect: { Keep: 'both' } }),
      'invalid Keep: "both", use one of replacement, original',
    ],
    ['unimplemented', { Networks: [{ Target: 'a' }] }, 'Networks'],
    [
      'invalid-argument',
      container({ Bogus: 1 }),
      'TaskTemplate.ContainerSpec.Bogus: unknown field',
    ],
    [
      'invalid-argument',
      container({ Image: 1 }),
      'TaskTemplate.ContainerSpec.Image: must be a string',
    ],
    [
      'invalid-argument',
      container({ Env: 'A=b' }),
      'TaskTemplate.ContainerSpec.Env: must be a list',
    ],
    [
      'invalid-argument',
      container({ Env: [1] }),
      'TaskTemplate.ContainerSpec.Env[0]: must be a string',
    ],
    [
      'invalid-argument',
      container({ Labels: { a: 1 } }),
      'ContainerSpec.Labels.a: must be a string',
    ],
    [
      'invalid-argument',
      container({ ReadOnly: 'yes' }),
      'ContainerSpec.ReadOnly: must be true or false',
    ],
    [
      'invalid-argument',
      container({ StopGracePeriod: 1_500_001 }),
      'StopGracePeriod: 1500001 ns is not a whole',
    ],
    ['invalid-argument', container({ StopGracePeriod: -1e6 }), 'a duration must not be negative'],
    ['invalid-argument', mount({ Type: 'nfs' }), 'Mounts[0].Type: invalid Type: "nfs"'],
    [
      'invalid-argument',
      container({ Mounts: [{ Target: '/a' }] }),
      'Mounts[0].Type: must be given',
    ],
    [
      'invalid-argument',
      task({ RestartPolicy: { Condition: 'always' } }),
      'RestartPolicy.Condition: invalid',
    ],
    [
      'invalid-argument',
      task({ ForceUpdate: 2 ** 60 }),
      'TaskTemplate.ForceUpdate: must be a whole number',
    ],
    [
      'invalid-argument',
      { Mode: { Replicated: { Replicas: -1 } } },
      'Mode.Replicated.Replicas: -1',
    ],
    [
      'invalid-argument',
      { Mode: { Replicated: {}, Global: {} } },
      'must specify only one service mode',
    ],
    [
      'invalid-argument',
      { UpdateConfig: { Order: 'x' } },
      'UpdateConfig.Order: invalid Order: "x"',
    ],
    [
      'invalid-argument',
      { UpdateConfig: { MaxFailureRatio: '1' } },
      'MaxFailureRatio: must be a number',
    ],
    [
      'invalid-argument',
      { EndpointSpec: { Ports: [{ TargetPort: 2 ** 40 }] } },
      'Ports[0].TargetPort',
    ],
    ['invalid-argument', { TaskTemplate: [] }, 'TaskTemplate: must be an object'],
    ['invalid-argument', { constructor: 1 }, 'constructor: unknown field'],
  ]
  test.each(refused)('refuses as %s: %j', (code, part, message) => {
    expect(() => serviceSpec.read(merge(MINIMAL, part), '')).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    )
  })
})

function task(part: unknown): unknown {
  return { TaskTemplate: part }
}

function container(part: unknown): unknown {
  return task({ ContainerSpec: part })
}

function mount(part: Readonly<Record<string, unknown>>): unknown {
  return container({ Mounts: [{ Type: 'volume', Target: '/a', ...part }] })
}

function merge(base: unknown, part: unknown): unknown {
  if (!isObject(base) || !isObject(part)) return part
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(part)) merged[key] = merge(base[key], value)
  return merged
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Specs as the API writes them: with every supported field, and without what it would leave out. */
function jsonSpec(): fc.Arbitrary<unknown> {
  const word = fc.string({ minLength: 1, maxLength: 8 })
  const words = fc.array(word, { minLength: 1, maxLength: 3 })
  const map = fc.dictionary(word, fc.string({ maxLength: 5 }), { minKeys: 1, maxKeys: 3 })
  const number = fc.integer({ min: 1, max: 1_000_000 })
  const duration = number.map((ms) => ms * 1_000_000)
  const amounts = { NanoCPUs: number, MemoryBytes: number }
  const generic = fc.oneof(
    fc.record({ DiscreteResourceSpec: fc.record({ Kind: word, Value: number }) }),
    fc.record({ NamedResourceSpec: fc.record({ Kind: word, Value: word }) }),
  )
  const reservations = fc.record(
    { ...amounts, GenericResources: fc.array(generic, { minLength: 1, maxLength: 3 }) },
    { requiredKeys: [] },
  )
  const some = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }, requiredKeys: (keyof T)[]) =>
    fc.record(fields, { requiredKeys })
  const mounts = fc.oneof(
    some(
      {
        Type: fc.constant('bind'),
        Source: word,
        Target: word,
        ReadOnly: fc.constant(true),
        BindOptions: fc.record({ Propagation: fc.constantFrom('shared', 'rslave') }),
      },
      ['Type', 'Target'],
    ),
    some(
      {
        Type: fc.constant('volume'),
        Source: word,
        Target: word,
        VolumeOptions: fc.constant({ NoCopy: true }),
      },
      ['Type', 'Target'],
    ),
    some(
      {
        Type: fc.constant('tmpfs'),
        Target: word,
        TmpfsOptions: fc.record({ SizeBytes: number, Mode: number }),
      },
      ['Type', 'Target'],
    ),
  )
  const ports = some(
    {
      Name: word,
      Protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
      TargetPort: number,
      PublishedPort: number,
      PublishMode: fc.constantFrom('ingress', 'host'),
    },
    ['Protocol', 'PublishMode'],
  )
  const healthcheck = some(
    {
      Test: words,
      Interval: duration,
      Timeout: duration,
      Retries: number,
      StartPeriod: duration,
      StartInterval: duration,
    },
    ['Test'],
  )
  const containerSpec = some(
    {
      Image: word,
      Labels: map,
      Command: words,
      Args: words,
      Hostname: word,
      Env: words,
      Dir: word,
      User: word,
      StopSignal: word,
      Healthcheck: healthcheck,
      ReadOnly: fc.constant(true),
      Mounts: fc.array(mounts, { minLength: 1, maxLength: 3 }),
      StopGracePeriod: fc.oneof(fc.constant(0), duration),
      CapabilityAdd: words,
      CapabilityDrop: words,
    },
    [],
  )
  const taskTemplate = some(
    {
      ContainerSpec: containerSpec,
      Resources: some(
        {
          Limits: fc.record(
            { NanoCPUs: number, MemoryBytes: number, Pids: number },
            { requiredKeys: [] },
          ),
          Reservations: reservations,
        },
        [],
      ),
      RestartPolicy: some(
        {
          Condition: fc.constantFrom('none', 'on-failure', 'any'),
          Delay: fc.oneof(fc.constant(0), duration),
          MaxAttempts: fc.nat(),
          Window: duration,
          MaxDelay: duration,
        },
        ['Condition', 'MaxAttempts'],
      ),
      Disconnect: fc.record({
        LostAfter: duration,
        StopAfter: duration,
        Keep: fc.constant('original'),
      }),
      Placement: some(
        {
          Constraints: words,
          MaxReplicas: number,
          Preferences: fc.array(fc.record({ Spread: fc.record({ SpreadDescriptor: word }) }), {
            minLength: 1,
            maxLength: 3,
          }),
          Strategy: fc.constant('binpack'),
          Affinities: fc.array(
            fc.record({ Service: word, Anti: fc.constant(true) }, { requiredKeys: ['Service'] }),
            { minLength: 1, maxLength: 3 },
          ),
          Platforms: fc.array(fc.record({ Architecture: word, OS: word }, { requiredKeys: [] }), {
            minLength: 1,
            maxLength: 2,
          }),
        },
        [],
      ),
      Networks: fc.constant([{ Target: 'host' }]),
      ForceUpdate: fc.nat(),
      Runtime: fc.constant('container'),
    },
    ['ForceUpdate', 'Runtime'],
  )
  return some(
    {
      Name: word,
      Labels: fc.oneof(fc.constant({}), map),
      TaskTemplate: taskTemplate,
      Mode: fc.oneof(
        fc.constant({ Global: {} }),
        fc.record({ Replicated: fc.record({ Replicas: fc.nat() }) }),
      ),
      UpdateConfig: some(
        {
          Parallelism: fc.nat(),
          Delay: duration,
          FailureAction: fc.constantFrom('pause', 'continue'),
          Monitor: duration,
          MaxFailureRatio: fc.double({ min: 0, max: 1, noNaN: true }).map((ratio) => ratio + 0),
          Order: fc.constantFrom('stop-first', 'start-first'),
        },
        ['Parallelism', 'FailureAction', 'Monitor', 'MaxFailureRatio', 'Order'],
      ),
      DisruptionBudget: fc.record({ MaxUnavailable: number }),
      EndpointSpec: some(
        {
          Mode: fc.constantFrom('vip', 'dnsrr'),
          Ports: fc.array(ports, { minLength: 1, maxLength: 3 }),
        },
        ['Mode'],
      ),
    },
    ['Labels', 'TaskTemplate', 'Mode'],
  )
}
