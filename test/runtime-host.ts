/**
 * A Host of which nothing works but what a test gives it: for tests of parts that use one or two of
 * its calls.
 */
import type { Host } from '../agent/runtime/containerd/host.ts'
import { SwarmError } from '../lib/errors.ts'

const refuse = async (): Promise<never> => {
  throw new SwarmError('unimplemented', 'the test gave the host no such call')
}

export function newHost(calls: Partial<Host> = {}): Host {
  return {
    facts: {
      containerdAddress: 'unix:///nowhere',
      runtimeRoot: '/nowhere/runc',
      logDirectory: '/nowhere/logs',
      snapshotter: 'overlayfs',
      cgroupDriver: 'cgroupfs',
      cgroupParent: '/tsswarm/test',
      warnings: [],
    },
    openLogs: refuse,
    closeLogs: refuse,
    attachNetwork: refuse,
    detachNetwork: refuse,
    openPorts: refuse,
    closePorts: refuse,
    run: refuse,
    ...calls,
  }
}
