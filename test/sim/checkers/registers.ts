/**
 * S10: every object's history of versions is linearizable. An object of the API is a register that
 * holds the label of its last write: creation needs it empty, an update or a removal needs what the
 * client had seen, and a list reads all registers of its kind. An update may be rolled back by the
 * cluster itself where its spec says so, at any time and once: there is no spec before that then.
 */
import { type Call, creationOf, type History, type Register } from './history.ts'
import { judge, type Operation } from './linearizable.ts'

/** How many of a register's calls are shown with a violation. */
const SHOWN = 12

/** `label previous`: what the object's spec is, and which one a rollback would come back to. */
type State = string

/** What is wrong with the history, register by register. */
export function* checkHistory(history: History): Iterable<string> {
  for (const register of history.registers.values()) {
    const verdict = judge(operationsOf(register, history.rollsBack), ' ')
    if (verdict.kind === 'undecided')
      yield `S10: the history of ${nameOf(register)} has too many orders to be judged`
    if (verdict.kind !== 'violated') continue
    yield `S10: ${nameOf(register)} is not linearizable: ${describe(register, verdict.at)}`
  }
}

function operationsOf(
  register: Register,
  rollsBack: ReadonlySet<string>,
): readonly Operation<State>[] {
  return register.calls.map((call) => ({
    invokedAt: call.invokedAt,
    answeredAt: call.answeredAt,
    next: (state) => [
      ...nextOf(register, call, state),
      ...rolledBack(state, rollsBack).flatMap((before) => nextOf(register, call, before)),
    ],
  }))
}

/** What the cluster may have made of it by itself. */
function rolledBack(state: State, rollsBack: ReadonlySet<string>): readonly State[] {
  const [label = '', previous = ''] = state.split(' ')
  return previous === '' || !rollsBack.has(label) ? [] : [`${previous} `]
}

function nextOf(register: Register, { request, answer }: Call, state: State): readonly State[] {
  const [label = '', previous = ''] = state.split(' ')
  const isDone = answer.kind === 'done' || answer.kind === 'unknown'
  switch (request.kind) {
    case 'create':
      if (isDone) return label === '' ? [`${request.label} `] : []
      return answer.kind === 'exists' && label === '' ? [] : [state]
    case 'update':
      if (isDone) return label === request.from ? [`${request.to} ${label}`] : []
      return isRefusalPossible(register, { request, answer }, label) ? [state] : []
    case 'rollback':
      if (!isDone) return [state]
      return label === request.from && previous !== '' ? [`${previous} ${label}`] : []
    case 'remove':
      // A node was not made by a client: only its id says which it is.
      if (isDone) return isSame(register, label, request.creation) ? [' '] : []
      return answer.kind === 'missing' && creationOf(label) === request.creation && label !== ''
        ? []
        : [state]
    case 'read':
      return answer.kind === 'value' && answer.label === label ? [state] : []
    case 'restore':
      return [`${request.label} ${request.previous}`]
    default:
      return request satisfies never
  }
}

function isSame({ kind }: Register, label: string, creation: string): boolean {
  return kind === 'node' || creationOf(label) === creation
}

/** Services and nodes are changed by the cluster too: that their version is another says nothing. */
function isRefusalPossible(
  { kind }: Register,
  { request, answer }: Pick<Call, 'request' | 'answer'>,
  label: string,
): boolean {
  if (request.kind !== 'update') return true
  if (answer.kind === 'missing' && kind !== 'node')
    return creationOf(label) !== creationOf(request.from)
  if (answer.kind === 'changed' && (kind === 'secret' || kind === 'config'))
    return label !== request.from
  return true
}

function nameOf({ kind, name }: Register): string {
  return `${kind} ${name}`
}

/** The call that cannot be, and those before it. */
function describe({ calls }: Register, at: number): string {
  const culprit = calls[at]
  const shown = calls
    .filter(({ invokedAt }) => invokedAt <= (culprit?.answeredAt ?? 0))
    .slice(-SHOWN)
  return shown.map(formatCall).join('; ')
}

function formatCall({ request, answer, invokedAt, answeredAt }: Call): string {
  const { kind, ...rest } = request
  const what = [kind, ...Object.values(rest)].join(' ')
  const came = answer.kind === 'value' ? `'${answer.label}'` : answer.kind
  return `${invokedAt}-${answeredAt ?? '?'} ${what} = ${came}`
}
