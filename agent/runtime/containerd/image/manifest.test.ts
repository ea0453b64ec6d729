/**
 * Manifests, indexes and configs of images: what is read, and which platform is chosen.
 */
import { expect, test } from 'vitest'
import {
  findManifest,
  type IndexEntry,
  listChainIds,
  matchesDigest,
  mediaTypeOf,
  parseImageConfig,
  parseIndex,
  parseManifest,
  runsOn,
} from './manifest.ts'

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

function entry(architecture: string, variant = '', os = 'linux'): IndexEntry {
  const platform = architecture === '' ? undefined : { os, architecture, variant }
  const found = { mediaType: '', digest: digest('a'), sizeBytes: 1 }
  return { ...found, platform, annotations: new Map() }
}

const amd64 = { os: 'linux', architecture: 'amd64', variant: '' }
const arm64 = { os: 'linux', architecture: 'arm64', variant: 'v8' }

test.each([
  [amd64, [entry('arm64'), entry('amd64')], 1],
  [amd64, [entry('amd64', '', 'windows'), entry('amd64')], 1],
  [amd64, [entry('386'), entry('arm64')], undefined],
  [arm64, [entry('arm', 'v7'), entry('arm64', 'v8')], 1],
  [arm64, [entry('arm', 'v6'), entry('arm', 'v7')], 1],
  [arm64, [entry('amd64'), entry('arm64')], 1],
  [amd64, [entry('unknown', '', 'unknown'), entry('amd64')], 1],
  [amd64, [entry('')], 0],
  [amd64, [entry(''), entry('')], undefined],
])('findManifest on %j', (host, entries, expected) => {
  const wanted = expected === undefined ? undefined : entries[expected]

  expect(findManifest(entries, host)).toBe(wanted)
})

test('an image runs where its platform is run, or where it names none', () => {
  expect(runsOn(amd64, amd64)).toBe(true)
  expect(runsOn({ ...arm64, variant: '' }, arm64)).toBe(true)
  expect(runsOn(arm64, amd64)).toBe(false)
  expect(runsOn({ os: '', architecture: '', variant: '' }, amd64)).toBe(true)
})

test('listChainIds names each layer by all below it', () => {
  // The second value: printf 'sha256:aa… sha256:bb…' | sha256sum
  const [first, second] = listChainIds([digest('a'), digest('b')])

  expect(first).toBe(digest('a'))
  expect(second).toMatch(/^sha256:[0-9a-f]{64}$/)
  expect(
    matchesDigest(new TextEncoder().encode(`${digest('a')} ${digest('b')}`), second ?? ''),
  ).toBe(true)
})

test('parseImageConfig reads what a container needs, and takes absence', () => {
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: ['A=1'],
      Entrypoint: ['/e'],
      Cmd: null,
      User: 'web',
      WorkingDir: '/srv',
      Volumes: { '/b': {}, '/a': {} },
      StopSignal: 'SIGINT',
      Shell: ['/bin/ash', '-c'],
      Healthcheck: { Test: ['CMD', '/check'], Interval: 1_500_000_000, Retries: 2 },
    },
    rootfs: { diff_ids: [digest('a')] },
  }

  expect(parseImageConfig(bytes(config), 'it')).toMatchObject({
    ...{ env: ['A=1'], entrypoint: ['/e'], command: [], user: 'web', directory: '/srv' },
    ...{ volumes: ['/a', '/b'], stopSignal: 'SIGINT', diffIds: [digest('a')] },
    shell: ['/bin/ash', '-c'],
    healthcheck: { test: ['CMD', '/check'], intervalMs: 1_500, timeoutMs: 0, retries: 2 },
  })
  expect(parseImageConfig(bytes({}), 'it').healthcheck).toBeUndefined()
  expect(parseImageConfig(bytes({}), 'it')).toMatchObject({ env: [], diffIds: [] })
})

test('documents that are none are refused by name', () => {
  expect(() => parseManifest(new TextEncoder().encode('<html>'), 'the manifest')).toThrow(
    'the manifest is not JSON',
  )
  expect(() => parseManifest(bytes([]), 'the manifest')).toThrow('is not a JSON object')
  expect(() => parseManifest(bytes({ config: { digest: 'x' } }), 'the manifest')).toThrow(
    'the manifest has a descriptor without a valid digest and size',
  )
  expect(() => parseIndex(bytes({ manifests: [{ digest: '../../x' }] }), 'it')).toThrow(
    'without a valid digest',
  )
  expect(() => parseImageConfig(bytes({ rootfs: { diff_ids: ['x'] } }), 'it')).toThrow(
    'it names a layer that is no digest',
  )
})

test('mediaTypeOf takes what the document says of itself', () => {
  expect(mediaTypeOf(bytes({ mediaType: 'x/y' }), 'it')).toBe('x/y')
  expect(mediaTypeOf(bytes({ manifests: [] }), 'it')).toContain('index')
  expect(mediaTypeOf(bytes({ layers: [] }), 'it')).toContain('image.manifest')
})
