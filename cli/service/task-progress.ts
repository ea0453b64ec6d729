/**
 * One task as the progress of its service shows it: how far it has come, or what went wrong
 * (swarm-mode.md 5.4).
 */
import { type Json, textAt } from '../json.ts'
import { ellipsis } from '../text/table.ts'

/** With more tasks than this there is no line for each. */
export const BARS_MAX = 20
const ERROR_LENGTH_MAX = 75
const BAR_WIDTH = 50
const STATE_WIDTH = 9

/** Observed states in their order up to running; what comes after is an end. */
export const LIVE_STATES: readonly string[] = [
  'new',
  'allocated',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
]

/** Its error, or its state with a bar that is full at the last of `states`. */
export function describeTask(task: Json, states: readonly string[]): string {
  const error = textAt(task, 'Status', 'Err')
  if (error !== '') return ellipsis(error, ERROR_LENGTH_MAX)
  const now = stateOf(task)
  const step = states.indexOf(now)
  return step < 0 ? now : `${now.padEnd(STATE_WIDTH)} ${formatBar((step + 1) / states.length)}`
}

/** `[=====>    ]` for a share from 0 to 1. */
export function formatBar(share: number): string {
  const filled = Math.round(share * BAR_WIDTH)
  const bar =
    filled >= BAR_WIDTH
      ? `${'='.repeat(BAR_WIDTH)}>`
      : `${'='.repeat(filled)}>`.padEnd(BAR_WIDTH + 1)
  return `[${bar}]`
}

export function stateOf(task: Json): string {
  return textAt(task, 'Status', 'State')
}

export function desiredOf(task: Json): string {
  return textAt(task, 'DesiredState')
}
