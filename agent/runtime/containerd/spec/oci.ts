/**
 * The OCI runtime spec, as much of it as tsswarm writes (runtime-spec 1.0.2). Field names are the
 * specification's, because this is the JSON that runc reads; `spec.ts` fills it in.
 */

export type OciSpec = {
  readonly ociVersion: '1.0.2'
  readonly process: OciProcess
  readonly root: { readonly path: string; readonly readonly: boolean }
  readonly hostname: string
  readonly mounts: readonly OciMount[]
  readonly linux: OciLinux
}

export type OciProcess = {
  readonly terminal: false
  readonly user: OciUser
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities: OciCapabilities
  readonly rlimits: readonly OciRlimit[]
  readonly noNewPrivileges: boolean
  readonly apparmorProfile?: string
  readonly oomScoreAdj: number
}

export type OciUser = {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  readonly umask: number
}

export type OciCapabilities = {
  readonly bounding: readonly string[]
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
  readonly inheritable: readonly string[]
  readonly ambient: readonly string[]
}

/** `Infinity` is no limit; `encodeSpec` writes it as the kernel's RLIM_INFINITY. */
export type OciRlimit = { readonly type: string; readonly soft: number; readonly hard: number }

export type OciMount = {
  readonly destination: string
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

export type OciLinux = {
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[]
  readonly cgroupsPath: string
  readonly resources: OciResources
  readonly sysctl: Readonly<Record<string, string>>
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
  readonly rootfsPropagation: string
  readonly seccomp?: OciSeccomp
}

export type OciResources = {
  readonly devices: readonly OciDeviceRule[]
  readonly memory?: {
    readonly limit?: number
    readonly reservation?: number
    readonly swap?: number
  }
  readonly cpu?: { readonly quota: number; readonly period: number }
  readonly pids?: { readonly limit: number }
}

export type OciDeviceRule = {
  readonly allow: boolean
  readonly type?: 'a' | 'b' | 'c'
  /** Absent is every number. */
  readonly major?: number
  readonly minor?: number
  readonly access: string
}

export type OciSeccomp = {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet: number
  readonly architectures: readonly string[]
  readonly syscalls: readonly OciSyscall[]
}

export type SeccompAction = 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'

export type OciSyscall = {
  readonly names: readonly string[]
  readonly action: SeccompAction
  readonly errnoRet?: number
  readonly args?: readonly OciSyscallArg[]
}

export type OciSyscallArg = {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: 'SCMP_CMP_EQ' | 'SCMP_CMP_NE' | 'SCMP_CMP_MASKED_EQ'
}

/** The JSON that runc reads. */
export function encodeSpec(spec: OciSpec): Uint8Array {
  return encodeJson(spec)
}

/** The JSON of a further process. */
export function encodeProcess(process: OciProcess): Uint8Array {
  return encodeJson(process)
}

/** The first process of a spec that `encodeSpec` wrote. */
export function decodeProcess(spec: Uint8Array): OciProcess {
  const read: Pick<OciSpec, 'process'> = JSON.parse(new TextDecoder().decode(spec), (key, value) =>
    (key === 'soft' || key === 'hard') && value >= LIMIT_INFINITY ? Infinity : value,
  )
  return read.process
}

/** What a double makes of the kernel's RLIM_INFINITY, 2^64-1. */
const LIMIT_INFINITY = 2 ** 64

function encodeJson(value: OciSpec | OciProcess): Uint8Array {
  // JSON has no infinity, and 2^64-1 is no double. A quote inside of a string is always escaped, so
  // the pattern is found nowhere but in the rlimits.
  const text = JSON.stringify(value).replace(/"(soft|hard)":null/g, '"$1":18446744073709551615')
  return new TextEncoder().encode(text)
}
