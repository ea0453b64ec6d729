/**
 * What a round's history says: acknowledged writes that are lost, and registers that are not
 * linearizable. The first is found without the checker's search: each update names the label that it
 * replaced, so from the last label read a chain leads back to the creation, and whatever was
 * acknowledged stands in it. The search (`test/sim/checkers`) finds stale reads, and all else.
 */
import type { History, Register } from '../../sim/checkers/history.ts'
import { checkHistory } from '../../sim/checkers/registers.ts'

export type Judgement = {
  /** Acknowledged updates: how many, and the labels of those that are gone. */
  readonly updates: number
  readonly lost: readonly string[]
  readonly reads: number
  readonly violations: readonly string[]
}

/** After every register was read once more when all was quiet. */
export function judgeHistory(history: History): Judgement {
  const calls = [...history.registers.values()].flatMap((register) => register.calls)
  return {
    updates: calls.filter(
      ({ request, answer }) => request.kind === 'update' && answer.kind === 'done',
    ).length,
    reads: calls.filter(({ answer }) => answer.kind === 'value').length,
    lost: [...history.registers.values()].flatMap(listLost),
    violations: [...checkHistory(history)],
  }
}

function listLost({ name, calls }: Register): readonly string[] {
  const replaced = new Map<string, string>()
  const acknowledged: string[] = []
  let last = ''
  for (const { request, answer } of calls) {
    if (request.kind === 'update' && (answer.kind === 'done' || answer.kind === 'unknown'))
      replaced.set(request.to, request.from)
    if (request.kind === 'update' && answer.kind === 'done') acknowledged.push(request.to)
    if (request.kind === 'create' && answer.kind === 'done') acknowledged.push(request.label)
    if (answer.kind === 'value') last = answer.label
  }
  const chain = new Set<string>()
  for (let label: string | undefined = last; label !== undefined; label = replaced.get(label))
    chain.add(label)
  return acknowledged.filter((label) => !chain.has(label)).map((label) => `${name} ${label}`)
}
