/**
 * Writes kernel settings below /proc/sys: what `sysctl -w` does, without a process, and without
 * the package procps, which may be missing.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'

const ROOT = '/proc/sys'
const PATH = /^(?:net|fs|kernel)(?:\/[A-Za-z0-9_.-]+)+$/

/**
 * The setting (`net/ipv4/ip_forward`) has this value. Throws SwarmError 'not-found' where the kernel
 * has no such setting, 'permission-denied' where it cannot be changed.
 */
export function writeSysctl(path: string, value: string): void {
  const file = join(ROOT, path)
  if (!PATH.test(path) || path.split('/').includes('..')) {
    throw new SwarmError('invalid-argument', `"${path}" is no kernel setting`)
  }
  if (!existsSync(file)) throw new SwarmError('not-found', `the kernel has no setting ${path}`)
  if (readFileSync(file, 'utf8').trim() === value) return
  try {
    writeFileSync(file, value)
  } catch (cause) {
    throw new SwarmError('permission-denied', `kernel setting ${path} cannot be set to ${value}`, {
      cause,
    })
  }
}
