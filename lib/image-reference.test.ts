/**
 * Image references in every form that Docker takes, and what it refuses.
 */
import { expect, test } from 'vitest'
import { formatReference, parseReference, referenceTarget } from './image-reference.ts'

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`

test.each([
  ['nginx', 'docker.io/library/nginx:latest'],
  ['nginx:1.25', 'docker.io/library/nginx:1.25'],
  ['docker.io/nginx', 'docker.io/library/nginx:latest'],
  ['index.docker.io/nginx', 'docker.io/library/nginx:latest'],
  ['index.docker.io/a/b', 'docker.io/a/b:latest'],
  ['bitnami/redis', 'docker.io/bitnami/redis:latest'],
  ['ghcr.io/a/b/c:v1', 'ghcr.io/a/b/c:v1'],
  ['localhost/x', 'localhost/x:latest'],
  ['localhost:5000/x', 'localhost:5000/x:latest'],
  ['127.0.0.1:5000/a/x:t', '127.0.0.1:5000/a/x:t'],
  ['[::1]:5000/x', '[::1]:5000/x:latest'],
  ['Registry/x', 'Registry/x:latest'],
  ['a__b/c-_d', undefined],
  ['a__b/c--d.e_f', 'docker.io/a__b/c--d.e_f:latest'],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`],
  [`nginx:1.25@${digest}`, `docker.io/library/nginx@${digest}`],
])('parseReference of %s', (text, expected) => {
  if (expected === undefined) expect(() => parseReference(text)).toThrow('invalid reference')
  else expect(formatReference(parseReference(text))).toBe(expected)
})

test('parseReference keeps the tag beside a digest, and asks for the digest', () => {
  const reference = parseReference(`nginx:1.25@${digest}`)

  expect(reference.tag).toBe('1.25')
  expect(referenceTarget(reference)).toBe(digest)
})

test.each([
  '',
  ':tag',
  'a b',
  'nginx:',
  'nginx:a/b:c:d',
  'nginx@',
  'nginx@sha256:12',
  `nginx@md5:${'0'.repeat(32)}`,
  '-a',
  'a//b',
  '../etc',
  'host.io/',
  'host.io:port/x',
  `nginx:${'t'.repeat(129)}`,
  'a'.repeat(260),
])('parseReference refuses "%s"', (text) => {
  expect(() => parseReference(text)).toThrow('invalid reference format')
})

test('parseReference says that names are lower case', () => {
  expect(() => parseReference('Nginx')).toThrow('repository name (library/Nginx) must be lowercase')
})
