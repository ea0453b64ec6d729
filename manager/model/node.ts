/**
 * What follows from a node object alone: whether it takes new tasks, and its architecture in one
 * spelling. Placement and drain rest on it (swarm-mode.md 1.2, 2.5). And how its state is changed, so
 * that everyone stamps alike since when it is so.
 */
import type { Node, NodeStatus } from '../../proto/gen/objects.ts'
import type { Platform } from '../../proto/gen/types.ts'

/** Whether new tasks may be placed on it. */
export function isNodeReady(node: Node): boolean {
  return node.status?.state === 'ready' && (node.spec?.availability ?? 'active') === 'active'
}

/** The node with this status, at cluster time `now`. */
export function withNodeStatus(node: Node, status: NodeStatus, now: number): Node {
  const isSame = node.status?.state === status.state
  return { ...node, status, stateSinceMs: isSame ? node.stateSinceMs : now }
}

/**
 * An architecture as images name it, whatever kernels call it: `x86_64` is `amd64`, `aarch64` is
 * `arm64`, every 32-bit ARM is `arm`, and every 32-bit x86 is `386`.
 */
export function normalArchitecture(architecture: string): string {
  const lower = architecture.toLowerCase()
  switch (lower) {
    case 'x86_64':
    case 'x86-64':
    case 'x64':
      return 'amd64'
    case 'aarch64':
    case 'arm64/v8':
      return 'arm64'
    case 'i386':
    case 'i486':
    case 'i586':
    case 'i686':
    case 'x86':
      return '386'
    default:
      // armv6l, armv7l, armv8l (a 64-bit processor in 32-bit mode), armhf, armel, arm/v7.
      return /^arm(?:v\d|hf|el|\/v\d)/.test(lower) ? 'arm' : lower
  }
}

/** Whether an image for `wanted` runs on the node; what is empty in it stands for anything. */
export function matchesPlatform(node: Node, wanted: Platform): boolean {
  const own = node.description?.platform
  if (own === undefined) return false
  const isArchitecture =
    wanted.architecture === '' ||
    normalArchitecture(wanted.architecture) === normalArchitecture(own.architecture)
  return isArchitecture && (wanted.os === '' || wanted.os.toLowerCase() === own.os.toLowerCase())
}
