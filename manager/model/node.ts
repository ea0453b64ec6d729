/**
 * What follows from a node object alone: whether it takes new tasks, and its architecture in one
 * spelling. Placement and drain rest on it (swarm-mode.md 1.2, 2.5).
 */
import type { Node } from '../../proto/gen/objects.ts'

/** Whether new tasks may be placed on it. */
export function isNodeReady(node: Node): boolean {
  return node.status?.state === 'ready' && (node.spec?.availability ?? 'active') === 'active'
}

/** `x86_64` and `amd64` are one architecture, `aarch64` and `arm64` another. */
export function normalArchitecture(architecture: string): string {
  switch (architecture.toLowerCase()) {
    case 'x86_64':
    case 'x86-64':
      return 'amd64'
    case 'aarch64':
      return 'arm64'
    default:
      return architecture.toLowerCase()
  }
}
