/**
 * Placement constraints: text to expression, and expression against node. It decides which texts
 * are well formed and what each key means (SwarmKit's manager/constraint, which users of
 * `--constraint` know); where tasks go is the scheduler's. Constraints of one placement are
 * combined by AND. A key that is not known is well formed and never matches. There are no globs
 * and no regular expressions, although their characters are allowed in values.
 */
import { findAddress, findSubnet, isInSubnet, isSameAddress } from '../../lib/cidr.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Node } from '../../proto/gen/objects.ts'
import type { Placement } from '../../proto/gen/specs.ts'

export type Constraint = {
  readonly key: string
  readonly operator: '==' | '!='
  readonly value: string
}

/** The order in which operators are looked for: the first one found splits the text. */
const OPERATORS = ['==', '!='] as const
const KEY = /^[a-z_][a-z0-9\-_.]+$/i
const VALUE = /^[a-z0-9:\-_ \t\n\f\r.*()?+[\]\\^$|/]+$/i
const NODE_LABELS = 'node.labels.'
const ENGINE_LABELS = 'engine.labels.'

/** The expression; SwarmError `invalid-argument` that names the constraint where it is none. */
export function parseConstraint(text: string): Constraint {
  for (const operator of OPERATORS) {
    const at = text.indexOf(operator)
    if (at < 0) continue
    const key = text.slice(0, at).trim()
    const value = text.slice(at + operator.length).trim()
    if (!KEY.test(key)) throw refusal(text, `key '${key}' is invalid`)
    if (!VALUE.test(value)) throw refusal(text, `value '${value}' is invalid`)
    return { key, operator, value }
  }
  throw refusal(text, 'constraint expected one operator from ==, !=')
}

/** The expressions of a placement, in its order; none where it is absent. */
export function parseConstraints(placement: Placement | undefined): readonly Constraint[] {
  return (placement?.constraints ?? []).map(parseConstraint)
}

/** Whether the node satisfies all constraints. */
export function matchesConstraints(constraints: readonly Constraint[], node: Node): boolean {
  return constraints.every((constraint) => matchesConstraint(constraint, node))
}

function matchesConstraint(constraint: Constraint, node: Node): boolean {
  const key = constraint.key.toLowerCase()
  if (key === 'node.ip') return matchesIp(constraint, node)
  const actual = findActual(constraint.key, node)
  if (actual === undefined) return false
  const isEqual = actual.toLowerCase() === constraint.value.toLowerCase()
  return isEqual === (constraint.operator === '==')
}

/** What the node has under the key, '' for a label it lacks; undefined for an unknown key. */
function findActual(key: string, node: Node): string | undefined {
  const description = node.description
  switch (key.toLowerCase()) {
    case 'node.id':
      return node.id
    case 'node.hostname':
      return description?.hostname ?? ''
    case 'node.role':
      return node.certificateRole
    case 'node.platform.os':
      return description?.platform?.os ?? ''
    case 'node.platform.arch':
      return description?.platform?.architecture ?? ''
    default:
      return findLabel(key, node)
  }
}

/**
 * The node's label under `node.labels.X` or `engine.labels.X`, '' where it lacks it; undefined when
 * the key is neither. Label keys are compared as written, prefixes are not.
 */
export function findLabel(key: string, node: Node): string | undefined {
  const lower = key.toLowerCase()
  if (lower.startsWith(NODE_LABELS) && key.length > NODE_LABELS.length)
    return node.spec?.annotations?.labels.get(key.slice(NODE_LABELS.length)) ?? ''
  if (lower.startsWith(ENGINE_LABELS) && key.length > ENGINE_LABELS.length)
    return node.description?.engineLabels.get(key.slice(ENGINE_LABELS.length)) ?? ''
  return undefined
}

/** Whether nodes may have a label under this key: `node.labels.X` or `engine.labels.X`. */
export function isLabelKey(key: string): boolean {
  const lower = key.toLowerCase()
  return [NODE_LABELS, ENGINE_LABELS].some(
    (prefix) => lower.startsWith(prefix) && key.length > prefix.length,
  )
}

/** The value is an address or a subnet; anything else never matches. */
function matchesIp(constraint: Constraint, node: Node): boolean {
  const actual = findAddress(node.status?.addr ?? '')
  const wanted = findAddress(constraint.value)
  const subnet = findSubnet(constraint.value)
  if (wanted === undefined && subnet === undefined) return false
  const isEqual =
    actual !== undefined &&
    ((wanted !== undefined && isSameAddress(actual, wanted)) ||
      (subnet !== undefined && isInSubnet(actual, subnet)))
  return isEqual === (constraint.operator === '==')
}

function refusal(text: string, why: string): SwarmError {
  return new SwarmError('invalid-argument', `invalid placement constraint "${text}": ${why}`, {
    facts: { constraint: text },
  })
}
