/**
 * What a node wants done: the Ready, made of what has gathered in its state, and what follows when
 * it is taken. Two ways to carry it out:
 *
 * - In turn: persist, send, apply, then `advance`; the node learns of it from the steps kept for
 *   that moment.
 * - With `asyncStorageWrites`: entries, hard state and snapshot go to the append thread, committed
 *   entries to the apply thread, as messages; the node learns of it from the responses that each
 *   carries, and many may be under way.
 */
import {
  type Entry,
  emptyMessage,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type Snapshot,
} from './message.ts'
import { entriesSize } from './size.ts'
import type { Raft, ReadState, Role } from './state.ts'

/** What is known and not stored. */
export type SoftState = { readonly leader: number; readonly role: Role }

export type Ready = {
  /** Set when leader or role have changed. */
  readonly softState: SoftState | undefined
  /** Set when it has changed: to be on disk before messages are sent, if `mustSync`. */
  readonly hardState: HardState | undefined
  /** Reads that may be served once their index is applied. */
  readonly readStates: readonly ReadState[]
  /** To be on disk before messages are sent; they replace what stood at their indexes and after. */
  readonly entries: readonly Entry[]
  /** To be on disk, and applied, before anything else. */
  readonly snapshot: Snapshot | undefined
  /** To be applied. They are on a quorum's disks, maybe not on this one's before `entries` are. */
  readonly committedEntries: readonly Entry[]
  /**
   * In turn: to be sent after the above is on disk. With `asyncStorageWrites`: to be sent at once;
   * those to the local threads are the writes.
   */
  readonly messages: readonly Message[]
  /** Whether the disk must be synced: there are entries, or term or vote have changed. */
  readonly mustSync: boolean
}

/** What the application was told last, and what it owes. */
export type Handover = {
  readonly asyncStorageWrites: boolean
  softState: SoftState
  hardState: HardState
  /** In turn only: the Ready that has been taken and not been advanced. */
  taken: Ready | undefined
  /** In turn only: to be stepped by `advance`. */
  stepsOnAdvance: readonly Message[]
}

export function newHandover(raft: Raft, asyncStorageWrites: boolean): Handover {
  return {
    asyncStorageWrites,
    softState: softStateOf(raft),
    hardState: hardStateOf(raft),
    taken: undefined,
    stepsOnAdvance: [],
  }
}

/** Whether there is anything to do. */
export function hasReady(raft: Raft, handover: Handover): boolean {
  return (
    raft.messages.length > 0 ||
    raft.messagesAfterAppend.length > 0 ||
    raft.readStates.length > 0 ||
    raft.log.unstable.hasNextEntries() ||
    raft.log.hasNextCommittedEntries(!handover.asyncStorageWrites) ||
    raft.log.unstable.nextSnapshot() !== undefined ||
    !isSameSoftState(softStateOf(raft), handover.softState) ||
    !isSameHardState(hardStateOf(raft), handover.hardState)
  )
}

/** All there is to do now; the node goes on as if it were being done. */
export function takeReady(raft: Raft, handover: Handover): Ready {
  const ready = makeReady(raft, handover)
  if (ready.softState !== undefined) handover.softState = ready.softState
  if (ready.hardState !== undefined) handover.hardState = ready.hardState
  if (!handover.asyncStorageWrites) {
    handover.taken = ready
    handover.stepsOnAdvance = listStepsOnAdvance(raft, ready)
  }
  raft.readStates = []
  raft.messages = []
  raft.messagesAfterAppend = []
  raft.log.unstable.acceptInProgress()
  const last = ready.committedEntries.at(-1)
  if (last !== undefined) {
    const bytes = entriesSize(ready.committedEntries)
    raft.log.acceptApplying(last.index, bytes, !handover.asyncStorageWrites)
  }
  return ready
}

function makeReady(raft: Raft, handover: Handover): Ready {
  const softState = softStateOf(raft)
  const hardState = hardStateOf(raft)
  const isSynced = handover.hardState
  const ready: Ready = {
    softState: isSameSoftState(softState, handover.softState) ? undefined : softState,
    hardState: isSameHardState(hardState, handover.hardState) ? undefined : hardState,
    readStates: raft.readStates,
    entries: raft.log.unstable.nextEntries(),
    snapshot: raft.log.unstable.nextSnapshot(),
    committedEntries: raft.log.nextCommittedEntries(!handover.asyncStorageWrites),
    messages: [],
    mustSync: false,
  }
  const mustSync =
    ready.entries.length > 0 || hardState.term !== isSynced.term || hardState.vote !== isSynced.vote
  const own = handover.asyncStorageWrites
    ? listStorageMessages(raft, ready)
    : raft.messagesAfterAppend.filter((message) => message.to !== raft.id)
  return { ...ready, messages: [...raft.messages, ...own], mustSync }
}

function listStorageMessages(raft: Raft, ready: Ready): readonly Message[] {
  const messages: Message[] = []
  const isWrite =
    ready.entries.length > 0 || ready.hardState !== undefined || ready.snapshot !== undefined
  if (isWrite || raft.messagesAfterAppend.length > 0) messages.push(newStorageAppend(raft, ready))
  if (ready.committedEntries.length > 0) {
    messages.push({
      ...emptyMessage,
      type: 'storage-apply',
      to: LOCAL_APPLY_THREAD,
      from: raft.id,
      entries: ready.committedEntries,
      responses: [newStorageApplyResponse(raft, ready.committedEntries)],
    })
  }
  return messages
}

function newStorageAppend(raft: Raft, ready: Ready): Message {
  const responses = [...raft.messagesAfterAppend]
  // After the leader's acknowledgement to itself, which reads the terms of these entries: that
  // is faster as long as they are unstable.
  if (needsAppendResponse(raft, ready)) responses.push(newStorageAppendResponse(raft, ready))
  return {
    ...emptyMessage,
    ...ready.hardState,
    type: 'storage-append',
    to: LOCAL_APPEND_THREAD,
    from: raft.id,
    entries: ready.entries,
    snapshot: ready.snapshot,
    responses,
  }
}

/** Whether the node must hear when all that is unstable now is on disk. */
function needsAppendResponse(raft: Raft, ready: Ready): boolean {
  return raft.log.unstable.count > 0 || ready.snapshot !== undefined
}

/**
 * "All that was unstable when this was made is on disk": the end of the log then, and the
 * snapshot of this Ready.
 *
 * It bears the term, and is ignored in a later one, because of an ABA race: entries of a first
 * leader may be under way to the disk, then those of a second that replace them, then the first's
 * once more. The word that the first are on disk would free them from memory, while the second
 * are still to be written over them. And because it may be ignored, every later write speaks for
 * the whole log again, not only for its own entries: so nothing stays unstable for ever.
 */
function newStorageAppendResponse(raft: Raft, ready: Ready): Message {
  const last = raft.log.unstable.count > 0 ? raft.log.last() : { term: 0, index: 0 }
  return {
    ...emptyMessage,
    type: 'storage-append-response',
    to: raft.id,
    from: LOCAL_APPEND_THREAD,
    term: raft.term,
    index: last.index,
    logTerm: last.term,
    snapshot: ready.snapshot,
  }
}

/** Committed entries belong to no term. */
function newStorageApplyResponse(raft: Raft, entries: readonly Entry[]): Message {
  return {
    ...emptyMessage,
    type: 'storage-apply-response',
    to: raft.id,
    from: LOCAL_APPLY_THREAD,
    entries,
  }
}

function listStepsOnAdvance(raft: Raft, ready: Ready): readonly Message[] {
  const steps = raft.messagesAfterAppend.filter((message) => message.to === raft.id)
  if (needsAppendResponse(raft, ready)) steps.push(newStorageAppendResponse(raft, ready))
  if (ready.committedEntries.length > 0) {
    steps.push(newStorageApplyResponse(raft, ready.committedEntries))
  }
  return steps
}

function softStateOf(raft: Raft): SoftState {
  return { leader: raft.leader, role: raft.role }
}

function hardStateOf(raft: Raft): HardState {
  return { term: raft.term, vote: raft.vote, commit: raft.log.committed }
}

function isSameSoftState(a: SoftState, b: SoftState): boolean {
  return a.leader === b.leader && a.role === b.role
}

function isSameHardState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit
}
