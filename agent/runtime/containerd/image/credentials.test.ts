/**
 * Credentials as clients send them, and challenges as registries word them.
 */
import { expect, test } from 'vitest'
import { basicAuthorization, parseChallenge, parseRegistryAuth } from './credentials.ts'

const header = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

test.each([
  [
    { username: 'u', password: 'p' },
    { username: 'u', password: 'p' },
  ],
  [{ auth: Buffer.from('u:p:q').toString('base64') }, { username: 'u', password: 'p:q' }],
  [{ identitytoken: 'i' }, { identityToken: 'i' }],
  [{ registrytoken: 'r', serveraddress: 'x' }, { registryToken: 'r' }],
])('parseRegistryAuth of %j', (value, expected) => {
  expect(parseRegistryAuth(header(value))).toMatchObject(expected)
})

test('parseRegistryAuth of nobody', () => {
  expect(parseRegistryAuth('')).toBeUndefined()
  expect(parseRegistryAuth(header({}))).toBeUndefined()
})

test.each(['!!!', header([1]), header('secret-word')])(
  'parseRegistryAuth refuses %s without quoting it',
  (value) => {
    expect(() => parseRegistryAuth(value)).toThrow(/^malformed registry credentials: not base64url/)
  },
)

test('basicAuthorization takes any letters', () => {
  const credentials = { username: 'ü', password: 'p', identityToken: '', registryToken: '' }

  expect(basicAuthorization(credentials)).toBe(`Basic ${Buffer.from('ü:p').toString('base64')}`)
})

test.each([
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"',
    {
      scheme: 'bearer',
      realm: 'https://auth.docker.io/token',
      service: 'registry.docker.io',
      scope: 'repository:library/nginx:pull',
    },
  ],
  ['Basic realm="Registry Realm"', { scheme: 'basic', realm: 'Registry Realm' }],
  ['basic', { scheme: 'basic', realm: '' }],
  [
    'BEARER Realm=https://a/t , Service = s',
    { scheme: 'bearer', realm: 'https://a/t', service: 's' },
  ],
  [
    'Basic realm="a, Bearer b", Bearer realm="https://a/t",scope="repository:a:pull,push"',
    { scheme: 'bearer', realm: 'https://a/t', scope: 'repository:a:pull,push' },
  ],
  ['Bearer realm="q\\"uote"', { scheme: 'bearer', realm: 'q"uote' }],
  ['Bearer error="x", Basic realm="y"', { scheme: 'basic', realm: 'y' }],
])('parseChallenge of %s', (text, expected) => {
  expect(parseChallenge(text)).toMatchObject(expected)
})

test.each(['', 'Negotiate', 'Digest realm="x"', 'Bearer service="s"'])(
  'parseChallenge of "%s" is nothing that we can meet',
  (text) => {
    expect(parseChallenge(text)).toBeUndefined()
  },
)
