/**
 * The default seccomp profile: its conditions one by one, and what nobody may call.
 */
import { expect, test } from 'vitest'
import { listCapabilities } from './capabilities.ts'
import type { OciSyscall } from './oci.ts'
import { evaluateSeccomp, type SeccompFacts } from './seccomp.ts'

const defaults: SeccompFacts = {
  architecture: 'x64',
  kernelRelease: '6.18.44-generic',
  capabilities: listCapabilities({ add: [], drop: [], lastKnown: 40 }),
}

function rules(name: string, changes: Partial<SeccompFacts> = {}): readonly OciSyscall[] {
  return evaluateSeccomp({ ...defaults, ...changes }).syscalls.filter((rule) =>
    rule.names.includes(name),
  )
}

const withCapability = (name: string): Partial<SeccompFacts> => ({
  capabilities: [...defaults.capabilities, name],
})

test('the profile refuses with EPERM what no rule allows', () => {
  expect(evaluateSeccomp(defaults)).toMatchObject({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  })
})

test.each([
  'mount',
  'umount2',
  'unshare',
  'setns',
  'bpf',
  'perf_event_open',
  'kexec_load',
  'kexec_file_load',
  'init_module',
  'reboot',
  'keyctl',
  'add_key',
  'request_key',
  'userfaultfd',
  'io_uring_setup',
  'open_by_handle_at',
  'ioperm',
  'settimeofday',
  'swapon',
  'pivot_root',
  'process_madvise',
  'move_pages',
  'acct',
])('%s is not allowed by default', (name) => {
  expect(rules(name)).toEqual([])
})

test.each([
  ['mount', 'CAP_SYS_ADMIN'],
  ['unshare', 'CAP_SYS_ADMIN'],
  ['bpf', 'CAP_BPF'],
  ['perf_event_open', 'CAP_PERFMON'],
  ['open_by_handle_at', 'CAP_DAC_READ_SEARCH'],
  ['init_module', 'CAP_SYS_MODULE'],
  ['reboot', 'CAP_SYS_BOOT'],
  ['acct', 'CAP_SYS_PACCT'],
  ['kcmp', 'CAP_SYS_PTRACE'],
  ['iopl', 'CAP_SYS_RAWIO'],
  ['settimeofday', 'CAP_SYS_TIME'],
  ['vhangup', 'CAP_SYS_TTY_CONFIG'],
  ['mbind', 'CAP_SYS_NICE'],
  ['syslog', 'CAP_SYSLOG'],
])('%s is allowed with %s', (name, capability) => {
  expect(rules(name)).toEqual([])
  expect(rules(name, withCapability(capability))).toMatchObject([{ action: 'SCMP_ACT_ALLOW' }])
})

test('clone may make no namespace unless with CAP_SYS_ADMIN, and clone3 does not exist', () => {
  expect(rules('clone')).toMatchObject([
    { action: 'SCMP_ACT_ALLOW', args: [{ op: 'SCMP_CMP_MASKED_EQ', value: 2114060288 }] },
  ])
  expect(rules('clone3')).toMatchObject([{ action: 'SCMP_ACT_ERRNO', errnoRet: 38 }])
  for (const name of ['clone', 'clone3']) {
    expect(rules(name, withCapability('CAP_SYS_ADMIN'))).toMatchObject([
      { action: 'SCMP_ACT_ALLOW' },
    ])
  }
})

test('chroot goes with its capability, which is among the defaults', () => {
  expect(rules('chroot')).toHaveLength(1)
  expect(rules('chroot', { capabilities: [] })).toEqual([])
})

test('ptrace needs a kernel that filters what it changes', () => {
  expect(rules('ptrace', { kernelRelease: '4.8.0' })).toHaveLength(1)
  expect(rules('ptrace', { kernelRelease: '4.7.9' })).toEqual([])
  expect(rules('ptrace', { kernelRelease: '3.10.0' })).toEqual([])
})

test('sockets of every family but AF_VSOCK may be made', () => {
  expect(rules('socket')).toMatchObject([{ args: [{ index: 0, value: 40, op: 'SCMP_CMP_NE' }] }])
})

test('calls of another architecture are left out', () => {
  expect(rules('arch_prctl')).toHaveLength(1)
  expect(rules('cacheflush')).toEqual([])
  expect(rules('cacheflush', { architecture: 'arm64' })).toHaveLength(1)
})

test('no name stands twice in one rule', () => {
  for (const rule of evaluateSeccomp(defaults).syscalls) {
    expect(new Set(rule.names).size).toBe(rule.names.length)
  }
})
