/**
 * Names of services, secrets, configs and tasks.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { task } from '../../test/build.ts'
import { checkSecretName, checkServiceName, formatTaskName } from './naming.ts'

test.each(['a', 'web', 'Web-2', 'a__b--c', '9', 'x'.repeat(63)])('a service may be %j', (name) => {
  expect(() => checkServiceName(name)).not.toThrow()
})

test.each([
  ['', 'name must be provided'],
  ['x'.repeat(64), 'name must be 63 characters or fewer'],
  ['-web', 'name must be valid as a DNS name component'],
  ['web-', 'name must be valid as a DNS name component'],
  ['we.b', 'name must be valid as a DNS name component'],
  ['wéb', 'name must be valid as a DNS name component'],
  [`${'a'.repeat(62)}!`, 'name must be valid as a DNS name component'],
])('a service may not be %j', (name, why) => {
  expect(() => checkServiceName(name)).toThrow(why)
})

test.each(['a', 'db.password', 'A_b-c.d', 'x'.repeat(64)])('a secret may be %j', (name) => {
  expect(() => checkSecretName('secret', name)).not.toThrow()
})

test.each(['', '.a', 'a.', 'a b', 'a/b', 'x'.repeat(65)])('a config may not be %j', (name) => {
  expect(() => checkSecretName('config', name)).toThrow(/^config/)
})

test('service names are those of the rule as Swarm writes it', () => {
  const unit = fc.constantFrom('a', 'Z', '0', '-', '_', '.')

  fc.assert(
    fc.property(fc.string({ unit, minLength: 1, maxLength: 12 }), (name) => {
      const isValid = /^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$/.test(name)
      if (isValid) expect(() => checkServiceName(name)).not.toThrow()
      else expect(() => checkServiceName(name)).toThrow(`service "${name}"`)
    }),
  )
})

test('formatTaskName() tells replicas apart by slot and others by node', () => {
  expect(formatTaskName(task({ id: 't1', serviceId: 'web', slot: 2 }))).toBe('web.2.t1')
  expect(formatTaskName(task({ id: 't1', serviceId: 'web', slot: 0, nodeId: 'n1' }))).toBe(
    'web.n1.t1',
  )
})
