/**
 * A rolling update as a story: three nodes on which all tasks of the service `web` run, and what its user
 * and its agents do to it. With `isNewLeader` another leader takes over after every event, and must
 * find nothing to do that the one before had not done.
 */
import { expect } from 'vitest'
import { getState } from '../manager/model/task.ts'
import { rollBack } from '../manager/model/update-status.ts'
import type { Change } from '../manager/store/change.ts'
import type { Node, Service, Task, TaskStatus } from '../proto/gen/objects.ts'
import type { RestartPolicy, UpdateConfig } from '../proto/gen/specs.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../proto/task-state.ts'
import { node, type Part, service } from './build.ts'
import { Orchestration, WALL_MS } from './orchestration.ts'

export type UpdateShape = {
  readonly update?: Partial<UpdateConfig> | undefined
  readonly rollback?: Partial<UpdateConfig> | undefined
  readonly restart?: Part<RestartPolicy>
  readonly replicas?: number
  readonly maxUnavailable?: number
}

export class UpdateStory {
  readonly world: Orchestration
  #isNewLeader: boolean

  constructor(shape: UpdateShape, isNewLeader: boolean) {
    const { update, rollback, restart, replicas = 1, maxUnavailable } = shape
    this.#isNewLeader = isNewLeader
    this.world = new Orchestration({
      nodes: ['n1', 'n2', 'n3'].map((id) => node({ id })),
      services: [
        service({
          id: 'web',
          spec: {
            mode: { kind: 'replicated', replicated: { replicas } },
            ...(restart && { task: { restart } }),
            ...(maxUnavailable && { disruptionBudget: { maxUnavailable } }),
            ...(update && { update: { parallelism: 1, monitorMs: 5_000, ...update } }),
            ...(rollback && { rollback: { parallelism: 1, monitorMs: 5_000, ...rollback } }),
          },
        }),
      ],
    })
    this.world.settle()
    for (const task of this.world.wantedOf('web')) this.world.report(task.id, 'running')
    this.world.advance(60_000)
  }

  /** Wanted tasks of the spec before, or of the present one. */
  tasks(age: 'old' | 'new'): readonly Task[] {
    const wanted = this.world.getService('web').spec?.task?.forceUpdate
    return this.world
      .wantedOf('web')
      .filter((task) => (task.spec?.forceUpdate === wanted) === (age === 'new' || wanted === 0))
  }

  get(task: Task | undefined): Task {
    return this.world.getTask(task?.id ?? '')
  }

  status(): Service['updateStatus'] {
    return this.world.getService('web').updateStatus
  }

  running(): number {
    return this.world.wantedOf('web').filter((task) => getState(task) === 'running').length
  }

  /** A new spec, and another config for its update where one is given. */
  update(config?: Partial<UpdateConfig>): void {
    this.#setForce((this.world.getService('web').spec?.task?.forceUpdate ?? 0) + 1, config)
  }

  revert(): void {
    this.#setForce(0)
  }

  /** The user asks for the spec before, and meanwhile something else happens. */
  rollBack(others: readonly Change[] = []): void {
    const service = this.world.getService('web')
    const message = 'manually requested rollback'
    const object = rollBack(service, { now: this.world.now, wallMs: WALL_MS, message })
    if (object === undefined) throw new Error('web has a previous spec')
    const previousSpec = service.spec
    this.world.write([
      { kind: 'update', table: 'services', object: { ...object, previousSpec } },
      ...others,
    ])
    this.#event()
  }

  /** As of a service that was made by a version which kept none. */
  forgetPrevious(): void {
    const service = this.world.getService('web')
    const object = { ...service, previousSpec: undefined }
    this.world.write([{ kind: 'update', table: 'services', object }])
    this.#event()
  }

  scale(replicas: number): void {
    const { spec } = this.world.getService('web')
    if (spec === undefined) throw new Error('web has a spec')
    this.world.setSpec('web', { ...spec, mode: { kind: 'replicated', replicated: { replicas } } })
    this.#event()
  }

  report(task: Task | undefined, state: TaskState, more?: Partial<TaskStatus>): void {
    this.world.report(task?.id ?? '', state, more)
    this.#event()
  }

  /** Everything that was told to end has ended. */
  stopOld(): void {
    for (const task of this.world.tasksOf('web'))
      if (!isWanted(task.desiredState) && !isTerminal(getState(task))) this.report(task, 'shutdown')
  }

  /** Everything ends and starts as it was told so far. */
  comeUp(): void {
    this.stopOld()
    for (const task of this.world.wantedOf('web'))
      if (task.desiredState === 'running' && compareTaskState(getState(task), 'running') < 0)
        this.report(task, 'running')
  }

  changeNode(id: string, part: Part<Node>): void {
    this.world.setNode(node({ ...this.world.getNode(id), ...part }))
    this.#event()
  }

  advance(ms: number): void {
    this.world.advance(ms)
    this.#event()
  }

  #setForce(forceUpdate: number, config?: Partial<UpdateConfig>): void {
    const { spec } = this.world.getService('web')
    if (spec?.task === undefined) throw new Error('web has a spec')
    const update = spec.update && { ...spec.update, ...config }
    this.world.setSpec('web', {
      ...spec,
      task: { ...spec.task, forceUpdate },
      ...(update && { update }),
    })
    this.#event()
  }

  #event(): void {
    if (!this.#isNewLeader) return
    const before = this.world.view
    this.world.changeLeader()
    this.world.settle()
    expect(this.world.view).toBe(before)
  }
}
