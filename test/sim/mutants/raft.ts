/**
 * Mutants of the Raft core: elections, replication, commit, reads and membership. What each breaks
 * is a claim of the thesis.
 */
import type { Mutant } from './mutant.ts'

export const raftMutants: readonly Mutant[] = [
  {
    name: 'acknowledge-before-write',
    file: 'manager/raft/state.ts',
    search:
      "    case 'append-response':\n    case 'vote-response':\n    case 'pre-vote-response':\n      return true",
    replacement:
      "    case 'append-response':\n      return message.to === message.from\n    case 'vote-response':\n    case 'pre-vote-response':\n      return true",
    caughtBy: 'S7',
    why: 'a follower acknowledges entries that are not on its disk: a crash loses what was committed',
  },
  {
    name: 'vote-before-write',
    file: 'manager/raft/state.ts',
    search: "    case 'vote-response':\n    case 'pre-vote-response':\n      return true",
    replacement:
      "      return true\n    case 'vote-response':\n    case 'pre-vote-response':\n      return message.to === message.from",
    caughtBy: 'S7',
    why: 'a vote that a crash can make forgotten is given again to another candidate',
  },
  {
    name: 'vote-twice',
    file: 'manager/raft/election.ts',
    search: '(raft.vote === NONE && raft.leader === NONE)',
    replacement: 'raft.leader === NONE',
    caughtBy: 'S1, assertion "one vote a term"',
    why: 'two candidates of one term can both win',
  },
  {
    name: 'vote-for-shorter-log',
    file: 'manager/raft/election.ts',
    search: '!isFree || !raft.log.isUpToDate({ term: message.logTerm, index: message.index })',
    replacement: '!isFree',
    caughtBy: 'S4',
    why: 'a candidate that lacks committed entries leads, and overwrites them',
  },
  {
    name: 'vote-forgotten-at-restart',
    file: 'manager/raft/state.ts',
    search: 'vote: hardState.vote,',
    replacement: 'vote: NONE,',
    caughtBy: 'S7, assertion "one vote a term"',
    why: 'a node that restarts within a term votes in it a second time',
  },
  {
    name: 'commit-older-term-by-counting',
    file: 'manager/raft/replication.ts',
    search: 'commitIfMatches({ term: raft.term, index })',
    replacement: 'commitIfMatches({ term: raft.log.termOrZero(index), index })',
    caughtBy: 'S4, assertion "reads go on after the first commit of the term"',
    why: 'an entry of an older term that a majority holds can still be overwritten (figure 8)',
  },
  {
    name: 'commit-by-half',
    file: 'manager/raft/quorum.ts',
    search: 'return Math.floor(count / 2) + 1',
    replacement: 'return Math.max(1, Math.floor(count / 2))',
    caughtBy: 'S1, S2',
    why: 'two parts of a cluster both decide',
  },
  {
    name: 'learner-counted-in-quorum',
    file: 'manager/raft/replication.ts',
    search: 'committedIndex(raft.confState, (voter) => raft.progress.get(voter)?.match)',
    replacement:
      '[...raft.progress.values()].map((peer) => peer.match).sort((a, b) => b - a)[Math.floor(raft.confState.voters.length / 2)] ?? 0',
    caughtBy: 'S4',
    why: 'what a minority of the voters has counts as committed',
  },
  {
    name: 'no-step-down-without-quorum',
    file: 'manager/raft/raft.ts',
    search:
      "    raft.trace?.({ kind: 'quorum-inactive' })\n    becomeFollower(raft, raft.term, NONE)",
    replacement: "    raft.trace?.({ kind: 'quorum-inactive' })",
    caughtBy: 'S13',
    why: 'a leader that was parted from the others goes on to answer for the cluster',
  },
  {
    name: 'read-index-unconfirmed',
    file: 'manager/raft/read-index.ts',
    search: "if (isSingleton(raft) || raft.settings.readOnly === 'lease-based') {",
    replacement: 'if (raft.role !== undefined) {',
    caughtBy: 'S10',
    why: 'a leader that was replaced and does not know it yet serves stale reads',
  },
  {
    name: 'previous-entry-unchecked',
    file: 'manager/raft/log.ts',
    search: '    if (!this.matches(previous)) return undefined\n    const lastNew',
    replacement: '    if (previous.index > this.lastIndex()) return undefined\n    const lastNew',
    caughtBy: 'S2, S3',
    why: 'a follower takes entries on top of others than the leader has',
  },
  {
    name: 'commit-of-heartbeat-unbounded',
    file: 'manager/raft/heartbeat.ts',
    search: 'Math.min(progress.match, raft.log.committed)',
    replacement: 'raft.log.committed',
    caughtBy: 'S2, assertion "commit past the end"',
    why: 'a follower commits entries of its own that the leader does not have',
  },
  {
    name: 'membership-change-while-one-is-pending',
    file: 'manager/raft/proposal.ts',
    search: "  if (pendingIndex > applied) return { kind: 'pending', pendingIndex, applied }\n",
    replacement: '',
    caughtBy: 'S12',
    why: 'two configurations that differ by more than one member are in force at once',
  },
  {
    name: 'campaign-with-unapplied-change',
    file: 'manager/raft/election.ts',
    search: '} else if (hasUnappliedConfChange(raft)) {',
    replacement: '} else if (raft.term < 0 && hasUnappliedConfChange(raft)) {',
    caughtBy: 'S12',
    why: 'a node counts the votes of a configuration that is no longer in force',
  },
  {
    name: 'snapshot-without-configuration',
    file: 'manager/raft/snapshot.ts',
    search: '  adoptMembership(raft, restoreMembership(confState, tracking))\n',
    replacement:
      '  adoptMembership(raft, { confState: raft.confState, progress: raft.progress })\n',
    caughtBy: 'S12',
    why: 'a member that was brought up to date by a snapshot counts the votes of members long gone',
  },
]
