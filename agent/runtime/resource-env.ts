/**
 * The environment variables by which a task learns which generic resources it was given:
 * `DOCKER_RESOURCE_KIND=value`, as Docker names them: of a discrete kind the number, of a named one
 * the names with commas between them. They come after the service's own, so that they win. What is
 * given is decided by the scheduler.
 */
import type { Task } from '../../proto/gen/objects.ts'
import type { ContainerSpec } from '../../proto/gen/specs.ts'

/** The container's spec with those variables of the task. */
export function withResourceEnv(container: ContainerSpec, task: Task): ContainerSpec {
  if (task.assignedGeneric.length === 0) return container
  const values = new Map<string, string[]>()
  for (const { kind, name, count } of task.assignedGeneric) {
    const ofKind = values.get(kind) ?? []
    ofKind.push(name === '' ? String(count) : name)
    values.set(kind, ofKind)
  }
  const given = [...values].map(
    ([kind, ofKind]) => `DOCKER_RESOURCE_${kind.toUpperCase()}=${ofKind.join(',')}`,
  )
  return { ...container, env: [...container.env, ...given] }
}
