/**
 * The consensus thread: Raft, its log on disk and its peers on a thread of their own, so that no
 * API burst, no placement round and no garbage collection of the store delays a heartbeat (DESIGN
 * section 4). A shell: it feeds the consensus machine from the timer, the peers and the main
 * thread, and carries out what it returns: messages first, then one write and one sync for all
 * that waits, then what that makes true. An error of the log ends the process.
 */
import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { isDiskError } from '../lib/disk.ts'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { CommittedHold } from '../manager/committed-hold.ts'
import { Consensus } from '../manager/consensus.ts'
import type { MainEvent } from '../manager/consensus-interface.ts'
import { Outbox } from '../manager/outbox.ts'
import { loadSnapshot, Persister } from '../manager/persist.ts'
import type { Message } from '../manager/raft/message.ts'
import { TICK_MS } from '../manager/raft-core.ts'
import { openWal } from '../manager/wal/wal.ts'
import type { ConsensusStart, FromThread, ToThread } from './consensus-port.ts'
import { LOG_MARK } from './identity.ts'
import { readClaims } from './io/certificate.ts'
import { NodeDisk } from './io/disk.ts'
import { RaftTransport } from './io/raft-transport.ts'
import { systemRandom } from './io/random.ts'

/** Rounds of effects carried out before other events of the thread get their turn. */
const ROUNDS_MAX = 64
/** A full disk is tried again, and complained about, after so many ticks: half a second, a minute. */
const RETRY_TICKS = 10
const WARN_TICKS = 1_200

const port = parentPort
if (port === null) throw new Error('consensus-thread.ts runs as a worker thread only')
const post = (message: FromThread, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer)

const start: ConsensusStart = workerData
const log = logTo(post)
const progress = new Int32Array(start.progress)
const opened = openWal(new NodeDisk(start.directory), 'raft', {
  identity: { clusterId: start.clusterId, raftId: start.raftId },
  keys: start.keys,
  random: systemRandom,
  mark: LOG_MARK,
})
if (opened.torn !== undefined) log.warn({ ...opened.torn }, 'torn record dropped')

const consensus = new Consensus({
  raftId: start.raftId,
  random: systemRandom,
  log,
  hardState: opened.hardState,
  entries: opened.entries,
  snapshot: loadSnapshot(opened),
  snapshotInterval: start.snapshotInterval,
})

const transport = new RaftTransport({
  raftId: start.raftId,
  clusterId: start.clusterId,
  epoch: start.epoch,
  listen: start.listen,
  identity: start.identity,
  readClaims,
  log,
  onMessage: (message) => feed(() => consensus.step({ kind: 'message', message })),
  onPeer: (raftId, state) => feed(() => consensus.step({ kind: 'peer', raftId, state })),
  onUnreachable: (raftId) => feed(() => consensus.step({ kind: 'unreachable', raftId })),
  onSnapshotSent: (raftId, outcome) =>
    feed(() => consensus.step({ kind: 'snapshot-sent', raftId, outcome })),
  onShutOut: (epoch) => post({ kind: 'shut-out', epoch }),
})

const outbox = new Outbox()
let outboxTimer: NodeJS.Timeout | undefined
const hold = new CommittedHold()
let holdTimer: NodeJS.Timeout | undefined
const persister = new Persister(opened.wal)
let ticks = 0
let isScheduled = false
let isClosing = false
let snapshotsInstalled = 0

/** Inputs that arrive together are carried out together: one write, one sync. */
function feed(step: () => void): void {
  guarded(step)
  if (isScheduled) return
  isScheduled = true
  setImmediate(() => {
    isScheduled = false
    guarded(carryOut)
  })
}

function carryOut(): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const ready = consensus.ready()
    if (ready === undefined) return
    // First, for a caller waits for what is committed; nobody for what the others are told of it.
    tellMain(ready.events)
    send(ready.send)
    if (ready.fatal !== undefined) endProcess(ready.fatal)
    if (ready.persist.length > 0) {
      snapshotsInstalled += ready.persist.filter((effect) => effect.snapshot !== undefined).length
      persister.add(ready.persist)
      writeLog()
    }
  }
  feed(() => undefined)
}

/** On a full disk nothing is acknowledged, and it is tried again until there is space. */
function writeLog(): void {
  const wasFull = persister.isFull
  const sequence = persister.run()
  if (sequence !== undefined) consensus.step({ kind: 'persisted', sequence })
  if (persister.isFull === wasFull) return
  consensus.step({ kind: 'disk', isFull: persister.isFull })
  if (persister.isFull) log.error({}, 'disk full, nothing is written or acknowledged')
  else log.info({}, 'disk has space again')
}

/** The next segment is made ahead, between rounds; a full disk is met while there is still room. */
function prepareSegment(): void {
  try {
    opened.wal.prepare()
  } catch (error) {
    if (!isDiskError(error, 'enospc') || opened.wal.isStopped) throw error
    if (ticks % WARN_TICKS === 0) log.warn({}, 'disk full, the log has no room to grow')
  }
}

/** Main is stuck, so nobody but this thread can end the process. */
function endProcess(reason: string): never {
  writeSync(
    process.stderr.fd,
    `${JSON.stringify({ level: 'error', msg: 'the node ends', reason })}\n`,
  )
  process.kill(process.pid, 'SIGKILL')
  throw new Error(reason)
}

function send(messages: readonly Message[]): void {
  if (messages.length === 0) return
  transmit(outbox.add(messages, performance.now()))
  armOutbox()
}

function armOutbox(): void {
  const waitMs = outbox.waitMs(performance.now())
  if (waitMs === undefined || outboxTimer !== undefined) return
  outboxTimer = setTimeout(() => {
    outboxTimer = undefined
    transmit(outbox.takeDue(performance.now()))
    armOutbox()
  }, Math.ceil(waitMs))
}

function transmit(messages: readonly Message[]): void {
  if (messages.length > 0) transport.send(messages)
}

/** Main hears at once of what a caller may wait for, of other commits together and a little later. */
function tellMain(events: readonly MainEvent[]): void {
  const isLeader = consensus.status().role === 'leader'
  postEvents(hold.add(events, { isLeader, nowMs: performance.now() }))
  armHold()
}

function armHold(): void {
  const waitMs = hold.waitMs(performance.now())
  if (waitMs === undefined || holdTimer !== undefined) return
  holdTimer = setTimeout(() => {
    holdTimer = undefined
    postEvents(hold.takeDue(performance.now()))
    armHold()
  }, Math.ceil(waitMs))
}

/** Bytes are copied out of Raft's log once and then moved, never cloned with their pools. */
function postEvents(events: readonly MainEvent[]): void {
  if (events.length === 0) return
  const transfer: ArrayBuffer[] = []
  const owned = (bytes: Uint8Array): Uint8Array => {
    if (bytes.length === 0) return bytes
    const buffer = new ArrayBuffer(bytes.length)
    const copy = new Uint8Array(buffer)
    copy.set(bytes)
    transfer.push(buffer)
    return copy
  }
  const outgoing = events.map((event): MainEvent => {
    if (event.kind === 'members') transport.setMembers(event.members)
    if (event.kind === 'install') return { ...event, store: owned(event.store) }
    if (event.kind !== 'committed') return event
    return {
      ...event,
      entries: event.entries.map((entry) => ({ ...entry, data: owned(entry.data) })),
    }
  })
  post({ kind: 'events', events: outgoing }, transfer)
}

function receive(message: ToThread): void {
  switch (message.kind) {
    case 'inputs':
      feed(() => {
        for (const input of message.inputs) consensus.step(input)
      })
      break
    case 'identity':
      transport.setIdentity(message.identity)
      break
    case 'close':
      close()
      break
    default:
      message satisfies never
  }
}

function close(): void {
  if (isClosing) return
  isClosing = true
  clearInterval(timer)
  guarded(carryOut)
  clearTimeout(outboxTimer)
  transmit(outbox.flush())
  clearTimeout(holdTimer)
  postEvents(hold.flush(performance.now()))
  opened.wal.sync()
  transport.close()
  post({ kind: 'closed' })
  port?.close()
}

/** Whatever goes wrong here ends the node: Raft, log and store never go on after an assertion. */
function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    post({ kind: 'fatal', reason: reasonOf(error) })
    throw error
  }
}

/** A refusal says all in its words; a bug is found by where it happened. */
function reasonOf(error: unknown): string {
  if (error instanceof SwarmError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function logTo(send: (message: FromThread) => void): Log {
  const at =
    (level: 'error' | 'warn' | 'info' | 'debug') =>
    (fields: Readonly<Record<string, unknown>>, message: string): void =>
      send({ kind: 'log', level, fields, message })
  const made: Log = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: start.isDebug ? at('debug') : () => undefined,
    trace: () => undefined,
    child: () => made,
  }
  return made
}

port.on('message', (message: ToThread) => guarded(() => receive(message)))

const timer = setInterval(() => {
  guarded(() => {
    const counter = Atomics.load(progress, 0)
    consensus.step({ kind: 'main-progress', counter })
    feed(() => consensus.tick())
    ticks++
    if (persister.isFull && ticks % RETRY_TICKS === 0) feed(writeLog)
    if (!persister.isFull) prepareSegment()
    const { commit, applied } = consensus.status()
    post({ kind: 'metrics', metrics: { commit, applied, snapshotsInstalled } })
  })
}, TICK_MS)

const listenPort = await transport.listen()
transport.setMembers(consensus.listMembers())
post({ kind: 'listening', port: listenPort })
feed(() => undefined)
