/** The daemon's settings: flags over file over defaults, and values that are refused by name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseConfig } from './config.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-config-'))
afterAll(() => rmSync(folder, { recursive: true }))
let fileCount = 0

function file(content: unknown): string {
  const path = join(folder, `${++fileCount}.json`)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

test('without flags everything has a default', () => {
  expect(parseConfig([])).toMatchObject({
    stateDirectory: '/var/lib/tsswarm',
    api: ['unix:///run/tsswarm/docker.sock'],
    apiTls: undefined,
    listen: '0.0.0.0:2377',
    raftListen: '0.0.0.0:7946',
    advertiseAddr: '',
    runtime: process.getuid?.() === 0 ? 'containerd' : 'process',
    containerd: undefined,
    metrics: undefined,
    logLevel: 'info',
    registryMirrors: [],
  })
})

test('flags are read, lists and labels too', () => {
  const config = parseConfig([
    ...['--state-dir', '/s', '--api', 'unix:///a', '--api', 'unix:///b', '--runtime', 'process'],
    ...['--label', 'zone=a', '--label', 'flag', '--label', 'e=a=b', '--metrics', '127.0.0.1:9090'],
    ...['--node-generic-resource', 'GPU=a,GPU=b', '--node-generic-resource', 'SSD=3'],
    ...['--reserve-cpu', '0.5', '--reserve-memory', '1g'],
    ...['--registry-mirror', 'https://m', '--insecure-registry', 'r:5000', '--log-level=debug'],
  ])

  expect(config).toMatchObject({
    ...{ stateDirectory: '/s', api: ['unix:///a', 'unix:///b'], runtime: 'process' },
    ...{ metrics: '127.0.0.1:9090', logLevel: 'debug' },
    ...{ registryMirrors: ['https://m'], insecureRegistries: ['r:5000'] },
    reserved: { nanoCpus: 5e8, memoryBytes: 2 ** 30 },
    genericResources: [
      { kind: 'GPU', name: 'a', count: 1 },
      { kind: 'GPU', name: 'b', count: 1 },
      { kind: 'SSD', name: '', count: 3 },
    ],
  })
  expect(config.labels).toEqual(
    new Map([
      ['zone', 'a'],
      ['flag', ''],
      ['e', 'a=b'],
    ]),
  )
})

test('a flag wins over the file, and the file over the default', () => {
  const path = file({
    'state-dir': '/file',
    listen: '10.0.0.1:1',
    api: ['unix:///f'],
    label: 'a=b',
  })

  const config = parseConfig(['--config', path, '--state-dir', '/flag'])

  expect(config).toMatchObject({
    ...{ stateDirectory: '/flag', listen: '10.0.0.1:1', api: ['unix:///f'] },
    raftListen: '0.0.0.0:7946',
    labels: new Map([['a', 'b']]),
  })
})

describe('refused with the name of the setting', () => {
  test.each<[readonly string[], RegExp]>([
    [['--nonsense'], /Unknown option '--nonsense'/],
    [['leftover'], /leftover/],
    [['--state-dir'], /--state-dir/],
    [['--runtime', 'docker'], /--runtime "docker" is none of containerd, process/],
    [['--log-level', 'loud'], /--log-level "loud" is none of/],
    [['--api', '/run/x.sock'], /--api "\/run\/x\.sock" is neither/],
    [['--api', 'unix://relative'], /--api "unix:\/\/relative" is neither/],
    [['--api', 'tcp://'], /--api "tcp:\/\/" is neither/],
    [['--api', 'tcp://0.0.0.0:2376'], /needs --api-tls-ca/],
    [['--api-tls-ca', 'ca.pem'], /go together/],
    [['--label', '=a'], /--label "=a" has no key/],
    [['--node-generic-resource', 'GPU'], /--node-generic-resource: generic resource "GPU"/],
    [['--reserve-cpu', 'all'], /--reserve-cpu "all" is no amount: write a number like 0\.5/],
    [['--reserve-memory', '1x'], /--reserve-memory "1x" is no amount/],
    [['--listen', '10.0.0.1:x'], /--listen "10\.0\.0\.1:x" is no address/],
    [['--raft-listen', '10.0.0.1:99999'], /--raft-listen "10\.0\.0\.1:99999" is no address/],
    [['--metrics', 'nowhere'], /--metrics "nowhere" is no address/],
    [['--registry-mirror', 'mirror'], /--registry-mirror "mirror" is no URL/],
  ])('%j', (args, message) => {
    expect(() => parseConfig(args)).toThrow(message)
  })

  test.each<[unknown, RegExp]>([
    ['not JSON', /cannot be read as JSON/],
    [[], /must hold a JSON object/],
    ['null', /must hold a JSON object/],
    [{ nonsense: 'x' }, /"nonsense" is no setting/],
    [{ config: 'other.json' }, /"config" is no setting/],
    [{ listen: 2377 }, /"listen" must be a text/],
    [{ label: [1] }, /"label" must be a list of texts/],
    [{ runtime: 'docker' }, /--runtime "docker" is none of/],
  ])('a file of %j', (content, message) => {
    const path = file(content)

    expect(() => parseConfig(['--config', path])).toThrow(message)
  })

  test('a file that is not there', () => {
    expect(() => parseConfig(['--config', '/nonexistent.json'])).toThrow(/\/nonexistent\.json/)
  })
})

test('tcp needs all three files of TLS, and then has them', () => {
  const tls = ['--api-tls-ca', 'a', '--api-tls-cert', 'c', '--api-tls-key', 'k']

  expect(parseConfig(['--api', 'tcp://0.0.0.0:2376', ...tls]).apiTls).toEqual({
    ca: 'a',
    cert: 'c',
    key: 'k',
  })
})

test('a rebuild is for one start: a flag, never in the file', () => {
  expect(parseConfig([]).isRebuild).toBe(false)
  expect(parseConfig(['--rebuild']).isRebuild).toBe(true)
  expect(() => parseConfig(['--config', file({ rebuild: 'true' })])).toThrow(
    '"rebuild" is no setting',
  )
})
