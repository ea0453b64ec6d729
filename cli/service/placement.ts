/**
 * Flags about where a service's tasks go: `--placement-pref`, `--generic-resource` as Docker has
 * them, and tsswarm's own `--affinity`, `--anti-affinity` `--placement-strategy` and
 * `--max-unavailable`. What comes first among preferences is the coarsest, so that an update adds
 * at the end. Generic resources are added and removed by kind, services by name.
 */
import type { Flags } from '../command.ts'
import { compact, flagAt, type Json, type JsonObject, listAt, setAt, textAt } from '../json.ts'
import { parseChoice, parseCount } from '../text/units.ts'
import { usageError } from '../usage-error.ts'
import { splitPair } from './label.ts'

const PLACEMENT = ['TaskTemplate', 'Placement']
const PREFERENCES = [...PLACEMENT, 'Preferences']
const AFFINITIES = [...PLACEMENT, 'Affinities']
const GENERIC = ['TaskTemplate', 'Resources', 'Reservations', 'GenericResources']

/** Lists have one flag in `service create`, and in `service update` one to add and one to remove. */
export type Verb = 'create' | 'update'

/** The spec with what the flags say. */
export function applyPlacement(before: Json, flags: Flags, verb: Verb): Json {
  let spec = before
  const strategy = flags.text('placement-strategy')
  if (strategy !== undefined) {
    const parsed = parseChoice(strategy, 'placement-strategy', ['spread', 'binpack'])
    spec = setAt(spec, [...PLACEMENT, 'Strategy'], parsed)
  }
  const max = flags.text('max-unavailable')
  if (max !== undefined) {
    const count = parseCount(max, 'max-unavailable')
    spec = setAt(spec, ['DisruptionBudget'], count === 0 ? undefined : { MaxUnavailable: count })
  }
  spec = editList(spec, listOf(flags, verb), {
    flag: 'placement-pref',
    path: PREFERENCES,
    parse: parsePreference,
    keyOf: (item) => textAt(item, 'Spread', 'SpreadDescriptor'),
  })
  spec = editList(spec, listOf(flags, verb), {
    flag: 'generic-resource',
    path: GENERIC,
    parse: parseGenericResource,
    parseKey: (text) => splitPair(text)[0],
    keyOf: (item) => textAt(item, 'DiscreteResourceSpec', 'Kind'),
  })
  for (const isAnti of [false, true])
    spec = editList(spec, listOf(flags, verb), {
      flag: isAnti ? 'anti-affinity' : 'affinity',
      path: AFFINITIES,
      parse: (text, flag) => parseAffinity(text, flag, isAnti),
      keyOf: (item) => affinityKey(item),
    })
  return spec
}

type ListFlag = {
  /** As it is in `create`; in `update` with `-add` and `-rm`. */
  readonly flag: string
  readonly path: readonly string[]
  readonly parse: (text: string, flag: string) => JsonObject
  /** What stands for an item that is to be removed; else as it is added. */
  readonly parseKey?: (text: string) => string
  readonly keyOf: (item: Json) => string
}

/** What is added to and removed from the list of a flag. */
type Given = (flag: string) => {
  readonly add: readonly string[]
  readonly remove: readonly string[]
}

function listOf(flags: Flags, verb: Verb): Given {
  return (flag) =>
    verb === 'create'
      ? { add: flags.list(flag), remove: [] }
      : { add: flags.list(`${flag}-add`), remove: flags.list(`${flag}-rm`) }
}

/** Removed first, so that removing and adding changes an item; an added one replaces its like. */
function editList(spec: Json, given: Given, list: ListFlag): Json {
  const { flag, path, parse, keyOf } = list
  const { add, remove } = given(flag)
  const added = add.map((text) => parse(text, flag))
  const removed = remove.map((text) => list.parseKey?.(text) ?? keyOf(parse(text, flag)))
  if (added.length + removed.length === 0) return spec
  const items = new Map<string, Json>()
  for (const item of listAt(spec, ...path)) items.set(keyOf(item), item)
  for (const key of removed) items.delete(key)
  for (const item of added) items.set(keyOf(item), item)
  return setAt(spec, path, [...items.values()])
}

function parsePreference(text: string, flag: string): JsonObject {
  const [strategy, label] = splitPair(text)
  if (label === undefined || label === '')
    throw usageError(`invalid argument "${text}" for "--${flag}": write spread=node.labels.NAME`)
  if (strategy !== 'spread')
    throw usageError(`only the spread placement preference is supported (got: ${strategy})`)
  return { Spread: { SpreadDescriptor: label } }
}

function parseGenericResource(text: string, flag: string): JsonObject {
  const [kind, value] = splitPair(text)
  if (kind === '' || value === undefined || !/^\d+$/.test(value))
    throw usageError(`invalid argument "${text}" for "--${flag}": write KIND=NUMBER`)
  return { DiscreteResourceSpec: { Kind: kind, Value: parseCount(value, flag) } }
}

function parseAffinity(text: string, flag: string, isAnti: boolean): JsonObject {
  const [kind, name] = splitPair(text)
  if (kind !== 'service' || name === undefined || name === '')
    throw usageError(`invalid argument "${text}" for "--${flag}": write service=NAME`)
  return compact({ Service: name, Anti: isAnti ? true : undefined })
}

function affinityKey(item: Json): string {
  return `${flagAt(item, 'Anti')} ${textAt(item, 'Service')}`
}
