/**
 * The commands of interaction files: which part of the environment each one drives, with which
 * options, and what it prints. A command or option that is not known here ends the file's run.
 */
import { listVoters } from '../../../manager/raft/configuration.ts'
import {
  type ConfChangeTransition,
  emptyConfState,
  emptyMessage,
  emptySnapshot,
  type MessageType,
  NO_BYTES,
  type Snapshot,
} from '../../../manager/raft/message.ts'
import type { StepOutcome } from '../../../manager/raft/raw-node.ts'
import { parseConfChanges } from './conf-changes.ts'
import {
  type Case,
  DataFileError,
  findValue,
  listPlain,
  parseBoolean,
  parseNumber,
} from './datadriven.ts'
import { describeMessage, describeProgressMap, messageNames, roleNames } from './describe.ts'
import {
  type Delivery,
  describeLog,
  Environment,
  findOutcomeText,
  type NodeOptions,
  ReportedError,
} from './environment.ts'
import { findLevel, levelNames } from './output.ts'

const ELECTION_TICKS = 3
const HEARTBEAT_TICKS = 1

/** A fresh environment; the result runs one case after the other and gives each one's output. */
export function newInteraction(): (next: Case) => string {
  const environment = new Environment()
  return (next) => {
    let error: string | undefined
    try {
      error = run(environment, next)
    } catch (thrown) {
      if (!(thrown instanceof ReportedError)) throw thrown
      error = thrown.message
    }
    return environment.output.take(error)
  }
}

/** Carries out one command; the text of an error that etcd reports. */
function run(environment: Environment, next: Case): string | undefined {
  switch (next.command) {
    case '_breakpoint':
      return undefined
    case 'add-nodes':
      return addNodes(environment, next)
    case 'campaign':
      environment.node(firstNode(environment, next)).campaign()
      return undefined
    case 'propose':
      return propose(environment, next)
    case 'propose-conf-change':
      return proposeConfChange(environment, next)
    case 'tick-heartbeat':
      return tick(environment, next, HEARTBEAT_TICKS)
    case 'tick-election':
      return tick(environment, next, ELECTION_TICKS)
    case 'set-randomized-election-timeout': {
      const timeout = parseNumber(findValue(next, 'timeout'), next.line)
      environment.node(firstNode(environment, next)).setElectionTimeout(timeout)
      return undefined
    }
    case 'transfer-leadership': {
      const [from, to] = ['from', 'to'].map((key) => {
        return checkNode(environment, findValue(next, key), next.line)
      })
      if (from !== undefined && to !== undefined) environment.node(from).transferLeader(to)
      return undefined
    }
    case 'forget-leader':
      environment.node(firstNode(environment, next)).forgetLeader()
      return undefined
    case 'report-unreachable': {
      const [on, peer] = listTwoNodes(environment, next)
      environment.node(on).reportUnreachable(peer)
      return undefined
    }
    case 'process-ready':
      return forEachNode(environment, next, 'handling Ready', (id) => environment.processReady(id))
    case 'process-append-thread':
      return forEachNode(environment, next, 'processing append thread', (id) => {
        environment.processAppendThread(id)
      })
    case 'process-apply-thread':
      return forEachNode(environment, next, 'processing apply thread', (id) => {
        environment.processApplyThread(id)
      })
    case 'deliver-msgs':
      return deliver(environment, next)
    case 'stabilize':
      return stabilize(environment, next)
    case 'compact':
      return compact(environment, next)
    case 'raft-log':
      environment.output.write(describeLog(environment.storage(firstNode(environment, next))))
      return undefined
    case 'status': {
      const { progress } = environment.node(firstNode(environment, next)).status()
      environment.output.write(describeProgressMap(progress))
      return undefined
    }
    case 'raft-state':
      return raftState(environment)
    case 'send-snapshot':
      return sendSnapshot(environment, next)
    case 'log-level':
      return setLevel(environment, listPlain(next)[0] ?? '')
    default:
      throw new DataFileError(next.line, `unknown command "${next.command}"`)
  }
}

function addNodes(environment: Environment, next: Case): undefined {
  const { line } = next
  let snapshot: Snapshot | undefined
  let options: NodeOptions = {
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    inflightMessagesMax: 2 ** 31 - 1,
  }
  for (const { key, values } of next.arguments.slice(1)) {
    const [value] = values
    // Like etcd, an option without a value changes nothing: `voters=()` is no bootstrap.
    if (value === undefined) continue
    const before = snapshot ?? { ...emptySnapshot, term: 1, confState: emptyConfState }
    const confState = before.confState ?? emptyConfState
    const ids = (): readonly number[] => values.map((id) => parseNumber(id, line))
    switch (key) {
      case 'voters':
        snapshot = { ...before, confState: { ...confState, voters: ids() } }
        break
      case 'learners':
        snapshot = { ...before, confState: { ...confState, learners: ids() } }
        break
      case 'index':
        snapshot = { ...before, index: parseNumber(value, line) }
        options = { ...options, appliedIndex: snapshot.index }
        break
      case 'content':
        snapshot = { ...before, data: new TextEncoder().encode(value) }
        break
      default:
        options = { ...options, ...parseOption(key, value, line) }
    }
  }
  const count = parseNumber(next.arguments[0]?.key, line)
  environment.addNodes(count, options, snapshot)
  return undefined
}

function parseOption(key: string, value: string, line: number): Partial<NodeOptions> {
  switch (key) {
    case 'inflight':
      return { inflightMessagesMax: parseNumber(value, line) }
    case 'async-storage-writes':
      return { asyncStorageWrites: parseBoolean(value, line) }
    case 'prevote':
      return { preVote: parseBoolean(value, line) }
    case 'checkquorum':
      return { checkQuorum: parseBoolean(value, line) }
    case 'max-committed-size-per-ready':
      return { committedBytesMax: parseNumber(value, line) }
    case 'disable-conf-change-validation':
      return { disableConfChangeValidation: parseBoolean(value, line) }
    case 'step-down-on-removal':
      return { stepDownOnRemoval: parseBoolean(value, line) }
    case 'read-only':
      if (value !== 'safe' && value !== 'lease-based') {
        throw new ReportedError(`invalid read-only option "${value}"`)
      }
      return { readOnly: value }
    default:
      throw new DataFileError(line, `unknown option "${key}"`)
  }
}

function propose(environment: Environment, next: Case): string | undefined {
  const [, data, ...rest] = listPlain(next)
  if (data === undefined || rest.length > 0) {
    throw new DataFileError(next.line, 'propose takes a node and what to propose')
  }
  const node = environment.node(firstNode(environment, next))
  return findOutcomeText(node.propose(new TextEncoder().encode(data)))
}

const transitions: Readonly<Record<string, ConfChangeTransition>> = {
  auto: 'auto',
  implicit: 'joint-implicit',
  explicit: 'joint-explicit',
}

function proposeConfChange(environment: Environment, next: Case): string | undefined {
  for (const { key, values } of next.arguments.slice(1)) {
    if (values.length > 0 && key !== 'v1' && key !== 'transition') return `unknown command ${key}`
  }
  const v1 = parseBoolean(findValue(next, 'v1') ?? 'false', next.line)
  const name = findValue(next, 'transition') ?? 'auto'
  const transition = transitions[name]
  if (transition === undefined) return `unknown transition ${name}`
  const changes = parseConfChanges(next.input)
  if (typeof changes === 'string') return changes
  if (v1 && (changes.length > 1 || transition !== 'auto')) {
    return 'v1 conf change can only have one operation and no transition'
  }
  if (v1 && changes.length === 0) throw new DataFileError(next.line, 'v1 takes one change')
  const node = environment.node(firstNode(environment, next))
  const outcome: StepOutcome = node.proposeConfChange(
    { transition, changes, context: NO_BYTES },
    { v1 },
  )
  return findOutcomeText(outcome)
}

function tick(environment: Environment, next: Case, ticks: number): undefined {
  const node = environment.node(firstNode(environment, next))
  for (let i = 0; i < ticks; i++) node.tick()
  return undefined
}

function deliver(environment: Environment, next: Case): undefined {
  const deliveries: Omit<Delivery, 'type'>[] = []
  for (const { key, values } of next.arguments) {
    if (values.length === 0) {
      deliveries.push({ to: checkNode(environment, key, next.line), isDropped: false })
    } else if (key === 'drop') {
      for (const value of values) {
        const to = parseNumber(value, next.line)
        if (deliveries.some((other) => other.to === to)) {
          throw new DataFileError(next.line, `messages to ${to} are both delivered and dropped`)
        }
        deliveries.push({ to, isDropped: true })
      }
    } else if (key !== 'type') {
      throw new DataFileError(next.line, `unknown option "${key}"`)
    }
  }
  const type = findMessageType(next)
  let count = 0
  for (const delivery of deliveries) count += environment.deliver({ ...delivery, type })
  if (count === 0) environment.output.write('no messages\n')
  return undefined
}

function findMessageType(next: Case): MessageType | undefined {
  const name = findValue(next, 'type')
  if (name === undefined) return undefined
  for (const type of Object.keys(messageNames)) {
    if (isMessageType(type) && messageNames[type] === name) return type
  }
  throw new DataFileError(next.line, `unknown message type "${name}"`)
}

function isMessageType(name: string): name is MessageType {
  return Object.hasOwn(messageNames, name)
}

function stabilize(environment: Environment, next: Case): string | undefined {
  const { output } = environment
  const before = output.level
  for (const { key, values } of next.arguments) {
    if (values.length > 0 && key !== 'log-level') {
      throw new DataFileError(next.line, `unknown option "${key}"`)
    }
  }
  const level = findValue(next, 'log-level')
  const error = level === undefined ? undefined : setLevel(environment, level)
  if (error !== undefined) return error
  const all = Array.from({ length: environment.count }, (_, i) => i + 1)
  const named = listNodes(environment, next)
  environment.stabilize(named.length > 0 ? named : all)
  output.level = before
  return undefined
}

function compact(environment: Environment, next: Case): string | undefined {
  const storage = environment.storage(firstNode(environment, next))
  const index = parseNumber(listPlain(next)[1], next.line)
  if (index < storage.firstIndex()) return 'requested index is unavailable due to compaction'
  storage.memory.compact(index)
  environment.output.write(describeLog(storage))
  return undefined
}

function raftState(environment: Environment): undefined {
  for (let id = 1; id <= environment.count; id++) {
    const { role, term, leader, confState } = environment.node(id).status()
    const kind = listVoters(confState).includes(id) ? '(Voter)' : '(Non-Voter)'
    environment.output.write(`${id}: ${roleNames[role]} ${kind} Term:${term} Lead:${leader}\n`)
  }
  return undefined
}

function sendSnapshot(environment: Environment, next: Case): undefined {
  const [from, to] = listTwoNodes(environment, next)
  const { term } = environment.node(from).basicStatus()
  const snapshot = environment.storage(from).snapshot()
  const message = { ...emptyMessage, type: 'snapshot', from, to, term, snapshot } as const
  environment.send(message)
  environment.output.write(describeMessage(message))
  return undefined
}

function setLevel(environment: Environment, name: string): string | undefined {
  const level = findLevel(name)
  if (level === undefined) return `log levels must be either of [${levelNames}]`
  environment.output.level = level
  return undefined
}

/** One node: its output as it is. Several: each under a title. */
function forEachNode(
  environment: Environment,
  next: Case,
  title: string,
  body: (id: number) => void,
): undefined {
  const ids = listNodes(environment, next)
  for (const id of ids) {
    if (ids.length > 1) {
      environment.output.write(`> ${id} ${title}\n`)
      environment.output.indent(() => body(id))
    } else {
      body(id)
    }
  }
  return undefined
}

function firstNode(environment: Environment, next: Case): number {
  return checkNode(environment, listPlain(next)[0], next.line)
}

function listNodes(environment: Environment, next: Case): readonly number[] {
  return listPlain(next).map((id) => checkNode(environment, id, next.line))
}

function listTwoNodes(environment: Environment, next: Case): readonly [number, number] {
  const [first, second, ...rest] = listNodes(environment, next)
  if (first === undefined || second === undefined || rest.length > 0) {
    throw new DataFileError(next.line, `${next.command} takes two nodes`)
  }
  return [first, second]
}

function checkNode(environment: Environment, text: string | undefined, line: number): number {
  const id = parseNumber(text, line)
  if (id < 1 || id > environment.count) throw new DataFileError(line, `there is no node ${id}`)
  return id
}
