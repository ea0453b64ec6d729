/**
 * Which name servers a task is given, from the host's files.
 */
import { expect, test } from 'vitest'
import { planResolvConf } from './resolver.ts'

test.each([
  [
    'servers that a task reaches are kept, with search and options',
    '# made by hand\nnameserver 192.0.2.53\nnameserver ::1\nsearch example.org\noptions ndots:2\n',
    '',
    'nameserver 192.0.2.53\nsearch example.org\noptions ndots:2\n',
  ],
  [
    'a loopback resolver is replaced by those it asks itself',
    'nameserver 127.0.0.53\nsearch lan\n',
    'nameserver 198.51.100.1\nnameserver fe80::1\n',
    'nameserver 198.51.100.1\nsearch lan\n',
  ],
  [
    'without any, public ones are taken',
    'nameserver 127.0.0.1\n',
    '',
    'nameserver 8.8.8.8\nnameserver 8.8.4.4\n',
  ],
])('planResolvConf(): %s', (_name, own, upstream, expected) => {
  expect(planResolvConf(own, upstream)).toBe(expected)
})
