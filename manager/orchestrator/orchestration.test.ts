/**
 * The orchestrators together under random users, nodes, agents and leader changes: what must hold
 * after every event (peers.md 3.4, T1 to T3 and T8, and the rule of slots), that no leader would see
 * more to do than the one that saw every change, and that all comes to rest once faults stop.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { defined } from '../../lib/assert.ts'
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import {
  type Disconnect,
  emptyAnnotations,
  emptyContainerSpec,
  emptyNodeSpec,
  emptyPlacement,
  emptyRestartPolicy,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type ServiceSpec,
  type UpdateConfig,
} from '../../proto/gen/specs.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../../proto/task-state.ts'
import { node, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'
import { newDirtyTest } from '../model/dirty.ts'
import { withNodeStatus } from '../model/node.ts'
import { compareAge, getState, isDead } from '../model/task.ts'
import type { View } from '../store/view.ts'
import { isFilled, isMissing, listSlots, listWanted, type Slot } from './slots.ts'

const SERVICES = ['web', 'agent'] as const
const NODES = ['n1', 'n2', 'n3', 'n4'] as const
/** How long drains wait. */
const DRAINS_MS = [30_000, 0, 3_600_000] as const
const LIFE: readonly TaskState[] = [
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
]

type Event = {
  readonly kind: 'agent' | 'agents' | 'time' | 'node' | 'spec' | 'leader'
  readonly a: number
  readonly b: number
}

const events = fc.array(
  fc.record<Event>({
    kind: fc.constantFrom(
      'agent',
      'agent',
      'agents',
      'agents',
      'agents',
      'time',
      'time',
      'node',
      'spec',
      'leader',
    ),
    a: fc.nat(11),
    b: fc.nat(11),
  }),
  { maxLength: 80 },
)

type Setup = {
  readonly replicas: number
  readonly order: UpdateConfig['order']
  readonly parallelism: number
  readonly delayMs: number
  readonly failureAction: UpdateConfig['failureAction']
  readonly condition: 'any' | 'on-failure' | 'none'
  readonly maxAttempts: number
  readonly windowMs: number
  readonly maxUnavailable: number | undefined
  readonly disconnect: Disconnect | undefined
}

const REPLACED = { lostAfterMs: 20_000, stopAfterMs: 0, keep: 'replacement' } as const

const setups = fc.record<Setup>({
  replicas: fc.nat(5),
  order: fc.constantFrom('stop-first', 'start-first'),
  parallelism: fc.nat(3),
  delayMs: fc.constantFrom(0, 0, 2_000, 10_000),
  failureAction: fc.constantFrom('pause', 'continue'),
  condition: fc.constantFrom('any', 'any', 'on-failure', 'none'),
  maxAttempts: fc.constantFrom(0, 0, 2),
  windowMs: fc.constantFrom(0, 20_000),
  maxUnavailable: fc.constantFrom(undefined, 1, 2),
  disconnect: fc.constantFrom<Disconnect | undefined>(
    undefined,
    REPLACED,
    { ...REPLACED, keep: 'original' },
    { lostAfterMs: 0, stopAfterMs: 0, keep: 'original' },
    { lostAfterMs: 0, stopAfterMs: 10_000, keep: 'replacement' },
  ),
})

test('orchestration keeps its rules at every step and comes to rest', () => {
  fc.assert(
    fc.property(setups, events, (setup, list) => {
      const play = new Play(setup)
      for (const event of list) play.step(event)
      play.heal()
      play.checkRest()
    }),
    { numRuns: 300 },
  )
})

class Play {
  readonly #setup: Setup
  readonly #world: Orchestration
  /** Desired states after the step before, by task. */
  #desired = new Map<string, string>()
  /** How many slots were being replaced, and how many held two, after the step before. */
  #inFlight = new Map<string, number>()
  #doubled = new Map<string, number>()

  constructor(setup: Setup) {
    this.#setup = setup
    this.#world = new Orchestration({
      nodes: NODES.map((id) => node({ id })),
      services: [
        service({ id: 'web', spec: newSpec(setup, 'replicated') }),
        service({ id: 'agent', spec: newSpec(setup, 'global') }),
      ],
    })
    this.#world.watch = (before, after) => this.#checkBudgets(before, after)
    this.#world.settle()
    this.#check()
  }

  step(event: Event): void {
    const { a, b } = event
    const before = this.#world.view
    if (event.kind === 'agent') this.#agent(a, b)
    else if (event.kind === 'agents') this.#agents()
    else if (event.kind === 'time')
      this.#world.advance([1, 100, 1_000, 5_000, 20_000, 61_000, 90_000_000][a % 7] ?? 0)
    else if (event.kind === 'node') this.#node(NODES[a % NODES.length] ?? 'n1', b)
    else if (event.kind === 'spec') this.#spec(SERVICES[a % 3 === 0 ? 1 : 0], b)
    else {
      this.#world.changeLeader()
      this.#world.settle()
    }
    this.#check()
    if (event.kind === 'leader') expect(this.#world.view).toBe(before)
  }

  /** Faults stop: every node is back, agents do as they are told, time goes on. */
  heal(): void {
    for (const id of NODES)
      this.#world.setNode(
        node({
          id,
          spec: { annotations: { labels: new Map([['zone', 'a']]) } },
          stateSinceMs: this.#world.now,
        }),
      )
    this.#check()
    for (let round = 0; round < 400; round++) {
      const before = this.#world.view
      this.#agents()
      this.#check()
      const next = this.#world.nextMs()
      if (this.#world.view !== before) continue
      if (next === undefined) return
      this.#world.advance(next - this.#world.now)
      this.#check()
    }
    throw new Error('it does not come to rest')
  }

  /** L1, L2, L3 and L5. */
  checkRest(): void {
    for (const id of SERVICES) {
      const service = this.#world.getService(id)
      const slots = listSlots(this.#world.view, service)
      const filled = slots.filter((slot) => isFilled(slot.tasks, this.#world.now))
      expect(filled.length).toBe(countPlaces(service))
      for (const slot of slots) {
        const wanted = listWanted(slot.tasks)
        expect(wanted.every((task) => getState(task) === 'running')).toBe(true)
        expect(slot.tasks.filter(isDead).length).toBeLessThanOrEqual(5)
        if (service.updateStatus?.state !== 'paused' && orderOf(this.#setup) === 'stop-first')
          expect(wanted.length).toBeLessThanOrEqual(1)
      }
      expect(['paused', 'completed', undefined]).toContain(service.updateStatus?.state)
      if (service.updateStatus?.state !== 'paused' && this.#setup.condition === 'any')
        if (this.#setup.maxAttempts === 0)
          expect(filled.flatMap(this.#dirtyIn(service))).toEqual([])
    }
  }

  #dirtyIn(service: Service): (slot: Slot) => readonly Task[] {
    const isDirty = newDirtyTest(service, (id) => this.#world.view.nodes.get(id))
    return (slot) => listWanted(slot.tasks).filter(isDirty)
  }

  /** One task's agent does something, well or not. */
  #agent(a: number, b: number): void {
    const tasks = this.#listReachable()
    const task = tasks[a % Math.max(1, tasks.length)]
    if (task === undefined) return
    const state = getState(task)
    const isStarted = compareTaskState(state, 'starting') >= 0
    if (b < 4) this.#world.report(task.id, isStarted ? 'failed' : 'rejected')
    else if (b === 4 && state === 'running') this.#world.report(task.id, 'complete')
    else this.#progress(task)
  }

  /** Every agent does its next step, well. */
  #agents(): void {
    for (const task of this.#listReachable())
      if (this.#world.view.tasks.get(task.id) === task) this.#progress(task)
  }

  #progress(task: Task): void {
    const state = getState(task)
    const isThere = state === 'running' || (state === 'ready' && task.desiredState === 'ready')
    if (isWanted(task.desiredState) && isThere) return
    const next = isWanted(task.desiredState)
      ? LIFE.find((later) => compareTaskState(later, state) > 0)
      : 'shutdown'
    this.#world.report(task.id, defined(next, 'a task that does not run has a next state'))
  }

  /** Tasks on nodes that answer, which have not ended. */
  #listReachable(): readonly Task[] {
    return [...this.#world.view.tasks.list()].filter(
      (task) =>
        compareTaskState(getState(task), 'assigned') >= 0 &&
        !isTerminal(getState(task)) &&
        this.#world.view.nodes.get(task.nodeId)?.status?.state === 'ready',
    )
  }

  #node(id: string, b: number): void {
    const present = this.#world.view.nodes.get(id)
    if (present === undefined) this.#world.setNode(node({ id }))
    else if (b < 8) this.#world.setNode(changeNode(present, b, this.#world.now))
    else if (present.status?.state === 'down')
      this.#world.write([{ kind: 'remove', table: 'nodes', id }])
  }

  #spec(id: string, b: number): void {
    const { spec } = this.#world.getService(id)
    if (spec !== undefined) this.#world.setSpec(id, changeSpec(spec, b))
  }

  #check(): void {
    for (const [name, outcome] of this.#world.lookAtAll()) {
      expect([name, outcome.changes]).toEqual([name, []])
      const next = this.#world.nextMs() ?? Number.POSITIVE_INFINITY
      expect(next).toBeLessThanOrEqual(outcome.nextMs ?? Number.POSITIVE_INFINITY)
    }
    for (const id of SERVICES) this.#checkService(this.#world.getService(id))
    this.#desired = new Map(
      [...this.#world.view.tasks.list()].map((task) => [task.id, task.desiredState]),
    )
  }

  #checkService(service: Service): void {
    const slots = listSlots(this.#world.view, service)
    for (const slot of slots) this.#checkSlot(slot)
    const parallelism = service.spec?.update?.parallelism || Number.POSITIVE_INFINITY
    const inFlight = slots.filter((slot) => this.#isBeingReplaced(service, slot)).length
    const doubled = slots.filter((slot) => this.#isDoubled(service, slot)).length
    this.#checkWithin(this.#inFlight, service.id, { count: inFlight, parallelism })
    this.#checkWithin(this.#doubled, service.id, { count: doubled, parallelism })
  }

  /** In one step no more slots lose what ran there than their service's budget leaves. */
  #checkBudgets(before: View, after: View): void {
    for (const service of after.services.list()) {
      const max = service.spec?.disruptionBudget?.maxUnavailable
      const was = before.services.get(service.id)
      if (max === undefined || was === undefined) continue
      const taken = listSlots(before, was).filter((slot) => isTakenDown(slot, after, service))
      if (taken.length === 0) continue
      const wanted = listSlots(before, was).filter((slot) => listWanted(slot.tasks).length > 0)
      const { mode } = service.spec ?? {}
      const done = listSlots(before, was).filter(
        ({ tasks }) => listWanted(tasks).length === 0 && isFilled(tasks, this.#world.now),
      )
      const count =
        mode?.kind === 'replicated' ? mode.replicated.replicas - done.length : wanted.length
      expect(count - wanted.filter(isServing).length + taken.length).toBeLessThanOrEqual(max)
    }
  }

  /** T8: an update takes no more slots at once than it may; what was more before may stay so. */
  #checkWithin(
    before: Map<string, number>,
    id: string,
    { count, parallelism }: { readonly count: number; readonly parallelism: number },
  ): void {
    expect(count).toBeLessThanOrEqual(Math.max(parallelism, before.get(id) ?? 0))
    before.set(id, count)
  }

  /** Its new task neither ran nor failed yet. */
  #isBeingReplaced(service: Service, slot: Slot): boolean {
    const isDirty = newDirtyTest(service, (id) => this.#world.view.nodes.get(id))
    return slot.tasks.some(
      (task) =>
        task.madeByUpdate &&
        isWanted(task.desiredState) &&
        task.runningClusterMs === 0 &&
        task.endedClusterMs === 0 &&
        !isDirty(task),
    )
  }

  /** Two tasks of it are meant to run, and no failure of the new one was put up with. */
  #isDoubled(service: Service, slot: Slot): boolean {
    const running = listWanted(slot.tasks).filter((task) => task.desiredState === 'running')
    return running.length > 1 && this.#isBeingReplaced(service, slot)
  }

  #checkSlot(slot: Slot): void {
    const running = slot.tasks.filter((task) => task.desiredState === 'running' && !isMissing(task))
    const held = slot.tasks.filter((task) => task.desiredState === 'ready')
    const isStartFirst = orderOf(this.#setup) === 'start-first'
    expect(running.length).toBeLessThanOrEqual(isStartFirst ? 2 : 1)
    expect(held.length).toBeLessThanOrEqual(1)
    expect(new Set(slot.tasks.map((task) => task.createdClusterMs)).size).toBe(slot.tasks.length)
    expect([...slot.tasks].sort(compareAge)).toEqual(slot.tasks)
    if (isStartFirst) return
    for (const task of running)
      if (this.#desired.get(task.id) !== 'running')
        for (const other of slot.tasks) if (other !== task) this.#checkStopped(other)
  }

  /** Another task of the slot was let go: this one is not in its way. */
  #checkStopped(task: Task): void {
    const node = this.#world.view.nodes.get(task.nodeId)
    const state = node?.status?.state
    if (this.#setup.disconnect?.stopAfterMs === 10_000) {
      // (10 s, 10 s of grace, 10 s of margin) · 11/9
      const sinceMs = node?.stateSinceMs ?? task.endedClusterMs
      const isSilent = node === undefined ? getState(task) === 'orphaned' : state === 'down'
      const isOver = isSilent && sinceMs + 36_667 <= this.#world.now
      const isEnded = isDead(task) && (getState(task) !== 'orphaned' || node !== undefined)
      expect(isEnded || isOver).toBe(true)
      return
    }
    const isWaitOver = task.desiredClusterMs + 60_000 <= this.#world.now
    const isLetBe = isMissing(task) || state === undefined || state === 'down'
    expect(isDead(task) || isLetBe || isWaitOver).toBe(true)
  }
}

function isServing(slot: Slot): boolean {
  return slot.tasks.some((task) => task.desiredState === 'running' && getState(task) === 'running')
}

/** Something ran there, and by the step nothing does, although its node could go on with it. */
function isTakenDown(slot: Slot, after: View, service: Service): boolean {
  const now = slot.tasks.map((task) => after.tasks.get(task.id) ?? task)
  if (!isServing(slot) || isServing({ ...slot, tasks: now })) return false
  const isGlobal = service.spec?.mode?.kind === 'global'
  return now.some((task) => {
    const node = after.nodes.get(task.nodeId)
    const isDrainOver =
      node?.spec?.availability === 'drain' && (isGlobal || node.drainUntilMs <= after.timeMs)
    // A global service is at once off the nodes that its spec does not name any more.
    const isNamed = !isGlobal || isInZone(service, node)
    const isUp = node !== undefined && node.status?.state !== 'down' && !isDrainOver && isNamed
    const was = slot.tasks.find(({ id }) => id === task.id)
    const isEnded =
      was?.desiredState === 'running' &&
      was.status?.state === 'running' &&
      (task.desiredState === 'shutdown' || task.status?.message.includes('enforcer') === true)
    const isHeldBack = getState(task) === 'running' || getState(task) === 'rejected'
    return isUp && isEnded && isHeldBack
  })
}

/** With a fence no two may run. */
function orderOf({ order, disconnect }: Setup): UpdateConfig['order'] {
  return disconnect?.stopAfterMs === 10_000 ? 'stop-first' : order
}

/** The only constraint of these plays. */
function isInZone(service: Service, node: Node | undefined): boolean {
  const constraints = service.spec?.task?.placement?.constraints ?? []
  return constraints.length === 0 || node?.spec?.annotations?.labels.get('zone') === 'a'
}

function newSpec(setup: Setup, mode: 'replicated' | 'global'): ServiceSpec {
  return {
    ...emptyServiceSpec,
    annotations: { ...emptyAnnotations, name: mode },
    mode:
      mode === 'global'
        ? { kind: 'global', global: {} }
        : { kind: 'replicated', replicated: { replicas: setup.replicas } },
    task: {
      ...emptyTaskSpec,
      container: { ...emptyContainerSpec, image: 'nginx:1' },
      restart: {
        ...emptyRestartPolicy,
        condition: setup.condition,
        maxAttempts: setup.maxAttempts,
        windowMs: setup.windowMs,
      },
      disconnect: setup.disconnect,
    },
    update: {
      ...emptyUpdateConfig,
      parallelism: setup.parallelism,
      delayMs: setup.delayMs,
      monitorMs: 5_000,
      order: orderOf(setup),
      failureAction: setup.failureAction,
    },
    ...(setup.maxUnavailable !== undefined && {
      disruptionBudget: { maxUnavailable: setup.maxUnavailable },
    }),
  }
}

function changeSpec(spec: ServiceSpec, b: number): ServiceSpec {
  const task = spec.task ?? emptyTaskSpec
  const withTask = (part: Partial<typeof task>): ServiceSpec => ({
    ...spec,
    task: { ...task, ...part },
  })
  switch (b % 6) {
    case 0:
    case 1:
      return withTask({ forceUpdate: task.forceUpdate + 1 })
    case 2:
      return withTask({
        container: { ...emptyContainerSpec, image: b > 5 ? 'nginx:1' : 'nginx:2' },
      })
    case 3:
      return withTask({
        placement: {
          ...emptyPlacement,
          constraints: b > 5 ? [] : ['node.labels.zone == a'],
        },
      })
    case 4:
      return { ...spec, annotations: { ...emptyAnnotations, name: spec.annotations?.name ?? '' } }
    default:
      if (spec.mode?.kind !== 'replicated') return spec
      return { ...spec, mode: { kind: 'replicated', replicated: { replicas: b > 5 ? 2 : 5 } } }
  }
}

function changeNode(present: Node, b: number, now: number): Node {
  const spec = present.spec ?? emptyNodeSpec
  const status = defined(present.status, 'a node has a status')
  const labels = new Map([['zone', b === 6 ? 'a' : 'b']])
  switch (b) {
    case 0:
      return {
        ...present,
        spec: { ...spec, availability: 'drain' },
        drainUntilMs: now + (DRAINS_MS[now % DRAINS_MS.length] ?? 0),
      }
    case 1:
      return { ...present, spec: { ...spec, availability: 'pause' }, drainUntilMs: 0 }
    case 2:
      return { ...present, spec: { ...spec, availability: 'active' }, drainUntilMs: 0 }
    case 3:
      return withNodeStatus(present, { ...status, state: 'disconnected' }, now)
    case 4:
      return withNodeStatus(present, { ...status, state: 'ready' }, now)
    case 5:
      return withNodeStatus(present, { ...status, state: 'down' }, now)
    default:
      return { ...present, spec: { ...spec, annotations: { ...emptyAnnotations, labels } } }
  }
}

function countPlaces(service: Service): number {
  const mode = service.spec?.mode
  return mode?.kind === 'replicated' ? mode.replicated.replicas : NODES.length
}
