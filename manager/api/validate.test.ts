/**
 * Every rule about a service's spec, as a table: what is changed in a valid spec, and the words of
 * the refusal, which name the field.
 */
import { describe, expect, test } from 'vitest'
import type { Service } from '../../proto/gen/objects.ts'
import {
  emptyHealthcheck,
  emptyMount,
  emptyServiceSpec,
  emptyUpdateConfig,
  type Mount,
  type Placement,
  type ServiceAffinity,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import {
  emptyGenericResource,
  emptyPortConfig,
  type GenericResource,
  type PortConfig,
} from '../../proto/gen/types.ts'
import { type Part, service } from '../../test/build.ts'
import { checkServiceSpec, SERVICE_SPEC_BYTES_MAX } from './validate.ts'

describe('checkServiceSpec()', () => {
  const accepted: readonly (readonly [string, Part<ServiceSpec>])[] = [
    ['the builder', {}],
    ['a digest', container({ image: `registry.example:5000/a/b@sha256:${'0'.repeat(64)}` })],
    ['an entry of env without a value', container({ env: ['A=b', 'C'] })],
    ['the host network', { task: { networks: [{ target: 'host' }] } }],
    ['smallest resources', limits({ nanoCpus: 1_000_000, memoryBytes: 4 * 2 ** 20 })],
    ['ports that differ in protocol', ports({}, { protocol: 'udp' })],
    ['ports that the nodes choose', ports({ publishedPort: 0 }, { publishedPort: 0 })],
    ['an anonymous volume', mounts({ type: 'volume', source: '' })],
    ['a delay that grows', { task: { restart: { delayMs: 1, maxDelayMs: 1 } } }],
    ['a fence', { task: { disconnect: { stopAfterMs: 30_000 } } }],
    [
      'a fence and all the time',
      { task: { disconnect: { stopAfterMs: 30_000, lostAfterMs: 61_112 } } },
    ],
    ['the original', { task: { disconnect: { lostAfterMs: 1, keep: 'original' } } }],
    ['a ratio of one', update({ maxFailureRatio: 1 })],
    ['global', { mode: { kind: 'global', global: {} } }],
    [
      'preferences',
      placement({ preferences: [{ label: 'node.labels.a' }, { label: 'Engine.Labels.b' }] }),
    ],
    [
      'services to be near and far',
      placement({ affinities: [near('db'), { ...near('web'), isAnti: true }] }),
    ],
    ['a budget', { disruptionBudget: { maxUnavailable: 1 } }],
    ['no health check', container({ healthcheck: { ...emptyHealthcheck, test: ['NONE'] } })],
    ['a health check', container({ healthcheck: { ...emptyHealthcheck, test: ['CMD', 'a', ''] } })],
    ['times alone', container({ healthcheck: { ...emptyHealthcheck, retries: 2 } })],
    ['generic resources', generic({ kind: 'GPU', count: 2 }, { kind: 'SSD', count: 1 })],
  ]
  test.each(accepted)('accepts %s', (_name, part) => {
    expect(() => checkServiceSpec(spec(part))).not.toThrow()
  })

  const refused: readonly (readonly [string, Part<ServiceSpec>, string])[] = [
    ['no name', { annotations: { name: '' } }, 'name must be provided'],
    ['a bad name', { annotations: { name: 'a_' } }, 'name must be valid as a DNS name component'],
    ['a long name', { annotations: { name: 'a'.repeat(64) } }, '63 characters or fewer'],
    ['a label without a name', { annotations: { labels: new Map([['', 'x']]) } }, 'Labels: ""'],
    ['no mode', { mode: undefined }, 'Mode: one of Replicated and Global'],
    ['no container', { task: { container: undefined } }, 'ContainerSpec: missing in service spec'],
    ['no image', container({ image: '' }), 'ContainerSpec: image reference must be provided'],
    ['a bad image', container({ image: 'A B' }), 'invalid reference format'],
    ['a host name', container({ hostname: 'a b' }), 'ContainerSpec.Hostname: "a b"'],
    ['a relative directory', container({ dir: 'x' }), 'ContainerSpec.Dir: the working directory'],
    ['a stop signal', container({ stopSignal: 'a b' }), 'invalid signal: a b'],
    ['an entry of env', container({ env: ['=x'] }), 'invalid environment variable: "=x"'],
    ['a zero byte', container({ args: ['a\0b'] }), 'hold no zero byte'],
    ['a capability', container({ capabilityAdd: ['NET-ADMIN'] }), '"NET-ADMIN" is no capability'],
    [
      'a health check of no kind',
      container({ healthcheck: { ...emptyHealthcheck, test: ['curl', 'x'] } }),
      'ContainerSpec.Healthcheck.Test: "curl" is no kind of test',
    ],
    [
      'a health check of nothing',
      container({ healthcheck: { ...emptyHealthcheck, test: ['CMD-SHELL', ''] } }),
      'CMD-SHELL must be followed by what is to be run',
    ],
    [
      'no health check, and one',
      container({ healthcheck: { ...emptyHealthcheck, test: ['NONE', 'CMD'] } }),
      'NONE stands alone',
    ],
    ['a template', container({ env: ['A={{.Node.ID}}'] }), 'templates are not supported yet'],
    [
      'two mounts on one target',
      mounts({ target: '/a' }, { target: '/a/' }),
      'duplicate mount point: /a/',
    ],
    [
      'a relative target',
      mounts({ target: 'a' }),
      'invalid mount target, must be an absolute path',
    ],
    ['the root as target', mounts({ target: '//' }), "destination can't be '/'"],
    ['a relative source', mounts({ source: 'a' }), 'invalid bind mount source'],
    ['a volume name', mounts({ type: 'volume', source: '/a' }), 'is not a valid name for a volume'],
    ['a source of tmpfs', mounts({ type: 'tmpfs' }), 'invalid tmpfs source, source must be empty'],
    [
      'propagation of a volume',
      mounts({ type: 'volume', source: 'v', propagation: 'shared' }),
      'BindOptions: only for mounts of type bind',
    ],
    ['options of a volume', mounts({ volumeNoCopy: true }), 'VolumeOptions: only for mounts'],
    ['options of a tmpfs', mounts({ tmpfsSizeBytes: 1 }), 'TmpfsOptions: only for mounts'],
    ['little memory', limits({ memoryBytes: 1 }), 'Resources.Limits: invalid memory value 1'],
    ['a negative limit', limits({ memoryBytes: -1 }), 'invalid memory value -1'],
    [
      'little CPU',
      { task: { resources: { reservations: { nanoCpus: 1_000 } } } },
      'Resources.Reservations: invalid cpu value 0.000001: Must be at least 0.001',
    ],
    ['negative pids', { task: { resources: { pidsLimit: -1 } } }, 'Resources.Limits.Pids: -1'],
    [
      'a constraint',
      { task: { placement: { constraints: ['node.role=manager'] } } },
      'constraint expected one operator from ==, !=',
    ],
    [
      'replicas per node of a global service',
      { mode: { kind: 'global', global: {} }, task: { placement: { maxReplicas: 1 } } },
      'Placement.MaxReplicas',
    ],
    [
      'a preference that is no label',
      { task: { placement: { preferences: [{ label: 'node.hostname' }] } } },
      'Placement.Preferences: "node.hostname" is no label of nodes',
    ],
    [
      'a service to be near and to be far',
      placement({ affinities: [near('db'), { ...near('DB'), isAnti: true }] }),
      'Placement.Affinities: service "DB" is named to be near and to be far',
    ],
    [
      'a bad name of a service to be near',
      placement({ affinities: [near('a b')] }),
      'name must be valid as a DNS name component',
    ],
    [
      'a kind of resource',
      generic({ kind: 'a b', count: 1 }),
      'GenericResources: "a b" is no kind',
    ],
    [
      'a named resource',
      generic({ kind: 'GPU', name: 'a', count: 1 }),
      'invalid argument for resource GPU',
    ],
    ['no resource', generic({ kind: 'GPU', count: 0 }), 'GPU must be at least 1, not 0'],
    [
      'a kind twice',
      generic({ kind: 'GPU', count: 1 }, { kind: 'GPU', count: 2 }),
      'GPU is given twice',
    ],
    [
      'a delay that is longer than the longest',
      { task: { restart: { maxDelayMs: 4_000 } } },
      'RestartPolicy.MaxDelay: a delay of 5000 ms cannot grow to 4000 ms',
    ],
    [
      'no delay that grows',
      { task: { restart: { delayMs: 0, maxDelayMs: 4_000 } } },
      'RestartPolicy.MaxDelay: a delay of 0 ms cannot grow',
    ],
    [
      'a task that is lost before it has ended',
      { task: { disconnect: { stopAfterMs: 30_000, lostAfterMs: 61_111 } } },
      'Disconnect.LostAfter: 1m1.111s after its node was turned down a task may still run: with ' +
        'StopAfter 30s and a stop grace period of 10s it has surely ended after 1m1.112s',
    ],
    [
      'an original that has ended',
      { task: { disconnect: { stopAfterMs: 30_000, keep: 'original' } } },
      'Disconnect.Keep: "original" and StopAfter exclude each other',
    ],
    [
      'an original of a job',
      {
        mode: { kind: 'globalJob', globalJob: {} },
        task: { disconnect: { keep: 'original' } },
      },
      'Disconnect.Keep: "original" is for services that run on',
    ],
    [
      'a fence and an update that starts first',
      { update: { order: 'start-first' }, task: { disconnect: { stopAfterMs: 30_000 } } },
      'Disconnect.StopAfter: no two tasks of a slot may run, which UpdateConfig.Order "start-first"',
    ],
    [
      'a fence and a rollback that starts first',
      { rollback: { order: 'start-first' }, task: { disconnect: { stopAfterMs: 30_000 } } },
      'RollbackConfig.Order "start-first" asks for: use stop-first',
    ],
    [
      'a budget of nothing',
      { disruptionBudget: { maxUnavailable: 0 } },
      'DisruptionBudget.MaxUnavailable: must be at least 1',
    ],
    ['an overlay', { task: { networks: [{ target: 'net' }] } }, 'network "net" is not supported'],
    ['a ratio above one', update({ maxFailureRatio: 1.1 }), 'UpdateConfig.MaxFailureRatio'],
    ['no ratio', update({ maxFailureRatio: Number.NaN }), 'UpdateConfig.MaxFailureRatio'],
    ['dnsrr', { endpoint: { mode: 'dnsrr' } }, 'EndpointSpec.Mode "dnsrr" is not supported yet'],
    ['ingress', ports({ publishMode: 'ingress' }), 'publish it with mode=host'],
    ['sctp', ports({ protocol: 'sctp' }), 'EndpointSpec.Ports.Protocol "sctp"'],
    ['no target port', ports({ targetPort: 0 }), 'EndpointSpec.Ports.TargetPort: 0'],
    ['a large port', ports({ publishedPort: 70_000 }), 'Ports.PublishedPort: 70000'],
    ['a port twice', ports({}, { targetPort: 81 }), 'duplicate published ports provided: 8080/tcp'],
    [
      'a spec too large for the log',
      container({ env: [`A=${'x'.repeat(SERVICE_SPEC_BYTES_MAX)}`] }),
      'is larger than 400000 bytes',
    ],
  ]
  test.each(refused)('refuses %s', (_name, part, message) => {
    expect(() => checkServiceSpec(spec(part))).toThrow(message)
  })
})

function spec(part: Part<ServiceSpec>): ServiceSpec {
  const built: Service = service({ spec: part })
  return built.spec ?? emptyServiceSpec
}

function container(
  part: Part<NonNullable<NonNullable<ServiceSpec['task']>['container']>>,
): Part<ServiceSpec> {
  return { task: { container: part } }
}

function limits(part: { nanoCpus?: number; memoryBytes?: number }): Part<ServiceSpec> {
  return { task: { resources: { limits: part } } }
}

function mounts(...parts: readonly Partial<Mount>[]): Part<ServiceSpec> {
  return container({
    mounts: parts.map((part) => ({ ...emptyMount, source: '/src', target: '/dst', ...part })),
  })
}

function ports(...parts: readonly Partial<PortConfig>[]): Part<ServiceSpec> {
  return {
    endpoint: {
      ports: parts.map((part) => ({
        ...emptyPortConfig,
        targetPort: 80,
        publishedPort: 8080,
        publishMode: 'host',
        ...part,
      })),
    },
  }
}

function update(part: Partial<typeof emptyUpdateConfig>): Part<ServiceSpec> {
  return { update: { ...emptyUpdateConfig, ...part } }
}

function placement(part: Part<Placement>): Part<ServiceSpec> {
  return { task: { placement: part } }
}

function near(service: string): ServiceAffinity {
  return { service, isAnti: false }
}

function generic(...parts: readonly Partial<GenericResource>[]): Part<ServiceSpec> {
  const resources = parts.map((part) => ({ ...emptyGenericResource, ...part }))
  return { task: { resources: { reservations: { generic: resources } } } }
}
