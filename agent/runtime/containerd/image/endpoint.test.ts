/**
 * Where the content of a registry is asked for, and in which order.
 */
import { expect, test } from 'vitest'
import { listEndpoints, type RegistryOptions } from './endpoint.ts'

const options: RegistryOptions = {
  mirrors: new Map([['docker.io', ['https://mirror.local/hub/', 'http://127.0.0.1:5000/v2/']]]),
  insecureRegistries: ['old.example:5000'],
}

test.each([
  ['ghcr.io', ['https://ghcr.io/v2/ origin']],
  [
    'docker.io',
    [
      'https://mirror.local/hub/v2/',
      'http://127.0.0.1:5000/v2/ insecure',
      'https://registry-1.docker.io/v2/ origin',
    ],
  ],
  [
    'old.example:5000',
    ['https://old.example:5000/v2/ insecure origin', 'http://old.example:5000/v2/ insecure origin'],
  ],
  [
    'localhost:5001',
    ['https://localhost:5001/v2/ insecure origin', 'http://localhost:5001/v2/ insecure origin'],
  ],
  ['old.example', ['https://old.example/v2/ origin']],
  ['127.evil.example', ['https://127.evil.example/v2/ origin']],
])('listEndpoints of %s', (registry, expected) => {
  const found = listEndpoints(registry, options).map((endpoint) =>
    [
      endpoint.base.href,
      ...(endpoint.insecure ? ['insecure'] : []),
      ...(endpoint.isOrigin ? ['origin'] : []),
    ].join(' '),
  )

  expect(found).toEqual(expected)
})

test('listEndpoints refuses a mirror that is no address', () => {
  const broken = { ...options, mirrors: new Map([['docker.io', ['ftp://x']]]) }

  expect(() => listEndpoints('docker.io', broken)).toThrow('invalid registry address "ftp://x"')
})
