/**
 * What holds once faults have stopped and the cluster has come to rest (peers.md 3.4: L1 to L7): the
 * first thing that does not, read off the committed state alone. What runs on the hosts is compared
 * with it by `converge.ts`. A paused update is left to its user, so its service may stand between two
 * specs; a task that can be placed nowhere waits, and says why.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Node, Service, Task } from '../../../proto/gen/objects.ts'
import { findPlace, type Occupation, surveyNodes } from './placeable.ts'
import { isReady, satisfiesAll } from './places.ts'
import { slotOf } from './slots.ts'
import { hasEnded, isMissing, isUpToDate, isWanted, stateOf } from './task-facts.ts'

type Survey = {
  readonly view: View
  readonly occupation: Occupation
  /** Tasks of the service by slot, the oldest first. */
  readonly slots: ReadonlyMap<string, readonly Task[]>
}

/** What is not as it must be at rest, beginning with its rule; undefined when all is. */
export function findUnrest(view: View): string | undefined {
  const occupation = surveyNodes(view)
  for (const service of view.services.list()) {
    const survey = { view, occupation, slots: listSlots(view, service) }
    const missing =
      (isPaused(service) ? undefined : findMissingSlots(survey, service)) ??
      findUnfinishedUpdate(survey, service) ??
      findLongHistory(survey, service)
    if (missing !== undefined) return missing
  }
  for (const task of view.tasks.list()) {
    const missing = findUnsettled(view, occupation, task)
    if (missing !== undefined) return missing
  }
  return undefined
}

/** Tasks that wait for a place. */
export function listWaiting(view: View): readonly Task[] {
  return [...view.tasks.list()].filter((task) => stateOf(task) === 'pending' && isWanted(task))
}

function listSlots(view: View, service: Service): ReadonlyMap<string, readonly Task[]> {
  const slots = new Map<string, Task[]>()
  for (const task of view.tasks.by('service', service.id)) {
    const slot = slots.get(slotOf(task))
    if (slot === undefined) slots.set(slotOf(task), [task])
    else slot.push(task)
  }
  for (const tasks of slots.values())
    tasks.sort((left, right) => left.createdClusterMs - right.createdClusterMs)
  return slots
}

/** L1, L2: each place of the service is taken once, and there are as many as it wants. */
function findMissingSlots(survey: Survey, service: Service): string | undefined {
  let filled = 0
  for (const [slot, tasks] of survey.slots) {
    const problem = findProblem(tasks)
    if (problem !== undefined) return `L2: slot ${slot} of service ${service.id}: ${problem}`
    if (isFilled(survey.view, tasks)) filled++
  }
  const { mode } = service.spec ?? {}
  if (mode?.kind === 'replicatedJob' || mode?.kind === 'globalJob')
    return findUnfinishedJob(survey, service)
  if (mode?.kind === 'replicated') {
    const wanted = mode.replicated.replicas
    return filled === wanted ? undefined : `L1: service ${service.id} has ${filled} of ${wanted}`
  }
  for (const node of survey.view.nodes.list()) {
    const tasks = survey.slots.get(`${service.id}/${node.id}`) ?? []
    if (mustRun(service, node) && !isFilled(survey.view, tasks))
      return `L1: global service ${service.id} has no task on ${node.id}`
  }
  return undefined
}

/**
 * L1 of a job: each slot is done, was given up or waits for a place, and what has not begun waits for
 * as many others as may be at work. Nothing runs any more, and nothing of an iteration before is wanted.
 */
function findUnfinishedJob({ view, slots }: Survey, service: Service): string | undefined {
  const { iteration = 0 } = service.jobStatus ?? {}
  for (const task of view.tasks.by('service', service.id)) {
    if (isWanted(task) && task.jobIteration !== iteration)
      return `L1: task ${task.id} of iteration ${task.jobIteration} of job ${service.id} is wanted, which is at ${iteration}`
    if (isWanted(task) && stateOf(task) === 'running')
      return `L1: task ${task.id} of job ${service.id} does not end`
  }
  const places = listPlaces(view, service)
  const ofSlot = new Map(
    places.map((place) => [
      place,
      (slots.get(place) ?? []).filter((task) => task.jobIteration === iteration),
    ]),
  )
  const waiting = places.filter((place) => ofSlot.get(place)?.some(isWanted))
  const { mode } = service.spec ?? {}
  const most = mode?.kind === 'replicatedJob' ? mode.replicatedJob.maxConcurrent : Infinity
  const left = places.find((place) => {
    const tasks = ofSlot.get(place) ?? []
    return !isFilled(view, tasks) && !tasks.some((task) => stateOf(task) === 'complete')
  })
  if (left === undefined || waiting.length >= most) return undefined
  return `L1: slot ${left} of job ${service.id} is not done, and ${waiting.length} wait where ${most} may`
}

/** Where a job is to be done: slots as the store's index names them. */
function listPlaces(view: View, service: Service): readonly string[] {
  const { mode } = service.spec ?? {}
  if (mode?.kind === 'replicatedJob')
    return Array.from(
      { length: mode.replicatedJob.totalCompletions },
      (_, at) => `${service.id}/${at + 1}`,
    )
  return [...view.nodes.list()]
    .filter((node) => mustRun(service, node))
    .map((node) => `${service.id}/${node.id}`)
}

/** One that runs, or waits where nothing fits; a start-first update may wait beside an old one. */
function findProblem(tasks: readonly Task[]): string | undefined {
  const wanted = tasks.filter((task) => isWanted(task) && !isMissing(task))
  const running = wanted.filter((task) => stateOf(task) === 'running')
  if (running.length > 1) return `${running.map((task) => task.id).join(' and ')} both run`
  for (const task of wanted)
    if (stateOf(task) !== 'running' && stateOf(task) !== 'pending')
      return `task ${task.id} is wanted ${task.desiredState} and is ${stateOf(task)} on ${task.nodeId}`
  return undefined
}

function isFilled(view: View, tasks: readonly Task[]): boolean {
  return tasks.some(isWanted) || isFinished(view, tasks)
}

/** The newest one ended, or was lost with its node, and its policy allows no other. */
function isFinished(view: View, tasks: readonly Task[]): boolean {
  const kept = tasks.filter((task) => task.desiredState !== 'remove')
  const newest = kept.at(-1)
  if (newest === undefined || !(hasEnded(newest) || isAway(view, newest))) return false
  const { condition = 'any', maxAttempts = 0 } = newest.spec?.restart ?? {}
  if (condition === 'none') return true
  if (condition === 'on-failure' && stateOf(newest) === 'complete') return true
  if (maxAttempts === 0) return false
  return kept.filter((task) => task.specVersion === newest.specVersion).length >= maxAttempts
}

function mustRun({ spec }: Service, node: Node): boolean {
  return isReady(node) && satisfiesAll(node, spec?.task?.placement?.constraints ?? [])
}

/** L3: an update has ended, and what its status says of the tasks is so. */
function findUnfinishedUpdate(survey: Survey, service: Service): string | undefined {
  const state = service.updateStatus?.state
  const waits = [...survey.slots.values()]
    .flat()
    .some((task) => isWanted(task) && stateOf(task) === 'pending')
  if (isUpdating(service))
    return waits ? undefined : `L3: the update of service ${service.id} is ${state}`
  if (isPaused(service) || waits) return undefined
  for (const [slot, tasks] of survey.slots) {
    const stale = tasks.find(
      (task) => isWanted(task) && !isUpToDate(task, service) && !isKeptAway(survey.view, task),
    )
    if (stale !== undefined && !wasGivenUp(tasks, service))
      return `L3: the update of service ${service.id} is ${state ?? 'over'} and task ${stale.id} of slot ${slot} is of another spec`
  }
  return undefined
}

/** Kept for its node, which is down: an update takes the slots of a global service where it may start. */
function isKeptAway(view: View, task: Task): boolean {
  return task.slot === 0 && task.spec?.disconnect?.keep === 'original' && isAway(view, task)
}

/** Start-first: the new task ended for good, and the old one goes on. */
function wasGivenUp(tasks: readonly Task[], service: Service): boolean {
  return tasks.some(
    (task) => task.madeByUpdate && task.specVersion === service.specVersion && hasEnded(task),
  )
}

/** L5 */
function findLongHistory({ view, slots }: Survey, service: Service): string | undefined {
  const [cluster] = view.clusters.list()
  const limit = cluster?.spec?.taskHistoryLimit ?? 0
  if (limit < 0) return undefined
  for (const [slot, tasks] of slots) {
    // By those that it made an update knows where it has been, as long as it goes on.
    const dead = tasks.filter(
      (task) =>
        !isWanted(task) &&
        task.desiredState !== 'remove' &&
        hasEnded(task) &&
        // That its work is done is known by one of a job's tasks in the slot.
        !(task.jobIteration > 0 && stateOf(task) === 'complete') &&
        !(isUpdating(service) && task.madeByUpdate),
    )
    const attempts = Math.max(0, ...dead.map((task) => task.spec?.restart?.maxAttempts ?? 0))
    const most = Math.max(limit, attempts === 0 ? 0 : attempts + 1, tasks.some(isWanted) ? 0 : 1)
    if (dead.length > most)
      return `L5: slot ${slot} of service ${service.id} keeps ${dead.length} dead tasks, ${most} are allowed`
  }
  return undefined
}

/** L4, L7: what waits has to and says why; what is to end has ended, unless its node is away. */
function findUnsettled(view: View, occupation: Occupation, task: Task): string | undefined {
  const state = stateOf(task)
  if (isWanted(task)) {
    const node = view.nodes.get(task.nodeId)
    if (isMissing(task) && node?.status?.state === 'ready')
      return `D4: task ${task.id} is back on ${task.nodeId} and has not its slot`
    const isToBeLost = task.spec?.disconnect?.keep !== 'original' && state === 'running'
    if (isToBeLost && node?.status?.state === 'down')
      return `D2: task ${task.id} is wanted on ${task.nodeId}, which is down`
    if (view.services.get(task.serviceId) === undefined)
      return `L7: task ${task.id} of a removed service is wanted`
    if (isOnDrained(view, task)) return `L6: task ${task.id} is wanted on ${task.nodeId}, drained`
    if (state === 'new') return `L4: task ${task.id} is new`
    if (state !== 'pending') return undefined
    const place = findPlace(view, occupation, task)
    if (place !== undefined) return `L4: task ${task.id} waits and could be placed on ${place.id}`
    return task.status?.error === '' ? `L4: task ${task.id} waits and does not say why` : undefined
  }
  if (isAway(view, task)) return undefined
  if (!hasEnded(task)) return `L7: task ${task.id} is to end and is ${state} on ${task.nodeId}`
  return task.desiredState === 'remove' ? `L7: task ${task.id} is to be removed` : undefined
}

/** A drain that waits still may have a reason: nothing fits elsewhere, or a budget is used up. */
function isOnDrained(view: View, task: Task): boolean {
  const node = view.nodes.get(task.nodeId)
  return node?.spec?.availability === 'drain' && node.drainUntilMs <= view.timeMs
}

function isAway(view: View, { nodeId }: Task): boolean {
  return nodeId !== '' && view.nodes.get(nodeId)?.status?.state !== 'ready'
}

function isPaused(service: Service): boolean {
  const state = service.updateStatus?.state
  return state === 'paused' || state === 'rollback-paused'
}

function isUpdating(service: Service): boolean {
  const state = service.updateStatus?.state
  return state === 'updating' || state === 'rollback-started'
}
