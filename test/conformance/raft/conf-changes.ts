/**
 * The short form of membership changes in the data files: `v1 l2 r3 u4` makes 1 a voter and 2 a
 * learner, removes 3 and updates 4.
 */
import type { ConfChangeSingle, ConfChangeType } from '../../../manager/raft/message.ts'

const types: Readonly<Record<string, ConfChangeType>> = {
  v: 'add-voter',
  l: 'add-learner',
  r: 'remove-node',
  u: 'update-node',
}

/** The changes, or etcd's text of what is wrong with them. */
export function parseConfChanges(text: string): readonly ConfChangeSingle[] | string {
  const changes: ConfChangeSingle[] = []
  for (const token of text.trim() === '' ? [] : text.trim().split(' ')) {
    if (token.length < 2) return `unknown token ${token}`
    const type = types[token.charAt(0)]
    const id = token.slice(1)
    if (type === undefined) return `unknown input: ${token}`
    if (!/^\d{1,15}$/.test(id)) return `strconv.ParseUint: parsing "${id}": invalid syntax`
    changes.push({ type, nodeId: Number(id) })
  }
  return changes
}
