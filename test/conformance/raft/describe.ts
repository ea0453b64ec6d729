/**
 * etcd's texts for values: messages, entries, Readies, configurations, progress. What they say is
 * the core's; how it is written is `raft/util.go`'s and `tracker/`'s.
 */
import {
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  type ConfState,
  type Entry,
  type EntryType,
  emptyConfState,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type MessageType,
  NONE,
  type Snapshot,
} from '../../../manager/raft/message.ts'
import type { Ready } from '../../../manager/raft/ready.ts'
import type { Role } from '../../../manager/raft/state.ts'
import type { ProgressView } from '../../../manager/raft/trace.ts'

export const messageNames: Readonly<Record<MessageType, string>> = {
  campaign: 'MsgHup',
  beat: 'MsgBeat',
  'check-quorum': 'MsgCheckQuorum',
  unreachable: 'MsgUnreachable',
  'snapshot-status': 'MsgSnapStatus',
  'storage-append': 'MsgStorageAppend',
  'storage-append-response': 'MsgStorageAppendResp',
  'storage-apply': 'MsgStorageApply',
  'storage-apply-response': 'MsgStorageApplyResp',
  propose: 'MsgProp',
  append: 'MsgApp',
  'append-response': 'MsgAppResp',
  vote: 'MsgVote',
  'vote-response': 'MsgVoteResp',
  'pre-vote': 'MsgPreVote',
  'pre-vote-response': 'MsgPreVoteResp',
  snapshot: 'MsgSnap',
  heartbeat: 'MsgHeartbeat',
  'heartbeat-response': 'MsgHeartbeatResp',
  'read-index': 'MsgReadIndex',
  'read-index-response': 'MsgReadIndexResp',
  'transfer-leader': 'MsgTransferLeader',
  'timeout-now': 'MsgTimeoutNow',
  'forget-leader': 'MsgForgetLeader',
}

export const roleNames: Readonly<Record<Role, string>> = {
  follower: 'StateFollower',
  'pre-candidate': 'StatePreCandidate',
  candidate: 'StateCandidate',
  leader: 'StateLeader',
}

const entryNames: Readonly<Record<EntryType, string>> = {
  normal: 'EntryNormal',
  'conf-change': 'EntryConfChange',
  'conf-change-v2': 'EntryConfChangeV2',
}

const progressNames: Readonly<Record<ProgressView['state'], string>> = {
  probe: 'StateProbe',
  replicate: 'StateReplicate',
  snapshot: 'StateSnapshot',
}

const changeLetters: Readonly<Record<ConfChangeType, string>> = {
  'add-voter': 'v',
  'add-learner': 'l',
  'remove-node': 'r',
  'update-node': 'u',
}

const changeNames: Readonly<Record<ConfChangeType, string>> = {
  'add-voter': 'ConfChangeAddNode',
  'add-learner': 'ConfChangeAddLearnerNode',
  'remove-node': 'ConfChangeRemoveNode',
  'update-node': 'ConfChangeUpdateNode',
}

const transitionNames: Readonly<Record<ConfChangeTransition, string>> = {
  auto: 'ConfChangeTransitionAuto',
  'joint-implicit': 'ConfChangeTransitionJointImplicit',
  'joint-explicit': 'ConfChangeTransitionJointExplicit',
}

/** A node id as etcd writes it in log lines and messages. */
export function hex(id: number): string {
  return id.toString(16)
}

export function describeReady(ready: Ready | undefined): string {
  if (ready === undefined) return '<empty Ready>'
  const lines: string[] = []
  const { softState, hardState, readStates, snapshot } = ready
  if (softState !== undefined) {
    lines.push(`Lead:${softState.leader} State:${roleNames[softState.role]}`)
  }
  if (hardState !== undefined) lines.push(`HardState ${describeHardState(hardState)}`)
  if (readStates.length > 0) {
    const states = readStates.map(({ index, context }) => `{${index} [${[...context].join(' ')}]}`)
    lines.push(`ReadStates [${states.join(' ')}]`)
  }
  if (ready.entries.length > 0) lines.push('Entries:', ...ready.entries.map(describeEntry))
  if (snapshot !== undefined) lines.push(`Snapshot ${describeSnapshot(snapshot)}`)
  if (ready.committedEntries.length > 0) {
    lines.push('CommittedEntries:', ...ready.committedEntries.map(describeEntry))
  }
  if (ready.messages.length > 0) {
    lines.push('Messages:', ...ready.messages.map((message) => describeMessage(message)))
  }
  if (lines.length === 0) return '<empty Ready>'
  return `Ready MustSync=${ready.mustSync}:\n${lines.join('\n')}\n`
}

export function describeMessage(message: Message, indent = ''): string {
  const { from, to, type, term, logTerm, index, entries, snapshot, responses } = message
  let text = `${indent}${describeTarget(from)}->${describeTarget(to)} ${messageNames[type]}`
  text += ` Term:${term} Log:${logTerm}/${index}`
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`
  if (message.commit !== 0) text += ` Commit:${message.commit}`
  if (message.vote !== 0) text += ` Vote:${message.vote}`
  if (entries.length === 1) {
    text += ` Entries:[${entries.map(describeEntry).join('')}]`
  } else if (entries.length > 1) {
    const lines = entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`)
    text += ` Entries:[${lines.join('')}\n${indent}]`
  }
  if (snapshot !== undefined && snapshot.index > 0) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(snapshot)}`
  }
  if (responses.length > 0) {
    const lines = responses.map((response) => `\n${describeMessage(response, `${indent}  `)}`)
    text += ` Responses:[${lines.join('')}\n${indent}]`
  }
  return text
}

export function describeEntry(entry: Entry): string {
  const payload =
    entry.type === 'normal'
      ? quote(entry.data)
      : (entry.confChange?.changes ?? []).map(describeChange).join(' ')
  const head = `${entry.term}/${entry.index} ${entryNames[entry.type]}`
  return payload === '' ? head : `${head} ${payload}`
}

export function describeSnapshot({ index, term, confState }: Snapshot): string {
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState ?? emptyConfState)}`
}

function describeConfState(state: ConfState): string {
  const list = (ids: readonly number[]): string => `[${ids.join(' ')}]`
  return [
    `Voters:${list(state.voters)}`,
    `VotersOutgoing:${list(state.votersOutgoing)}`,
    `Learners:${list(state.learners)}`,
    `LearnersNext:${list(state.learnersNext)}`,
    `AutoLeave:${state.autoLeave}`,
  ].join(' ')
}

/** A configuration as it is tracked: `voters=(1 2)&&(1) learners=(3)`. */
export function describeConfiguration(state: ConfState): string {
  const list = (ids: readonly number[]): string => `(${ids.join(' ')})`
  const { votersOutgoing, learners, learnersNext } = state
  let text = `voters=${list(state.voters)}`
  if (votersOutgoing.length > 0) text += `&&${list(votersOutgoing)}`
  if (learners.length > 0) text += ` learners=${list(learners)}`
  if (learnersNext.length > 0) text += ` learners_next=${list(learnersNext)}`
  return state.autoLeave ? `${text} autoleave` : text
}

/** One line for each node. */
export function describeProgressMap(progress: ReadonlyMap<number, ProgressView>): string {
  return [...progress].map(([id, view]) => `${id}: ${describeProgress(view)}\n`).join('')
}

export function describeProgress(view: ProgressView): string {
  let text = `${progressNames[view.state]} match=${view.match} next=${view.next}`
  if (view.isLearner) text += ' learner'
  if (view.isPaused) text += ' paused'
  if (view.pendingSnapshot > 0) text += ` pendingSnap=${view.pendingSnapshot}`
  if (!view.recentActive) text += ' inactive'
  if (view.inflightCount > 0) text += ` inflight=${view.inflightCount}`
  return view.inflightFull && view.inflightCount > 0 ? `${text}[full]` : text
}

/** A change as protobuf writes it: the v1 form is flat. */
export function describeConfChange(type: EntryType, change: ConfChangeV2): string {
  const fields = change.changes.map((single) => {
    return `type:${changeNames[single.type]} node_id:${single.nodeId}`
  })
  const context = change.context.length > 0 ? [`context:${quote(change.context)}`] : []
  if (type === 'conf-change') return [...fields, ...context].join(' ')
  const changes = fields.map((field) => `changes:{${field}}`)
  return [`transition:${transitionNames[change.transition]}`, ...changes, ...context].join(' ')
}

function describeChange({ type, nodeId }: ConfChangeSingle): string {
  return `${changeLetters[type]}${nodeId}`
}

function describeHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === NONE ? '' : ` Vote:${vote}`} Commit:${commit}`
}

function describeTarget(id: number): string {
  switch (id) {
    case NONE:
      return 'None'
    case LOCAL_APPEND_THREAD:
      return 'AppendThread'
    case LOCAL_APPLY_THREAD:
      return 'ApplyThread'
    default:
      return hex(id)
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

/** Bytes as Go quotes them, for ASCII and what is not printable in it. */
function quote(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const char = String.fromCharCode(byte)
    const isPrintable = byte >= 0x20 && byte < 0x7f
    text += ESCAPES[char] ?? (isPrintable ? char : `\\x${byte.toString(16).padStart(2, '0')}`)
  }
  return `"${text}"`
}
