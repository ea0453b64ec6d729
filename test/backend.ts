/**
 * TestBackend: port Backend on a store of one manager, without Raft, agents or network. Requests are
 * evaluated by the production handlers and committed at once; the production control loops then run
 * until none has a reason to, and an obedient agent on each node runs what it is given. So a client
 * of the HTTP API sees a swarm that works, in no time.
 */
import { assert } from '../lib/assert.ts'
import { SwarmError } from '../lib/errors.ts'
import { newSeededRandom } from '../lib/random.ts'
import type {
  Backend,
  InitRequest,
  JoinRequest,
  LocalNode,
  LogEvent,
  LogsRequest,
} from '../manager/api/backend.ts'
import { handleWrite, newLoops } from '../manager/handle.ts'
import { Leader } from '../manager/leader.ts'
import { getState, withStatus } from '../manager/model/task.ts'
import type { Change } from '../manager/store/change.ts'
import type { Handled } from '../manager/store/handler.ts'
import type { View } from '../manager/store/view.ts'
import {
  emptyCaller,
  emptyWriteReply,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import {
  emptyContainerStatus,
  emptyTaskStatus,
  type Health,
  type Task,
} from '../proto/gen/objects.ts'
import { isTerminal } from '../proto/task-state.ts'
import { applyTo, cluster, node, storeWith, type World } from './build.ts'

export const WALL_MS = 1_700_000_000_000
/** Cluster time between two steps of the play: longer than any delay of a fresh spec. */
const STEP_MS = 10_000
const STEPS_MAX = 200

/** A swarm of two nodes; `node1` is the manager that serves. */
export const SMALL_WORLD: World = {
  clusters: [
    cluster({
      rootCa: { workerToken: 'SWMTKN-1-root-worker', managerToken: 'SWMTKN-1-root-manager' },
    }),
  ],
  nodes: [
    node({
      id: 'node1',
      description: { hostname: 'alpha' },
      spec: { role: 'manager' },
      member: { raftId: 1, nodeId: 'node1', addr: '10.0.0.1:2377' },
    }),
    node({ id: 'node2', description: { hostname: 'beta' }, status: { addr: '10.0.0.2' } }),
  ],
}

const LOCAL: LocalNode = {
  nodeId: 'node1',
  clusterId: 'cluster1',
  state: 'active',
  error: '',
  isManager: true,
  addr: '10.0.0.1',
  hostname: 'alpha',
  version: '0.1.0',
  platform: { architecture: 'x86_64', os: 'linux' },
  kernelVersion: '6.1.0',
  operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
  nanoCpus: 4_000_000_000,
  memoryBytes: 8 * 2 ** 30,
  engineLabels: new Map([['disk', 'fast']]),
  runtime: 'containerd',
  stateDirectory: '/var/lib/tsswarm',
  warnings: [],
  runningContainers: 0,
  stoppedContainers: 0,
  managers: [{ nodeId: 'node1', addr: '10.0.0.1:2377', isLeader: true, isReachable: true }],
}

export class TestBackend implements Backend {
  readonly store: ReturnType<typeof storeWith>
  /** What the node says of itself; tests change it. */
  node: LocalNode
  /** What `logs` gives, whatever is asked; the last request is in `logsRequest`. */
  logEvents: readonly LogEvent[] = []
  logsRequest: LogsRequest | undefined
  /** What init, join and leave were called with. */
  readonly calls: (InitRequest | JoinRequest | { readonly force: boolean })[] = []
  /** Of containers of this node, by task. */
  readonly health: Map<string, Health> = new Map()
  readonly #random = newSeededRandom('backend')
  readonly #watchers = new Set<Parameters<Backend['watch']>[0]>()
  readonly #leader = new Leader(newLoops())
  #now = 1_000

  constructor(world: World = SMALL_WORLD, local: Partial<LocalNode> = {}) {
    this.store = storeWith(world)
    this.node = { ...LOCAL, ...local }
  }

  local(): LocalNode {
    return this.node
  }

  findHealth(taskId: string): Health | undefined {
    return this.health.get(taskId)
  }

  async read(_consistency: 'linearizable' | 'stale'): Promise<View> {
    this.#requireManager()
    return this.store.view()
  }

  async write(body: NonNullable<WriteRequest['body']>): Promise<WriteReply> {
    this.#requireManager()
    const { changes, reply } = this.#handle({ caller: emptyCaller, body })
    this.commit(changes)
    const { index } = this.store.view()
    this.#play()
    return { ...emptyWriteReply, ...reply, index }
  }

  async init(request: InitRequest): Promise<string> {
    if (this.node.state !== 'inactive')
      throw new SwarmError(
        'unavailable',
        'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
      )
    this.calls.push(request)
    this.node = { ...this.node, state: 'active', isManager: true }
    return this.node.nodeId
  }

  async join(request: JoinRequest): Promise<void> {
    this.calls.push(request)
    this.node = { ...this.node, state: 'active', isManager: false }
  }

  async leave(options: { readonly force: boolean }): Promise<void> {
    if (this.node.state === 'inactive')
      throw new SwarmError('unavailable', 'This node is not part of a swarm')
    this.calls.push(options)
    this.node = { ...this.node, state: 'inactive', isManager: false }
  }

  async *logs(request: LogsRequest): AsyncGenerator<LogEvent> {
    this.logsRequest = request
    yield* this.logEvents
  }

  watch(onChanges: Parameters<Backend['watch']>[0]): () => void {
    this.#watchers.add(onChanges)
    return () => this.#watchers.delete(onChanges)
  }

  metrics(): string {
    return '# TYPE swarm_manager_leader gauge\nswarm_manager_leader 1\n'
  }

  /** The changes are committed, whoever makes them. */
  commit(changes: readonly Change[]): void {
    if (changes.length === 0) return
    applyTo(this.store, changes, this.#now)
    this.#leader.noteChanges(changes)
    for (const watcher of this.#watchers) watcher(changes, this.store.view())
  }

  #handle(request: WriteRequest): Handled {
    return handleWrite(this.store.view(), request, {
      now: this.#now,
      wallMs: WALL_MS,
      random: this.#random,
      caller: emptyCaller,
      managers: this.node.managers.map(({ nodeId, isReachable }) => ({
        nodeId,
        isVoter: true,
        isReachable,
      })),
    })
  }

  /** Loops and agents take turns until nothing happens any more. */
  #play(): void {
    for (let step = 0; step < STEPS_MAX; step++) {
      const before = this.store.view().index
      for (;;) {
        const run = this.#leader.runNext({
          view: this.store.view(),
          now: this.#now,
          wallMs: WALL_MS,
          random: this.#random,
        })
        if (run === undefined) break
        assert((run.outcome.problems ?? []).length === 0, 'no object is set aside', {
          loop: run.name,
        })
        this.commit(run.outcome.changes)
      }
      this.commit([...this.store.view().tasks.list()].flatMap((task) => this.#obey(task)))
      if (this.store.view().index === before && this.#leader.nextMs() === undefined) return
      this.#now += STEP_MS
    }
  }

  /** What a node's agent reports next of the task. */
  #obey(task: Task): readonly Change[] {
    const state = getState(task)
    if (task.nodeId === '' || state === 'new' || state === 'pending' || isTerminal(state)) return []
    const next = task.desiredState === 'running' ? 'running' : 'shutdown'
    if (state === next || task.desiredState === 'ready') return []
    const status = {
      ...emptyTaskStatus,
      state: next,
      timestampMs: WALL_MS,
      message: next === 'running' ? 'started' : 'shutdown',
      container: { ...emptyContainerStatus, containerId: `c-${task.id}`, pid: 4_711 },
    } as const
    return [{ kind: 'update', table: 'tasks', object: withStatus(task, status, this.#now) }]
  }

  #requireManager(): void {
    if (this.node.state !== 'active')
      throw new SwarmError(
        'unavailable',
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
      )
    if (!this.node.isManager)
      throw new SwarmError(
        'unavailable',
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.",
      )
  }
}
