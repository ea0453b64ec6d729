/**
 * Control groups of the host's own processes: the keeper's and containerd's, apart from the
 * daemon's, so that what ends the daemon's group leaves them. Where systemd is PID 1 groups are
 * its to make, by units (`tsswarm-keeper.service`), and nothing is done here.
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const MOUNT = '/sys/fs/cgroup'
/** Version 1: the hierarchies by which processes are ended or counted together. */
const HIERARCHIES = ['memory', 'pids', 'freezer', 'systemd']

/** Whether systemd is PID 1. */
export function hasSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** Whether the host has cgroup version 2 alone. */
export function isUnified(): boolean {
  return existsSync(join(MOUNT, 'cgroup.controllers'))
}

/**
 * The process is in the group `name` (a path) of each hierarchy, as far as there are any and this
 * user may: false where it stayed where it was.
 */
export function enterCgroup(name: string, pid: number): boolean {
  if (hasSystemd()) return false
  const roots = listHierarchies()
  try {
    for (const root of roots) {
      mkdirSync(join(root, name), { recursive: true })
      writeFileSync(join(root, name, 'cgroup.procs'), String(pid))
    }
    return roots.length > 0
  } catch {
    return false
  }
}

/** The process is in no group of ours any more. */
export function leaveCgroup(pid: number): void {
  enterCgroup('', pid)
}

/** The groups are gone, and their parents where nothing else is in them. */
export function removeCgroup(name: string): void {
  for (const root of listHierarchies()) {
    for (let path = name; path !== '.'; path = dirname(path)) {
      try {
        rmdirSync(join(root, path))
      } catch {
        break
      }
    }
  }
}

function listHierarchies(): readonly string[] {
  const roots = isUnified() ? [MOUNT] : HIERARCHIES.map((each) => join(MOUNT, each))
  return roots.filter((root) => existsSync(join(root, 'cgroup.procs')))
}
