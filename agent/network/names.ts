/**
 * What this host's things are called in the kernel. Every name carries the host's hash, because
 * several hosts may share a network namespace, and named namespaces are shared by all of a machine
 * (host.md 3); so what was left behind is recognised as ours and as whose.
 */
import { assert } from '../../lib/assert.ts'

const LINK_NAME_MAX = 15

/** The beginning of the names of all the host's links: `ts` and the hash. */
export function linkPrefix(hash: string): string {
  return `ts${hash}`
}

/** The host's end of a task's link, by the place of the task's address in the pool. */
export function linkName(hash: string, index: number): string {
  const name = `${linkPrefix(hash)}-${index.toString(36)}`
  assert(name.length <= LINK_NAME_MAX, 'a link has a name the kernel takes', { name })
  return name
}

/** The task's network namespace, a file in /run/netns. */
export function namespaceName(hash: string, taskId: string): string {
  return `ts-${hash}-${taskId}`
}

/** The task of a namespace of this host, or undefined where the name is not one's. */
export function findTaskOfNamespace(hash: string, name: string): string | undefined {
  const prefix = namespaceName(hash, '')
  return name.startsWith(prefix) ? name.slice(prefix.length) : undefined
}

/** The host's nftables table (family inet). */
export function tableName(hash: string): string {
  return `tsswarm-${hash}`
}
