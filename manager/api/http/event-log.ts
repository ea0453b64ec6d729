/**
 * EventLog: what happens to services, nodes, secrets and configs, as Docker's swarm events
 * (swarm-mode.md 6.6). It watches the applied state, so every manager tells the same events, and
 * remembers the last ones for those that come later and ask `since`. A change is told by comparing
 * the object with what it was in the view before; changes that say nothing to users are left out.
 */
import type { Meta, Node, Service } from '../../../proto/gen/objects.ts'
import type { Annotations } from '../../../proto/gen/specs.ts'
import { isEqual } from '../../model/equal.ts'
import { type Change, changedId } from '../../store/change.ts'
import type { View } from '../../store/view.ts'
import type { Backend } from '../backend.ts'

/** As many as Docker remembers. */
const REMEMBERED_MAX = 256

export type SwarmEvent = {
  readonly type: 'service' | 'node' | 'secret' | 'config'
  readonly action: 'create' | 'update' | 'remove'
  readonly id: string
  readonly attributes: ReadonlyMap<string, string>
  /** Labels of the object, for filters. */
  readonly labels: ReadonlyMap<string, string>
  readonly wallMs: number
}

export class EventLog {
  readonly #wallMs: () => number
  readonly #listeners = new Set<(event: SwarmEvent) => void>()
  readonly #stop: () => void
  #remembered: SwarmEvent[] = []
  /** The state that the next changes are compared with; undefined until the first step. */
  #before: View | undefined

  constructor(backend: Backend, wallMs: () => number) {
    this.#wallMs = wallMs
    this.#stop = backend.watch((changes, view) => this.#onChanges(changes, view))
  }

  /** The last events, oldest first. */
  remembered(): readonly SwarmEvent[] {
    return this.#remembered
  }

  /** Calls `onEvent` for each event from now on, until the returned function is called. */
  listen(onEvent: (event: SwarmEvent) => void): () => void {
    this.#listeners.add(onEvent)
    return () => this.#listeners.delete(onEvent)
  }

  close(): void {
    this.#stop()
    this.#listeners.clear()
  }

  #onChanges(changes: readonly Change[] | undefined, view: View): void {
    const before = this.#before
    this.#before = view
    // Steps are missing: what happened in them is not made up from two states.
    if (changes === undefined) return
    const wallMs = this.#wallMs()
    for (const change of changes) {
      const event = findEvent(change, before, wallMs)
      if (event !== undefined) this.#tell(event)
    }
  }

  #tell(event: SwarmEvent): void {
    this.#remembered.push(event)
    if (this.#remembered.length > REMEMBERED_MAX) this.#remembered.shift()
    for (const listener of this.#listeners) listener(event)
  }
}

type Specified = {
  readonly id: string
  readonly meta: Meta | undefined
  readonly spec: { readonly annotations: Annotations | undefined } | undefined
}

/** How events about one kind of object are told. */
type Telling<T> = {
  readonly type: SwarmEvent['type']
  readonly name: (object: T) => string
  /** What is told with its old and its new value when it changes; empty is absent. */
  readonly facts: (object: T) => ReadonlyMap<string, string>
}

const SERVICES: Telling<Service> = {
  type: 'service',
  name: specName,
  facts: ({ spec, updateStatus }) =>
    new Map([
      ['image', spec?.task?.container?.image ?? ''],
      ['replicas', spec?.mode?.kind === 'replicated' ? String(spec.mode.replicated.replicas) : ''],
      ['updatestate', updateStatus?.state.replaceAll('-', '_') ?? ''],
    ]),
}

const NODES: Telling<Node> = {
  type: 'node',
  name: (node) => specName(node) || (node.description?.hostname ?? ''),
  facts: ({ spec, status }) =>
    new Map([
      ['role', spec?.role ?? 'worker'],
      ['availability', spec?.availability ?? 'active'],
      ['state', status?.state ?? 'unknown'],
    ]),
}

const SECRETS: Telling<Specified> = { type: 'secret', name: specName, facts: () => new Map() }
const CONFIGS: Telling<Specified> = { ...SECRETS, type: 'config' }

function findEvent(
  change: Change,
  before: View | undefined,
  wallMs: number,
): SwarmEvent | undefined {
  const id = changedId(change)
  switch (change.table) {
    case 'services':
      return tell(SERVICES, { ...pair(change, before?.services.get(id)), wallMs })
    case 'nodes':
      return tell(NODES, { ...pair(change, before?.nodes.get(id)), wallMs })
    case 'secrets':
      return tell(SECRETS, { ...pair(change, before?.secrets.get(id)), wallMs })
    case 'configs':
      return tell(CONFIGS, { ...pair(change, before?.configs.get(id)), wallMs })
    case 'tasks':
    case 'clusters':
      return undefined
    default:
      return change satisfies never
  }
}

type Pair<T> = {
  readonly kind: SwarmEvent['action']
  readonly id: string
  readonly was: T | undefined
  readonly is: T | undefined
}

function pair<T extends Specified>(
  change:
    | { readonly kind: 'create' | 'update'; readonly object: T }
    | { readonly kind: 'remove'; readonly id: string },
  was: T | undefined,
): Pair<T> {
  return change.kind === 'remove'
    ? { kind: change.kind, id: change.id, was, is: undefined }
    : { kind: change.kind, id: change.object.id, was, is: change.object }
}

function tell<T extends Specified>(
  telling: Telling<T>,
  { kind, id, was, is, wallMs }: Pair<T> & { readonly wallMs: number },
): SwarmEvent | undefined {
  const object = is ?? was
  const changes = was && is ? changedFacts(telling.facts(was), telling.facts(is)) : new Map()
  if (was && is && changes.size === 0 && isEqual(was.spec, is.spec)) return undefined
  return {
    type: telling.type,
    action: kind,
    id,
    attributes: new Map([['name', object === undefined ? '' : telling.name(object)], ...changes]),
    labels: object?.spec?.annotations?.labels ?? new Map(),
    wallMs,
  }
}

function changedFacts(
  was: ReadonlyMap<string, string>,
  is: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const changed = new Map<string, string>()
  for (const [key, value] of is) {
    const before = was.get(key) ?? ''
    if (value === before) continue
    if (value !== '') changed.set(`${key}.new`, value)
    if (before !== '') changed.set(`${key}.old`, before)
  }
  return changed
}

function specName({ spec }: Specified): string {
  return spec?.annotations?.name ?? ''
}
