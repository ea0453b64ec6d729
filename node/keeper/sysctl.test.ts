/**
 * Which kernel settings may be named at all; setting one for real is the routed link's test.
 */
import { expect, test } from 'vitest'
import { writeSysctl } from './sysctl.ts'

test.each([
  ['/etc/passwd', /no kernel setting/],
  ['net/../../../etc/passwd', /no kernel setting/],
  ['net/ipv4/..', /no kernel setting/],
  ['vm/swappiness', /no kernel setting/],
  ['net/ipv4/no_such_setting', /the kernel has no setting net\/ipv4\/no_such_setting/],
])('setting "%s" is refused', (path, message) => {
  expect(() => writeSysctl(path, '1')).toThrow(message)
})
