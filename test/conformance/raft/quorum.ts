/**
 * Quorum files: `committed` and `vote` over one or two majorities. Beside the result it prints what
 * must not differ and does: another way to compute it, the halves exchanged, a majority joined with
 * nothing or with itself, and an index lowered that is below the result already.
 */
import {
  type AcknowledgedIndex,
  committedIndex,
  majorityIndex,
  majorityVote,
  type Quorum,
  type VoteResult,
  voteResult,
} from '../../../manager/raft/quorum.ts'
import { type Case, DataFileError, parseNumber } from './datadriven.ts'

const voteNames: Readonly<Record<VoteResult, string>> = {
  won: 'VoteWon',
  lost: 'VoteLost',
  pending: 'VotePending',
}

type Input = {
  readonly quorum: Quorum
  readonly isJoint: boolean
  /** By voter, in the order of their first appearance; undefined where nothing is known. */
  readonly values: ReadonlyMap<number, string | undefined>
}

/** The output of one case. */
export function runQuorumCase(next: Case): string {
  if (next.command !== 'committed' && next.command !== 'vote') {
    throw new DataFileError(next.line, `unknown command "${next.command}"`)
  }
  const input = parseInput(next)
  if (typeof input === 'string') return input
  return next.command === 'vote' ? vote(next, input) : committed(next, input)
}

function parseInput(next: Case): Input | string {
  let voters: readonly number[] = []
  let votersOutgoing: readonly number[] = []
  let isJoint = false
  let texts: readonly string[] = []
  for (const { key, values } of next.arguments) {
    const isZero = key === 'cfgj' && values[0] === 'zero' && values.length === 1
    const ids = (): readonly number[] => [
      ...new Set(values.map((value) => parseNumber(value, next.line))),
    ]
    if (key === 'cfg') voters = ids()
    else if (key === 'cfgj') {
      isJoint = values.length > 0
      votersOutgoing = isZero ? [] : ids()
    } else if (key === (next.command === 'vote' ? 'votes' : 'idx')) texts = values
    else throw new DataFileError(next.line, `unknown argument "${key}"`)
  }
  const all = [...new Set([...voters, ...votersOutgoing])]
  if (all.length !== texts.length) {
    return `error: mismatched input (explicit or _) for voters [${all.join(' ')}]: [${texts.join(' ')}]`
  }
  const known = texts.map((text) => (text === '_' ? undefined : text))
  const values = new Map(all.map((id, i) => [id, known[i]]))
  return { quorum: { voters, votersOutgoing }, isJoint, values }
}

function vote(next: Case, { quorum, isJoint, values }: Input): string {
  const votes = new Map<number, boolean>()
  for (const [id, text] of values) {
    if (text === undefined) continue
    if (text !== 'y' && text !== 'n') throw new DataFileError(next.line, `unknown vote "${text}"`)
    votes.set(id, text === 'y')
  }
  if (!isJoint) return `${voteNames[majorityVote(quorum.voters, votes)]}\n`
  const result = voteResult(quorum, votes)
  const exchanged = voteResult(exchange(quorum), votes)
  const note = exchanged === result ? '' : `${voteNames[exchanged]} <-- via symmetry\n`
  return `${note}${voteNames[result]}\n`
}

function committed(next: Case, { quorum, isJoint, values }: Input): string {
  const indexes = new Map<number, number>()
  for (const [id, text] of values) {
    if (text === undefined) continue
    const index = parseNumber(text, next.line)
    if (index === 0) throw new DataFileError(next.line, 'an index is not 0')
    indexes.set(id, index)
  }
  const acknowledged: AcknowledgedIndex = (id) => indexes.get(id)
  if (isJoint) {
    const result = committedIndex(quorum, acknowledged)
    const exchanged = committedIndex(exchange(quorum), acknowledged)
    const note = exchanged === result ? '' : `${formatIndex(exchanged)} <-- via symmetry\n`
    return `${drawBars([...values.keys()], indexes)}${note}${formatIndex(result)}\n`
  }
  const { voters } = quorum
  const result = majorityIndex(voters, acknowledged)
  const notes = listMajorityNotes(voters, indexes, result)
  return `${drawBars(voters, indexes)}${notes.join('')}${formatIndex(result)}\n`
}

function listMajorityNotes(
  voters: readonly number[],
  indexes: ReadonlyMap<number, number>,
  result: number,
): readonly string[] {
  const notes: string[] = []
  const check = (index: number, note: string): void => {
    if (index !== result) notes.push(`${formatIndex(index)} <-- ${note}\n`)
  }
  const acknowledged: AcknowledgedIndex = (id) => indexes.get(id)
  check(countSupporters(voters, indexes), 'via alternative computation')
  check(committedIndex({ voters, votersOutgoing: [] }, acknowledged), 'via zero-joint quorum')
  check(committedIndex({ voters, votersOutgoing: voters }, acknowledged), 'via self-joint quorum')
  for (const [id, index] of indexes) {
    if (index >= result) continue
    for (const lower of [index - 1, 0]) {
      const overlaid = new Map(indexes).set(id, lower)
      check(
        majorityIndex(voters, (voter) => overlaid.get(voter)),
        `overlaying ${id}->${lower === 0 ? 0 : index}`,
      )
    }
  }
  return notes
}

/** The highest index that a majority reaches, found by counting. */
function countSupporters(voters: readonly number[], indexes: ReadonlyMap<number, number>): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  let best = 0
  for (const index of indexes.values()) {
    const supporters = voters.filter((id) => (indexes.get(id) ?? 0) >= index).length
    if (supporters * 2 > voters.length) best = Math.max(best, index)
  }
  return best
}

function exchange({ voters, votersOutgoing }: Quorum): Quorum {
  return { voters: votersOutgoing, votersOutgoing: voters }
}

function formatIndex(index: number): string {
  return index === Number.POSITIVE_INFINITY ? '∞' : String(index)
}

/** A bar for each voter, as long as the number of voters with a lower index. */
function drawBars(voters: readonly number[], indexes: ReadonlyMap<number, number>): string {
  const count = voters.length
  if (count === 0) return '<empty majority quorum>'
  const of = (id: number): number => indexes.get(id) ?? 0
  let text = `${' '.repeat(count)}    idx\n`
  for (const id of [...voters].sort((a, b) => a - b)) {
    const bar = voters.filter((other) => of(other) < of(id)).length
    const isKnown = indexes.has(id)
    text += isKnown ? `${'x'.repeat(bar)}>${' '.repeat(count - bar)}` : `?${' '.repeat(count)}`
    text += ` ${String(of(id)).padStart(5)}    (id=${id})\n`
  }
  return text
}
