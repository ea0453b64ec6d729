/**
 * Capabilities to add and to drop, in Docker's rules: names are written out (`net_admin` is
 * CAP_NET_ADMIN), `ALL` stands for all others, adding wins over dropping. An update turns a wheel of
 * three positions: dropping what was added only takes it back, and so does adding what was dropped;
 * `RESET` empties a list first.
 */
import { usageError } from '../usage-error.ts'

const ALL = 'ALL'
const RESET = 'RESET'

export type Capabilities = { readonly add: readonly string[]; readonly drop: readonly string[] }

/** The lists as a new service has them, sorted. */
export function chooseCapabilities({ add, drop }: Capabilities): Capabilities {
  const added = new Set(add.map(normalize))
  return {
    add: reduceAll(added),
    drop: reduceAll(new Set(drop.map(normalize).filter((name) => !added.has(name)))),
  }
}

/** The lists after an update by `change`, sorted. */
export function editCapabilities(before: Capabilities, change: Capabilities): Capabilities {
  const toAdd = new Set(change.add.map(normalize))
  const toDrop = new Set(change.drop.map(normalize))
  const add = new Set(toAdd.delete(RESET) ? [] : before.add.map(normalize))
  const drop = new Set(toDrop.delete(RESET) ? [] : before.drop.map(normalize))
  for (const name of toDrop) if (!toAdd.has(name) && !add.delete(name)) drop.add(name)
  for (const name of toAdd) if (!drop.delete(name)) add.add(name)
  return { add: reduceAll(add), drop: reduceAll(drop) }
}

function normalize(name: string): string {
  const upper = name.trim().toUpperCase()
  if (upper === '') throw usageError('a capability has no name')
  return upper === ALL || upper === RESET || upper.startsWith('CAP_') ? upper : `CAP_${upper}`
}

function reduceAll(names: ReadonlySet<string>): readonly string[] {
  return names.has(ALL) ? [ALL] : [...names].sort()
}
