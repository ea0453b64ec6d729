/**
 * Confchange files: `simple`, `enter-joint` and `leave-joint` on one configuration that lasts
 * through the file. The leader's log grows by one entry with each command, which shows in `next`.
 */
import {
  changeSimply,
  enterJoint,
  leaveJoint,
  type Membership,
  type MembershipRefusal,
  type Tracking,
} from '../../../manager/raft/configuration.ts'
import { type ConfChangeSingle, emptyConfState } from '../../../manager/raft/message.ts'
import { viewProgress } from '../../../manager/raft/progress.ts'
import { parseConfChanges } from './conf-changes.ts'
import { type Case, DataFileError, findValue, parseBoolean } from './datadriven.ts'
import { describeConfiguration, describeProgressMap } from './describe.ts'

type Refusal = MembershipRefusal | 'input-given'

const refusalTexts: Readonly<Record<Refusal, string>> = {
  'already-joint': 'config is already joint',
  'not-joint': "can't leave a non-joint config",
  'simple-in-joint': "can't apply simple config change in joint config",
  'no-voters': "can't make a zero-voter config joint",
  'all-voters-removed': 'removed all voters',
  'input-given': 'this command takes no input',
  'several-voters': 'more than one voter changed without entering joint config',
}

const WINDOW = { messagesMax: 10, bytesMax: Number.POSITIVE_INFINITY }

/** An empty configuration; the result runs one case after the other and gives each one's output. */
export function newConfChange(): (next: Case) => string {
  let membership: Membership = { confState: emptyConfState, progress: new Map() }
  let lastIndex = 0
  return (next) => {
    const tracking: Tracking = { lastIndex, window: WINDOW }
    lastIndex++
    const changes = parseConfChanges(next.input)
    if (typeof changes === 'string') return changes
    const changed = change(membership, next, { changes, tracking })
    if (typeof changed === 'string') return `${refusalTexts[changed]}\n`
    membership = changed
    const views = [...membership.progress].map(([id, peer]) => [id, viewProgress(peer)] as const)
    return `${describeConfiguration(membership.confState)}\n${describeProgressMap(new Map(views))}`
  }
}

function change(
  membership: Membership,
  next: Case,
  {
    changes,
    tracking,
  }: { readonly changes: readonly ConfChangeSingle[]; readonly tracking: Tracking },
): Membership | Refusal {
  switch (next.command) {
    case 'simple':
      return changeSimply(membership, changes, tracking)
    case 'enter-joint': {
      const autoLeave = parseBoolean(findValue(next, 'autoleave') ?? 'false', next.line)
      return enterJoint(membership, changes, { autoLeave, tracking })
    }
    case 'leave-joint':
      return changes.length > 0 ? 'input-given' : leaveJoint(membership)
    default:
      throw new DataFileError(next.line, `unknown command "${next.command}"`)
  }
}
