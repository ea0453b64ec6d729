/**
 * Names: what a service, secret or config may be called, and what a task is called. The rules and
 * the texts of refusals are Swarm's, which clients match (swarm-mode.md 1.0). Whether a name is
 * taken is decided by the request handlers, on the index of names.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { Task } from '../../proto/gen/objects.ts'

export const SERVICE_NAME_LENGTH_MAX = 63
export const SECRET_NAME_LENGTH_MAX = 64

// Both are written without nested repetition, so that no name makes the match slow.
const SERVICE_NAME = /^[a-zA-Z0-9](?:[-_]*[a-zA-Z0-9])*$/
const SECRET_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-_.]*[a-zA-Z0-9])?$/

/** Throws SwarmError `invalid-argument` unless a service may have this name. */
export function checkServiceName(name: string): void {
  if (name === '') throw refusal('service', name, 'name must be provided')
  if (name.length > SERVICE_NAME_LENGTH_MAX)
    throw refusal('service', name, `name must be ${SERVICE_NAME_LENGTH_MAX} characters or fewer`)
  if (!SERVICE_NAME.test(name))
    throw refusal('service', name, 'name must be valid as a DNS name component')
}

/** Throws SwarmError `invalid-argument` unless a secret or config may have this name. */
export function checkSecretName(kind: 'secret' | 'config', name: string): void {
  if (name === '') throw refusal(kind, name, 'name must be provided')
  if (name.length > SECRET_NAME_LENGTH_MAX || !SECRET_NAME.test(name))
    throw refusal(
      kind,
      name,
      `invalid name, only ${SECRET_NAME_LENGTH_MAX} [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]`,
    )
}

/** `service.slot.id`, and `service.node.id` for a task of a global service. */
export function formatTaskName(task: Task): string {
  const place = task.slot === 0 ? task.nodeId : String(task.slot)
  return `${task.serviceAnnotations?.name ?? ''}.${place}.${task.id}`
}

function refusal(kind: string, name: string, why: string): SwarmError {
  const subject = name === '' ? kind : `${kind} "${name.slice(0, 100)}"`
  return new SwarmError('invalid-argument', `${subject}: ${why}`, { facts: { kind, name } })
}
