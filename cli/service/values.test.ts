/** Values of flags with a syntax of their own: mounts, ports, lists, words, labels, env files. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { chooseCapabilities, editCapabilities } from './capability.ts'
import { parseFields, splitWords } from './csv.ts'
import { editEnv, editLabels, readEnv } from './label.ts'
import { editMounts, parseMount } from './mount.ts'
import { editPorts, parsePublish } from './publish.ts'

describe('mount', () => {
  test.each([
    ['type=bind,source=/a,target=/b', { Type: 'bind', Source: '/a', Target: '/b' }],
    ['type=bind,src=/a,dst=/b,ro', { Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true }],
    ['source=data,destination=/d', { Type: 'volume', Source: 'data', Target: '/d' }],
    ['target=/d,readonly=false', { Type: 'volume', Target: '/d' }],
    [
      'type=volume,target=/d,volume-nocopy',
      { Type: 'volume', Target: '/d', VolumeOptions: { NoCopy: true } },
    ],
    [
      'type=bind,source=/a,target=/b,bind-propagation=rslave',
      { Type: 'bind', Source: '/a', Target: '/b', BindOptions: { Propagation: 'rslave' } },
    ],
    [
      'type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770',
      { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 2 ** 26, Mode: 0o1770 } },
    ],
    ['type=bind,"source=/a,b",target=/b', { Type: 'bind', Source: '/a,b', Target: '/b' }],
  ])('%s', (text, mount) => {
    expect(parseMount(text, 'mount')).toEqual(mount)
  })

  test.each([
    ['type=bind,source=/a', /target is required/],
    ['type=nfs,target=/a', /"--mount type": use one of bind, volume, tmpfs/],
    ['type=bind,source=/a,target', /'target' must be a key=value pair/],
    [
      'type=bind,source=/a,target=/b,volume-nocopy',
      /cannot mix 'volume-nocopy' with mount type 'bind'/,
    ],
    ['type=volume,target=/b,volume-driver=x', /'volume-driver' is not supported yet/],
    ['target=/b,colour=red', /unexpected key 'colour'/],
    ['type=tmpfs,target=/b,tmpfs-mode=9', /tmpfs-mode/],
    ['target=/b,ro=maybe', /readonly: maybe/],
  ])('refuses %s', (text, message) => {
    expect(() => parseMount(text, 'mount')).toThrow(message)
  })

  test('editMounts() adds and replaces by target, then removes', () => {
    const before = [
      { Type: 'volume', Target: '/a' },
      { Type: 'volume', Target: '/b' },
    ]
    const change = { add: ['source=x,target=/b', 'target=/c', 'target=/d'], remove: ['/a', '/d'] }

    expect(editMounts(before, change)).toEqual([
      { Type: 'volume', Source: 'x', Target: '/b' },
      { Type: 'volume', Target: '/c' },
    ])
    expect(() => editMounts([], { add: ['target=/a', 'target=/a'], remove: [] })).toThrow(
      /duplicate/,
    )
  })
})

describe('publish', () => {
  const port = (
    target: number,
    published: number | undefined,
    mode = 'ingress',
    protocol = 'tcp',
  ) => ({
    Protocol: protocol,
    TargetPort: target,
    ...(published === undefined ? {} : { PublishedPort: published }),
    PublishMode: mode,
  })

  test.each([
    ['80', [port(80, undefined)]],
    ['8080:80', [port(80, 8080)]],
    ['53:53/udp', [port(53, 53, 'ingress', 'udp')]],
    ['8000-8002:80-82', [port(80, 8000), port(81, 8001), port(82, 8002)]],
    ['target=80', [port(80, undefined)]],
    ['published=8080,target=80,mode=host', [port(80, 8080, 'host')]],
    ['mode=host,target=53,protocol=UDP', [port(53, undefined, 'host', 'udp')]],
  ])('%s', (text, ports) => {
    expect(parsePublish(text, 'publish')).toEqual(ports)
  })

  test.each([
    ['', /invalid publish opts/],
    ['a:b', /invalid publish opts/],
    ['127.0.0.1:8080:80', /hostip is not supported/],
    ['8000-8001:80', /as long as each other/],
    ['82-80', /invalid port range/],
    ['70000:80', /invalid port "70000"/],
    ['80/http', /use one of tcp, udp, sctp/],
    ['published=80', /missing mandatory field "target"/],
    ['target=80,hostip=1', /invalid field "hostip"/],
    ['target=80,mode=bridge', /use one of ingress, host/],
  ])('refuses "%s"', (text, message) => {
    expect(() => parsePublish(text, 'publish')).toThrow(message)
  })

  test('editPorts() removes by target and protocol, keeps what is added again', () => {
    const before = [port(80, 8080, 'host'), port(80, 8081), port(53, 53, 'host', 'udp')]
    const edit = (add: readonly string[], remove: readonly string[]) =>
      editPorts(before, { add, remove })

    expect(edit([], ['80'])).toEqual([before[2]])
    expect(edit([], ['53'])).toEqual(before)
    expect(edit([], ['target=80,mode=host'])).toEqual([before[1], before[2]])
    expect(edit(['published=8080,target=80,mode=host'], [])).toEqual(before)
    expect(edit(['published=9090,target=80,mode=host'], ['80'])).toEqual([
      before[2],
      port(80, 9090, 'host'),
    ])
  })
})

describe('lists and words', () => {
  test('parseFields() reads quotes as CSV has them', () => {
    expect(parseFields('A=1,"b=x,""y""",c', 'x')).toEqual([
      ['a', '1'],
      ['b', 'x,"y"'],
      ['c', undefined],
    ])
    expect(() => parseFields('a="b', 'x')).toThrow(/quotes/)
    expect(() => parseFields('a=1,,b=2', 'x')).toThrow(/invalid field/)
  })

  test.each([
    ['', []],
    ['  a  b ', ['a', 'b']],
    [`sh -c 'echo "$X"'`, ['sh', '-c', 'echo "$X"']],
    ['"a \\"b\\" c" d\\ e', ['a "b" c', 'd e']],
    [`a''b "" 'c'd`, ['ab', '', 'cd']],
  ])('splitWords() takes %s apart', (text, words) => {
    expect(splitWords(text, 'args')).toEqual(words)
  })

  test('splitWords() refuses an open quote', () => {
    expect(() => splitWords(`sh -c 'x`, 'args')).toThrow(/quote is not closed/)
  })
})

describe('labels and environment', () => {
  test('editLabels() removes first, then adds', () => {
    expect(editLabels({ a: '1', b: '2' }, { add: ['a=3', 'c'], remove: ['a', 'b'] })).toEqual({
      a: '3',
      c: '',
    })
  })

  test('readEnv() reads files, then entries; keys alone come from the environment', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsswarm-env-'))
    const file = join(folder, 'env')
    writeFileSync(file, '\uFEFF# remark\n\n  A=from file\r\nB=2\nHOME\nGONE\n')

    const env = readEnv({ files: [file], entries: ['A=x=y', 'C='], environment: { HOME: '/h' } })

    expect(env).toEqual(['A=x=y', 'B=2', 'HOME=/h', 'C='])
    writeFileSync(file, 'a b=1\n')
    expect(() => readEnv({ files: [file], entries: [], environment: {} })).toThrow(/"a b"/)
    rmSync(folder, { recursive: true })
    expect(() => readEnv({ files: [file], entries: [], environment: {} })).toThrow(/cannot be read/)
  })

  test('editEnv() changes entries in their place', () => {
    const change = { add: ['B=9', 'D=4'], remove: ['A'] }

    expect(editEnv(['A=1', 'B=2', 'C=3'], change, {})).toEqual(['B=9', 'C=3', 'D=4'])
  })
})

describe('capabilities', () => {
  test('chooseCapabilities() writes names out, and adding wins', () => {
    expect(
      chooseCapabilities({ add: ['net_admin', 'CAP_CHOWN'], drop: ['all', 'chown', 'kill'] }),
    ).toEqual({ add: ['CAP_CHOWN', 'CAP_NET_ADMIN'], drop: ['ALL'] })
  })

  test('editCapabilities() takes back before it turns over', () => {
    const before = { add: ['CAP_CHOWN'], drop: ['CAP_KILL'] }

    expect(editCapabilities(before, { add: ['kill'], drop: ['chown'] })).toEqual({
      add: [],
      drop: [],
    })
    expect(editCapabilities(before, { add: ['net_raw'], drop: ['net_raw', 'setuid'] })).toEqual({
      add: ['CAP_CHOWN', 'CAP_NET_RAW'],
      drop: ['CAP_KILL', 'CAP_SETUID'],
    })
    expect(editCapabilities(before, { add: ['RESET', 'SETGID'], drop: ['RESET'] })).toEqual({
      add: ['CAP_SETGID'],
      drop: [],
    })
  })
})
