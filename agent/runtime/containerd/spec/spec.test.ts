/**
 * The OCI spec: Docker's defaults, what a service changes, and nothing inherited.
 */
import { expect, test } from 'vitest'
import {
  type ContainerSpec,
  emptyContainerSpec,
  emptyTaskSpec,
} from '../../../../proto/gen/specs.ts'
import { emptyResources } from '../../../../proto/gen/types.ts'
import type { ImageConfig } from '../image/manifest.ts'
import { encodeSpec, type OciSpec } from './oci.ts'
import { newSpec, type SpecInput } from './spec.ts'

const image: ImageConfig = {
  platform: { os: 'linux', architecture: 'amd64', variant: '' },
  env: ['PATH=/bin', 'LANG=C'],
  entrypoint: ['/entry'],
  command: ['serve'],
  directory: '/srv',
  user: '',
  volumes: [],
  stopSignal: '',
  shell: [],
  healthcheck: undefined,
  diffIds: [],
}

function input(
  changes: Partial<SpecInput> & { readonly spec?: Partial<ContainerSpec> },
): SpecInput {
  return {
    task: emptyTaskSpec,
    image,
    host: {
      architecture: 'x64',
      kernelRelease: '6.1.0',
      capabilityLast: 40,
      hasSwapLimit: true,
      hasSeccomp: true,
      rlimitCeilings: new Map(),
      apparmorProfile: undefined,
    },
    user: { uid: 0, gid: 0, additionalGids: [] },
    hostname: 'abc',
    cgroupsPath: '/tsswarm/h/t1',
    netnsPath: '/run/netns/x',
    mounts: [],
    rootPropagation: 'rprivate',
    files: { hosts: '/s/hosts', hostname: '/s/hostname', resolvConf: '/s/resolv.conf' },
    ...changes,
    container: { ...emptyContainerSpec, image: 'web', ...changes.spec },
  }
}

const spec = (changes: Parameters<typeof input>[0] = {}): OciSpec => newSpec(input(changes))

test.each<[Partial<ContainerSpec>, readonly string[]]>([
  [{}, ['/entry', 'serve']],
  [{ args: ['x'] }, ['/entry', 'x']],
  [{ command: ['/other'] }, ['/other']],
  [{ command: ['/other'], args: ['y'] }, ['/other', 'y']],
])('the arguments of %j', (changes, expected) => {
  expect(spec({ spec: changes }).process.args).toEqual(expected)
})

test('newSpec refuses a container without a command', () => {
  const none = { ...image, entrypoint: [], command: [] }

  expect(() => spec({ image: none })).toThrow('no command specified: image "web" has none')
})

test('the environment is Docker’s, the image’s, then the service’s, and can be taken away', () => {
  expect(spec({ spec: { env: ['LANG=de', 'A=b=c', 'HOSTNAME'] } }).process.env).toEqual([
    'PATH=/bin',
    'LANG=de',
    'A=b=c',
  ])
  expect(spec({ image: { ...image, env: [] } }).process.env).toEqual([
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'HOSTNAME=abc',
  ])
})

test('nothing is inherited that containerd’s own process may have', () => {
  const { process } = spec()

  expect(process).toMatchObject({ oomScoreAdj: 0, user: { umask: 0o022 }, noNewPrivileges: false })
  expect(process.rlimits).toHaveLength(16)
  expect(process.rlimits).toContainEqual({ type: 'RLIMIT_NOFILE', soft: 1048576, hard: 1048576 })
})

test('encodeSpec writes no limit as the kernel does, and leaves text alone', () => {
  const text = new TextDecoder().decode(encodeSpec(spec({ spec: { env: ['X="hard":null'] } })))

  expect(text).toContain('"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615')
  expect(text).toContain(String.raw`X=\"hard\":null`)
})

test('what shows or steers the host is masked, read-only or not there', () => {
  const { linux, mounts } = spec()

  for (const path of ['/proc/kcore', '/proc/timer_list', '/proc/keys', '/sys/firmware']) {
    expect(linux.maskedPaths).toContain(path)
  }
  for (const path of ['/proc/sys', '/proc/sysrq-trigger', '/proc/bus', '/proc/irq', '/proc/fs']) {
    expect(linux.readonlyPaths).toContain(path)
  }
  for (const path of ['/sys', '/sys/fs/cgroup']) {
    expect(mounts.find((mount) => mount.destination === path)?.options).toContain('ro')
  }
  expect(linux.resources.devices[0]).toEqual({ allow: false, access: 'rwm' })
  expect(linux.resources.devices.some((rule) => rule.type === 'b' && rule.access !== 'm')).toBe(
    false,
  )
  expect(linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO')
})

test('a task on the host’s network has no network namespace and no sysctls of one', () => {
  expect(spec().linux.namespaces).toContainEqual({ type: 'network', path: '/run/netns/x' })
  const onHost = spec({ netnsPath: undefined }).linux

  expect(onHost.namespaces.map(({ type }) => type)).toEqual([
    'pid',
    'ipc',
    'uts',
    'mount',
    'cgroup',
  ])
  expect(onHost.sysctl).toEqual({})
})

test('limits become the cgroup’s', () => {
  const resources = {
    limits: { ...emptyResources, nanoCpus: 1_500_000_000, memoryBytes: 64 << 20 },
    reservations: { ...emptyResources, nanoCpus: 0, memoryBytes: 32 << 20 },
    pidsLimit: 7,
  }

  expect(spec({ task: { ...emptyTaskSpec, resources } }).linux.resources).toMatchObject({
    memory: { limit: 64 << 20, swap: 128 << 20, reservation: 32 << 20 },
    cpu: { quota: 150_000, period: 100_000 },
    pids: { limit: 7 },
  })
  expect(Object.keys(spec().linux.resources)).toEqual(['devices'])
})

test('the smallest share of a CPU gets a longer period, as the kernel wants a millisecond', () => {
  const limits = { ...emptyResources, nanoCpus: 1_000_000 }
  const resources = { limits, reservations: undefined, pidsLimit: 0 }

  expect(spec({ task: { ...emptyTaskSpec, resources } }).linux.resources.cpu).toEqual({
    quota: 1_000,
    period: 1_000_000,
  })
})

test('a service’s mount takes the place of ours', () => {
  const own = { destination: '/etc/hosts', type: 'bind', source: '/x', options: ['rbind'] }
  const { mounts } = spec({ mounts: [own], spec: { readOnly: true } })

  expect(mounts.filter((mount) => mount.destination === '/etc/hosts')).toEqual([own])
  expect(mounts.find((mount) => mount.destination === '/etc/hostname')?.options).toContain('ro')
})
