/**
 * Mutants between Raft and the store: the fences of the consensus thread, the group commit, cluster
 * time, linearizable reads and the identity of members.
 */
import type { Mutant } from './mutant.ts'

export const consensusMutants: readonly Mutant[] = [
  {
    name: 'applied-out-of-order',
    file: 'manager/consensus.ts',
    search: "this.#out.events.push({ kind: 'committed', entries: committed })",
    replacement: "this.#out.events.push({ kind: 'committed', entries: committed.toReversed() })",
    caughtBy: 'S6, assertion "no entry is left out"',
    why: 'managers come to different states from the same log',
  },
  {
    name: 'older-term-proposal-accepted',
    file: 'manager/consensus.ts',
    search: "if (this.#role !== 'leader' || this.#term !== input.term) return",
    replacement: "if (this.#role !== 'leader') return",
    caughtBy: 'assertion in the store or the writer, S9',
    why: 'what was decided on a state that no longer holds is committed by who leads again',
  },
  {
    name: 'compaction-beyond-applied',
    file: 'manager/consensus.ts',
    search: 'const compactIndex = this.#compaction.cutIndex(index)',
    replacement: 'const compactIndex = this.#raft.basicStatus().commit',
    caughtBy: 'S9, assertion "entries are applied before they are compacted"',
    why: 'entries are gone that main has not applied and no snapshot holds',
  },
  {
    name: 'raft-id-given-to-empty-directory',
    file: 'manager/member-join.ts',
    search: 'if (known !== undefined && known.raftId === request.raftId) {',
    replacement: 'if (known !== undefined) {',
    caughtBy: 'S12',
    why: 'a member that forgot its votes and entries counts as one that kept them',
  },
  {
    name: 'refusal-before-commit',
    file: 'manager/writer.ts',
    search: '    this.#confirming.set(id, { answers, after, index: undefined })\n',
    replacement:
      '    for (const answer of answers) this.#answer(answer, this.#config.store.view().index)\n    this.#confirming.set(id, { answers: [], after, index: undefined })\n',
    caughtBy: 'S10',
    why: 'a client is refused because of a change that is never committed, or by a leader that is none',
  },
  {
    name: 'answer-before-commit',
    file: 'manager/writer.ts',
    search:
      '      this.#inFlight.push({ proposal: id, answers: at === entries.length - 1 ? answers : [] })\n',
    replacement:
      '      for (const answer of answers) this.#answer(answer, this.#config.store.view().index + 1)\n      this.#inFlight.push({ proposal: id, answers: [] })\n',
    caughtBy: 'S5',
    why: 'a client is told that something is done which a crash of the leader undoes',
  },
  {
    name: 'cluster-time-back',
    file: 'manager/writer.ts',
    search: 'this.#baseTimeMs = config.store.view().timeMs',
    replacement: 'this.#baseTimeMs = 0',
    caughtBy: 'assertion "cluster time never goes back"',
    why: 'delays and time limits begin anew with each leader',
  },
  {
    name: 'leads-before-own-entry',
    file: 'manager/manager.ts',
    search: 'const isOwn = this.#isRaftLeader && entry.term === this.#term',
    replacement: 'const isOwn = this.#isRaftLeader',
    caughtBy:
      'assertion "what is applied beside a working view was proposed by it", or "an entry was committed that this leader did not propose"',
    why: 'a new leader decides on a state that lacks what the last one committed',
  },
  {
    name: 'read-before-applied',
    file: 'manager/read-calls.ts',
    search:
      '        this.#confirmed.push({ origin: reader.origin, index })\n        return undefined\n',
    replacement: "        return { kind: 'read', origin: reader.origin, outcome: index }\n",
    caughtBy: 'S10',
    why: 'a read is confirmed, and then answered from a state before it',
  },
  {
    name: 'forwarded-write-applied-twice',
    file: 'manager/calls.ts',
    search: "outcome.code === 'unavailable' && outcome.retriable",
    replacement: "outcome.code === 'unavailable'",
    caughtBy: 'S10',
    why: 'a write whose outcome is unknown is asked for again, and its own success refuses it',
  },
]
