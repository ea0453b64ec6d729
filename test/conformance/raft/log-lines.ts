/**
 * etcd's log lines, made from the core's trace events: level and text of each. Whether a level is
 * shown is decided by the environment.
 */
import type { ConfChangeRefusal, ProposalRefusal, TraceEvent } from '../../../manager/raft/trace.ts'
import {
  describeConfChange,
  describeConfiguration,
  describeProgress,
  hex,
  messageNames,
  roleNames,
} from './describe.ts'

export type Level = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR'

export type LogLine = { readonly level: Level; readonly text: string }

type Event<K extends TraceEvent['kind']> = Extract<TraceEvent, { readonly kind: K }>

/** The line that etcd's node `id` writes when this happens; undefined if it writes none. */
export function formatLogLine(id: number, event: TraceEvent): LogLine | undefined {
  const me = hex(id)
  switch (event.kind) {
    case 'started':
      return info(
        `newRaft ${me} [peers: [${event.voters.map(hex).join(',')}], term: ${event.term}, ` +
          `commit: ${event.commit}, applied: ${event.applied}, ` +
          `lastindex: ${event.last.index}, lastterm: ${event.last.term}]`,
      )
    case 'configuration-switched':
      return info(`${me} switched to configuration ${describeConfiguration(event.confState)}`)
    case 'conf-change-ignored':
      return info(
        `${me} ignoring conf change ${describeConfChange(event.entryType, event.change)} at ` +
          `config ${describeConfiguration(event.confState)}: ${formatRefusal(event.refusal)}`,
      )
    case 'joint-leave-started':
      return info(
        'initiating automatic transition out of joint configuration ' +
          describeConfiguration(event.confState),
      )
    case 'joint-leave-dropped':
      return debug(
        'not initiating automatic transition out of joint configuration ' +
          `${describeConfiguration(event.confState)}: raft proposal dropped`,
      )
    case 'became':
      return info(`${me} became ${event.role} at term ${event.term}`)
    case 'higher-term':
      return info(
        `${me} [term: ${event.term}] received a ${messageNames[event.type]} message with higher ` +
          `term from ${hex(event.from)} [term: ${event.messageTerm}]`,
      )
    case 'lower-term-ignored':
      return info(
        `${me} [term: ${event.term}] ignored a ${messageNames[event.type]} message with lower ` +
          `term from ${hex(event.from)} [term: ${event.messageTerm}]`,
      )
    case 'stale-append-ignored':
      return info(
        `${me} [term: ${event.term}] ignored entry appends from a MsgStorageAppendResp message ` +
          `with lower term [term: ${event.messageTerm}]`,
      )
    case 'quorum-inactive':
      return warn(`${me} stepped down to follower since quorum is not active`)
    case 'leader-forgotten':
      return info(`${me} forgetting leader ${hex(event.leader)} at term ${event.term}`)
    case 'forget-leader-refused':
      return error('ignoring MsgForgetLeader due to ReadOnlyLeaseBased')
    case 'campaign-ignored':
      return formatCampaignIgnored(me, event)
    case 'election-started':
      return info(`${me} is starting a new election at term ${event.term}`)
    case 'vote-requested':
      return info(
        `${me} [logterm: ${event.last.term}, index: ${event.last.index}] sent ` +
          `${messageNames[event.request]} request to ${hex(event.to)} at term ${event.term}`,
      )
    case 'vote-received':
      return info(
        `${me} received ${messageNames[event.response]}${event.granted ? '' : ' rejection'} ` +
          `from ${hex(event.from)} at term ${event.term}`,
      )
    case 'votes-counted':
      return info(
        `${me} has received ${event.granted} ${messageNames[event.response]} votes and ` +
          `${event.rejected} vote rejections`,
      )
    case 'vote-cast':
    case 'vote-rejected':
    case 'vote-ignored-in-lease':
      return info(formatVote(me, event))
    case 'transfer':
      return formatTransfer(me, event)
    case 'timeout-now-received':
      return info(
        `${me} [term ${event.term}] received MsgTimeoutNow from ${hex(event.from)} and starts an ` +
          'election to get leadership.',
      )
    case 'timeout-now-ignored':
      return debug(
        `${me} [term ${event.term} state ${roleNames[event.role]}] ignored MsgTimeoutNow from ` +
          hex(event.from),
      )
    case 'proposal-dropped':
      return formatProposalDropped(me, event.term, event.refusal)
    case 'read-dropped':
      return info(`${me} no leader at term ${event.term}; dropping index reading msg`)
    case 'append-rejected': {
      const { index, term } = event.previous
      return debug(
        `${me} [logterm: ${event.ownTerm}, index: ${index}] rejected MsgApp ` +
          `[logterm: ${term}, index: ${index}] from ${hex(event.from)}`,
      )
    }
    case 'conflict-found':
      return info(
        `found conflict at index ${event.index} [existing term: ${event.ownTerm}, ` +
          `conflicting term: ${event.term}]`,
      )
    case 'unstable-replaced':
      return info(`replace the unstable entries from index ${event.index}`)
    case 'unstable-truncated':
      return info(`truncate the unstable entries before index ${event.index}`)
    case 'stable-missing':
      return info(`entry at index ${event.index} missing from unstable log; ignoring`)
    case 'stable-matched-snapshot':
      return info(`entry at index ${event.index} matched unstable snapshot; ignoring`)
    case 'stable-mismatched': {
      const { index, term } = event.stable
      return info(
        `entry at (index,term)=(${index},${term}) mismatched with entry at ` +
          `(${index},${event.ownTerm}) in unstable log; ignoring`,
      )
    }
    case 'peer-unknown':
      return debug(`${me} no progress available for ${hex(event.from)}`)
    case 'rejection-received':
      return debug(
        `${me} received MsgAppResp(rejected, hint: (index ${event.hint.index}, ` +
          `term ${event.hint.term})) from ${hex(event.from)} for index ${event.index}`,
      )
    case 'progress-decreased':
      return debug(
        `${me} decreased progress of ${hex(event.to)} to [${describeProgress(event.progress)}]`,
      )
    case 'peer-unreachable':
      return debug(
        `${me} failed to send message to ${hex(event.to)} because it is unreachable ` +
          `[${describeProgress(event.progress)}]`,
      )
    case 'snapshot-sent':
      return debug(
        `${me} [firstindex: ${event.firstIndex}, commit: ${event.commit}] sent snapshot` +
          `[index: ${event.snapshot.index}, term: ${event.snapshot.term}] to ${hex(event.to)} ` +
          `[${describeProgress(event.progress)}]`,
      )
    case 'replication-paused':
      return debug(
        `${me} paused sending replication messages to ${hex(event.to)} ` +
          `[${describeProgress(event.progress)}]`,
      )
    case 'snapshot-not-sent':
      return formatSnapshotNotSent(me, event)
    case 'replication-resumed':
      return formatResumed(me, event)
    case 'restore-started':
      return info(
        `log [committed=${event.commit}, applied=${event.applied}, applying=${event.applying}, ` +
          `unstable.offset=${event.unstableOffset}, ` +
          `unstable.offsetInProgress=${event.unstableOffsetInProgress}, ` +
          `len(unstable.Entries)=${event.unstableCount}] starts to restore snapshot ` +
          `[index: ${event.snapshot.index}, term: ${event.snapshot.term}]`,
      )
    case 'restored':
    case 'fast-forwarded': {
      const verb = event.kind === 'restored' ? 'restored' : 'fast-forwarded commit to'
      return info(
        `${me} [commit: ${event.commit}, lastindex: ${event.last.index}, ` +
          `lastterm: ${event.last.term}] ${verb} snapshot ` +
          `[index: ${event.snapshot.index}, term: ${event.snapshot.term}]`,
      )
    }
    case 'restore-refused':
      return warn(
        `${me} attempted to restore snapshot but it is not in the ConfState ` +
          `${describeConfiguration(event.confState)}; should never happen`,
      )
    case 'snapshot-handled':
      return info(
        `${me} [commit: ${event.commit}] ${event.outcome} snapshot ` +
          `[index: ${event.snapshot.index}, term: ${event.snapshot.term}]`,
      )
    default:
      return event satisfies never
  }
}

function formatRefusal(refusal: ConfChangeRefusal): string {
  switch (refusal.kind) {
    case 'pending':
      return (
        `possible unapplied conf change at index ${refusal.pendingIndex} ` +
        `(applied to ${refusal.applied})`
      )
    case 'joint':
      return 'must transition out of joint config first'
    case 'not-joint':
      return 'not in joint state; refusing empty conf change'
    default:
      return refusal satisfies never
  }
}

function formatCampaignIgnored(me: string, { reason, term }: Event<'campaign-ignored'>): LogLine {
  switch (reason) {
    case 'leader':
      return debug(`${me} ignoring MsgHup because already leader`)
    case 'not-promotable':
      return warn(`${me} is unpromotable and can not campaign`)
    case 'conf-change-unapplied':
      return warn(
        `${me} cannot campaign at term ${term} since there are still pending configuration ` +
          'changes to apply',
      )
    default:
      return reason satisfies never
  }
}

type VoteEvent = Event<'vote-cast' | 'vote-rejected' | 'vote-ignored-in-lease'>

function formatVote(me: string, event: VoteEvent): string {
  const { last, candidate, term } = event
  const own = `${me} [logterm: ${last.term}, index: ${last.index}, vote: ${hex(event.vote)}]`
  const other = `${hex(event.from)} [logterm: ${candidate.term}, index: ${candidate.index}]`
  const request = messageNames[event.request]
  switch (event.kind) {
    case 'vote-cast':
      return `${own} cast ${request} for ${other} at term ${term}`
    case 'vote-rejected':
      return `${own} rejected ${request} from ${other} at term ${term}`
    case 'vote-ignored-in-lease':
      return (
        `${own} ignored ${request} from ${other} at term ${term}: lease is not expired ` +
        `(remaining ticks: ${event.remainingTicks})`
      )
    default:
      return event satisfies never
  }
}

function formatTransfer(me: string, event: Event<'transfer'>): LogLine {
  const { step, term } = event
  const target = hex(event.target)
  switch (step) {
    case 'started':
      return info(`${me} [term ${term}] starts to transfer leadership to ${target}`)
    case 'already-in-progress':
      return info(
        `${me} [term ${term}] transfer leadership to ${target} is in progress, ignores request ` +
          `to same node ${target}`,
      )
    case 'previous-aborted':
      return info(`${me} [term ${term}] abort previous transferring leadership to ${target}`)
    case 'to-self-ignored':
      return debug(`${me} is already leader. Ignored transferring leadership to self`)
    case 'to-learner-ignored':
      return debug(`${me} is learner. Ignored transferring leadership`)
    case 'timeout-now-sent-at-once':
      return info(
        `${me} sends MsgTimeoutNow to ${target} immediately as ${target} already has up-to-date log`,
      )
    case 'timeout-now-sent':
      return info(`${me} sent MsgTimeoutNow to ${target} after received MsgAppResp`)
    case 'no-leader':
      return info(`${me} no leader at term ${term}; dropping leader transfer msg`)
    default:
      return step satisfies never
  }
}

function formatProposalDropped(
  me: string,
  term: number,
  refusal: ProposalRefusal,
): LogLine | undefined {
  switch (refusal.kind) {
    case 'no-leader':
      return info(`${me} no leader at term ${term}; dropping proposal`)
    case 'forwarding-off':
      return info(
        `${me} not forwarding to leader ${hex(refusal.leader)} at term ${term}; dropping proposal`,
      )
    case 'transfer':
      return debug(
        `${me} [term ${term}] transfer leadership to ${hex(refusal.target)} is in progress; ` +
          'dropping proposal',
      )
    case 'uncommitted-limit':
      return warn(
        `${me} appending new entries to log would exceed uncommitted entry size limit; ` +
          'dropping proposal',
      )
    case 'not-a-member':
      return undefined
    default:
      return refusal satisfies never
  }
}

function formatSnapshotNotSent(me: string, event: Event<'snapshot-not-sent'>): LogLine {
  const to = hex(event.to)
  return event.reason === 'inactive'
    ? debug(`ignore sending snapshot to ${to} since it is not recently active`)
    : debug(`${me} failed to send snapshot to ${to} because snapshot is temporarily unavailable`)
}

function formatResumed(me: string, event: Event<'replication-resumed'>): LogLine {
  const reasons = {
    'caught-up': 'recovered from needing snapshot',
    'snapshot-finished': 'snapshot succeeded',
    'snapshot-failed': 'snapshot failed',
  } as const
  return debug(
    `${me} ${reasons[event.reason]}, resumed sending replication messages to ` +
      `${hex(event.to)} [${describeProgress(event.progress)}]`,
  )
}

function debug(text: string): LogLine {
  return { level: 'DEBUG', text }
}

function info(text: string): LogLine {
  return { level: 'INFO', text }
}

function warn(text: string): LogLine {
  return { level: 'WARN', text }
}

function error(text: string): LogLine {
  return { level: 'ERROR', text }
}
