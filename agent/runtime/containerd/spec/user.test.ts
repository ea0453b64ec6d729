/**
 * Users and groups, by name and number, against an image's files.
 */
import { expect, test } from 'vitest'
import { resolveUser } from './user.ts'

const files = {
  passwd: [
    '# comment',
    'root:x:0:0:root:/root:/bin/sh',
    'web:x:33:34:web:/var/www:/bin/false',
    '1000:x:7:8:a name of digits:/:/bin/sh',
    'broken:x:no:1::',
    'late:x:5000:5001::',
    '',
  ].join('\n'),
  group: [
    'root:x:0:',
    'wheel:x:10:root,web',
    'www:x:34:web',
    'audio:x:11:web',
    'odd:x:nan:web',
    '',
  ].join('\r\n'),
}

test.each([
  ['', { uid: 0, gid: 0, additionalGids: [10] }],
  ['root', { uid: 0, gid: 0, additionalGids: [10] }],
  ['0', { uid: 0, gid: 0, additionalGids: [10] }],
  ['web', { uid: 33, gid: 34, additionalGids: [10, 34, 11] }],
  ['33', { uid: 33, gid: 34, additionalGids: [10, 34, 11] }],
  ['web:audio', { uid: 33, gid: 11, additionalGids: [] }],
  ['web:77', { uid: 33, gid: 77, additionalGids: [] }],
  ['4711', { uid: 4711, gid: 0, additionalGids: [] }],
  ['4711:4712', { uid: 4711, gid: 4712, additionalGids: [] }],
  ['1000', { uid: 7, gid: 8, additionalGids: [] }],
  ['late', { uid: 5000, gid: 5001, additionalGids: [] }],
])('resolveUser of "%s"', (user, expected) => {
  expect(resolveUser(user, files)).toEqual(expected)
})

test.each([
  ['nobody', 'unable to find user nobody: no matching entries in passwd file'],
  ['broken', 'unable to find user broken: no matching entries in passwd file'],
  ['web:none', 'unable to find group none: no matching entries in group file'],
  ['99999999999', 'unable to find user 99999999999: no matching entries in passwd file'],
  ['-1', 'unable to find user -1: no matching entries in passwd file'],
])('resolveUser refuses "%s"', (user, message) => {
  expect(() => resolveUser(user, files)).toThrow(message)
})

test('resolveUser takes an image without files', () => {
  expect(resolveUser('', { passwd: '', group: '' })).toEqual({
    uid: 0,
    gid: 0,
    additionalGids: [],
  })
})
