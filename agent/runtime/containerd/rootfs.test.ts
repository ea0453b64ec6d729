/**
 * Paths of an image looked up without following its links on the host, and the command that mounts a
 * view of it.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { emptyMount } from '../../../proto/gen/containerd/types.ts'
import { findInRoot, mountCommand } from './rootfs.ts'

const root = mkdtempSync(join(tmpdir(), 'tsswarm-root-'))
afterAll(() => rmSync(root, { recursive: true }))

mkdirSync(join(root, 'etc'))
mkdirSync(join(root, 'usr/etc'), { recursive: true })
writeFileSync(join(root, 'etc/passwd'), '')
const links: Readonly<Record<string, string>> = {
  absolute: '/etc',
  relative: 'usr/../etc',
  climbing: '../../../../../../../../etc',
  chained: 'absolute/passwd',
  'usr/up': '..',
  loop: 'loop',
  there: 'back',
  back: 'there',
}
for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name))

test.each([
  ['/', '/'],
  ['/etc/passwd', 'etc/passwd'],
  ['etc//./passwd', 'etc/passwd'],
  ['/../../etc/passwd', 'etc/passwd'],
  ['/absolute/passwd', 'etc/passwd'],
  ['/relative/passwd', 'etc/passwd'],
  ['/climbing/passwd', 'etc/passwd'],
  ['/chained', 'etc/passwd'],
  ['/usr/up/etc', 'etc'],
  ['/absolute/../usr', 'usr'],
  ['/etc/none', undefined],
  ['/etc/passwd/x', undefined],
  ['/loop', undefined],
  ['/there/x', undefined],
])('findInRoot of %s', async (path, expected) => {
  expect(await findInRoot(root, path)).toBe(
    expected === undefined ? undefined : join(root, expected),
  )
})

test('mountCommand names the layers by what they do not share', () => {
  const snapshots = '/state/io.containerd.snapshotter.v1.overlayfs/snapshots'
  const options = ['index=off', `lowerdir=${snapshots}/12/fs:${snapshots}/1/fs`]

  expect(mountCommand({ ...emptyMount, type: 'overlay', options }, '/view')).toEqual([
    ...['env', '-C', snapshots, 'LIBMOUNT_FORCE_MOUNT2=always'],
    ...['mount', '-t', 'overlay', '-o', 'ro,index=off,lowerdir=12/fs:1/fs', 'overlay', '/view'],
  ])
})
