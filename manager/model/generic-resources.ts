/**
 * Generic resources: what a node has beside CPUs and memory, of which the cluster knows only how to
 * count it (swarm-mode.md 1.3, Resources). A kind is discrete on a node, so many of it, or named,
 * certain ones of it; a task asks for so many, and is given names where there are some. It decides
 * how the texts of Docker's flags are read and which ones a task gets; where tasks go is the
 * scheduler's.
 */
import { SwarmError } from '../../lib/errors.ts'
import { emptyGenericResource, type GenericResource } from '../../proto/gen/types.ts'

/** Of one kind: how many are taken, those with a name among them. */
type Taken = { readonly count: number; readonly names: ReadonlySet<string> }

/** What tasks were given of a node's generic resources, by kind. */
export type Claims = ReadonlyMap<string, Taken>

export const NO_CLAIMS: Claims = new Map()
const NO_NAMES: ReadonlySet<string> = new Set()

/** As in `DOCKER_RESOURCE_KIND`: whatever makes no trouble in the name of a variable. */
const KIND = /^[a-zA-Z0-9_.-]{1,64}$/
const NAME = /^[^\s,=]{1,128}$/
const COUNT = /^-?\d+$/

/**
 * A node's resources from texts as `KIND=VALUE`, each of which may hold several, with commas
 * between them: a number, once, is how many there are; anything else is the name of one.
 * SwarmError 'invalid-argument' that names the text.
 */
export function parseGenericResources(texts: readonly string[]): readonly GenericResource[] {
  const byKind = new Map<string, string[]>()
  for (const text of texts.flatMap((each) => each.split(','))) {
    const at = text.indexOf('=')
    const kind = text.slice(0, Math.max(at, 0))
    const value = text.slice(at + 1)
    if (!isResourceKind(kind) || !NAME.test(value))
      throw refusal(text, 'write KIND=NUMBER or KIND=NAME')
    byKind.set(kind, [...(byKind.get(kind) ?? []), value])
  }
  return [...byKind].flatMap(([kind, values]) => resourcesOf(kind, values))
}

function resourcesOf(kind: string, values: readonly string[]): readonly GenericResource[] {
  const [first = ''] = values
  if (values.length === 1 && COUNT.test(first)) {
    const count = Number(first)
    if (!Number.isSafeInteger(count) || count < 0)
      throw refusal(`${kind}=${first}`, 'a number of resources is not negative, and below 2^53')
    return [{ ...emptyGenericResource, kind, count }]
  }
  if (values.some((value) => COUNT.test(value)))
    throw refusal(`${kind}=${values.join(',')}`, 'a kind has one number or names, not both')
  const twice = values.find((value, at) => values.indexOf(value) !== at)
  if (twice !== undefined) throw refusal(`${kind}=${twice}`, 'a name is given once')
  return values.map((name) => ({ ...emptyGenericResource, kind, name, count: 1 }))
}

/** Whether a kind of resource may have this name. */
export function isResourceKind(text: string): boolean {
  return KIND.test(text)
}

/** Whether of each kind so many are left. */
export function fitsGeneric(
  wanted: readonly GenericResource[],
  total: readonly GenericResource[],
  claims: Claims,
): boolean {
  return wanted.every(({ kind, count }) => countLeft(kind, total, claims) >= count)
}

/**
 * What a task that asks for `wanted`, which fits, is given: of a kind with names the first ones that
 * nobody has, in the node's order.
 */
export function claimGeneric(
  wanted: readonly GenericResource[],
  total: readonly GenericResource[],
  claims: Claims,
): readonly GenericResource[] {
  return wanted.flatMap((each) => {
    if (each.count === 0) return []
    const named = total.filter(({ kind, name }) => kind === each.kind && name !== '')
    if (named.length === 0) return [each]
    const taken = claims.get(each.kind)?.names ?? NO_NAMES
    return named.filter(({ name }) => !taken.has(name)).slice(0, each.count)
  })
}

/** The claims with `given` added to them (`sign` 1), or taken from them (-1). */
export function withClaims(
  claims: Claims,
  given: readonly GenericResource[],
  sign: 1 | -1,
): Claims {
  if (given.length === 0) return claims
  const changed = new Map(claims)
  for (const { kind, name, count } of given) {
    const before = changed.get(kind)
    const names = new Set(before?.names)
    if (name !== '' && sign === 1) names.add(name)
    if (name !== '' && sign === -1) names.delete(name)
    const after = { count: (before?.count ?? 0) + sign * count, names }
    if (after.count === 0 && names.size === 0) changed.delete(kind)
    else changed.set(kind, after)
  }
  return changed
}

function countLeft(kind: string, total: readonly GenericResource[], claims: Claims): number {
  const taken = claims.get(kind) ?? { count: 0, names: NO_NAMES }
  const ofKind = total.filter((each) => each.kind === kind)
  const named = ofKind.filter(({ name }) => name !== '')
  if (named.length === 0) return ofKind.reduce((sum, { count }) => sum + count, -taken.count)
  // What was taken under a name that the node has no more is no burden on those it has.
  const free = named.filter(({ name }) => !taken.names.has(name)).length
  return free - (taken.count - taken.names.size)
}

function refusal(text: string, why: string): SwarmError {
  return new SwarmError('invalid-argument', `generic resource "${text}": ${why}`, {
    facts: { resource: text },
  })
}
