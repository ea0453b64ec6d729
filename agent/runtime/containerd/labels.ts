/**
 * What a container's record in containerd says besides what it runs: Swarm's labels for people and
 * tools (swarm-mode.md 3.3), and our own, by which a later daemon finds out how far the container is.
 * They are the only memory of a container that the runtime has.
 */
import type { Task } from '../../../proto/gen/objects.ts'
import type { PortConfig } from '../../../proto/gen/types.ts'
import type { Exit } from '../runtime.ts'
import { numberAt, objectsAt, parseJsonObject, stringAt } from './image/json.ts'

export const TASK_ID_LABEL = 'com.docker.swarm.task.id'
/** Set before the process is made: whatever has it was started, or may have been. */
export const STARTED_LABEL = 'io.tsswarm.started'
/** Set when it has ended; from then on containerd's own record of the process may go. */
export const EXIT_LABEL = 'io.tsswarm.exit'
export const PORTS_LABEL = 'io.tsswarm.ports'
export const ADDRESS_LABEL = 'io.tsswarm.address'
/** The named volumes it mounts, separated by spaces. */
export const VOLUMES_LABEL = 'io.tsswarm.volumes'
/** Where nerdctl and ctr look for it too. */
export const STOP_SIGNAL_LABEL = 'io.containerd.image.config.stop-signal'

/** The extension of a container's record that holds all of its labels, as JSON. */
export const LABELS_EXTENSION = 'io.tsswarm.labels'

/** containerd's limit on key and value together. */
const LABEL_BYTES_MAX = 4_096

export type PreparedFacts = {
  readonly stopSignal: string
  readonly address: string | undefined
  readonly volumes: readonly string[]
}

/** Every label of a prepared container, the user's first. */
export function newLabels(task: Task, facts: PreparedFacts): ReadonlyMap<string, string> {
  return new Map<string, string>([
    ...(task.spec?.container?.labels ?? []),
    ['com.docker.swarm.task', ''],
    [TASK_ID_LABEL, task.id],
    ['com.docker.swarm.task.name', taskName(task)],
    ['com.docker.swarm.node.id', task.nodeId],
    ['com.docker.swarm.service.id', task.serviceId],
    ['com.docker.swarm.service.name', task.serviceAnnotations?.name ?? ''],
    [STOP_SIGNAL_LABEL, facts.stopSignal],
    [ADDRESS_LABEL, facts.address ?? ''],
    [VOLUMES_LABEL, facts.volumes.join(' ')],
  ])
}

/** Those that containerd can hold as labels, for whoever looks there; an empty one it drops. */
export function selectStorable(labels: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const length = (text: string): number => Buffer.byteLength(text)
  return new Map(
    [...labels].filter(
      ([key, value]) => value !== '' && length(key) + length(value) <= LABEL_BYTES_MAX,
    ),
  )
}

export function formatPorts(ports: readonly PortConfig[]): string {
  return JSON.stringify({ ports })
}

/** As `formatPorts` wrote them; none where there is no label. */
export function parsePorts(text: string): readonly PortConfig[] {
  if (text === '') return []
  return objectsAt(parseJsonObject(text, 'the label of ports'), 'ports').map((port) => ({
    name: stringAt(port, 'name'),
    protocol: parseProtocol(stringAt(port, 'protocol')),
    targetPort: numberAt(port, 'targetPort'),
    publishedPort: numberAt(port, 'publishedPort'),
    publishMode: 'host',
  }))
}

export function formatExit(exit: Exit): string {
  const { exitCode, atMs } = exit
  const cause = exit.oomKilled ? 'oom' : ''
  // An error may be long, and half of it is better than a label that is refused.
  return JSON.stringify({ exitCode, atMs, cause, error: exit.error.slice(0, 1_000) })
}

/** As `formatExit` wrote it; undefined where the container has not ended. */
export function findExit(taskId: string, labels: ReadonlyMap<string, string>): Exit | undefined {
  const text = labels.get(EXIT_LABEL) ?? ''
  if (text === '') return undefined
  const value = parseJsonObject(text, 'the label of an exit')
  return {
    taskId,
    exitCode: numberAt(value, 'exitCode'),
    oomKilled: stringAt(value, 'cause') === 'oom',
    error: stringAt(value, 'error'),
    atMs: numberAt(value, 'atMs'),
  }
}

function taskName(task: Task): string {
  const place = task.slot === 0 ? task.nodeId : String(task.slot)
  return `${task.serviceAnnotations?.name ?? ''}.${place}.${task.id}`
}

function parseProtocol(text: string): PortConfig['protocol'] {
  return (['tcp', 'udp', 'sctp'] as const).find((name) => name === text) ?? 'tcp'
}
