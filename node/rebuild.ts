/**
 * Rebuild: a manager whose log is damaged, or older than what it has acknowledged, gets a new one
 * from the others (`tsswarm daemon --rebuild`, docs/disasters.md). The group admits this node anew
 * first, under a new Raft id and without the old member: that needs a leader, so without a quorum
 * of the others nothing is touched. Only then the old log is set aside, never removed. A crash in
 * between leaves the old log of a member that the group does not know any more, and the same
 * command again. Who the group admits is decided in `manager/member-join.ts`.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type Identity, SET_ASIDE_PREFIX } from './identity.ts'

const LOG_FOLDER = 'raft'

/** The managers to ask; refused where this node is no manager, or knows no other one. */
export function listRebuildSources(identity: Identity | undefined): readonly string[] {
  if (identity === undefined)
    throw new SwarmError(
      'failed-precondition',
      '--rebuild: this node is in no swarm, so there is nothing to rebuild: start the daemon without it',
    )
  if (identity.claims.role !== 'manager')
    throw new SwarmError(
      'failed-precondition',
      '--rebuild: this node is a worker and has no log: start the daemon without it',
    )
  const own = identity.place.advertiseAddr
  const others = identity.place.managers.filter((addr) => addr !== own)
  if (others.length === 0)
    throw new SwarmError(
      'failed-precondition',
      '--rebuild: this node knows no other manager that could give it the log: ' +
        'restore raft/ and identity/ from a backup made together, or leave with --force and init anew',
    )
  return others
}

/** Why the group did not admit this manager anew, in words for who started it. */
export function newRebuildRefusal(sources: readonly string[], cause: unknown): SwarmError {
  const said = cause instanceof Error ? cause.message : String(cause)
  return new SwarmError(
    'failed-precondition',
    '--rebuild: the other managers did not take this one in again, and nothing was changed: ' +
      `without this one they need a quorum of their own (asked ${sources.join(', ')}: ${said}); ` +
      'start them first, or see docs/disasters.md if they are gone for good',
    { cause },
  )
}

/** The log has another name, durably, and the next one begins empty; the path it has now. */
export function setLogAside(
  stateDirectory: string,
  options: { readonly wallMs: number; readonly log: Log },
): string | undefined {
  const from = join(stateDirectory, LOG_FOLDER)
  if (!existsSync(from)) return undefined
  const to = findFreePath(stateDirectory, formatTime(options.wallMs))
  renameSync(from, to)
  const folder = openSync(stateDirectory, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
  options.log.warn({ path: to }, 'the old log was set aside, it may be removed')
  return to
}

function findFreePath(stateDirectory: string, time: string): string {
  const base = join(stateDirectory, `${SET_ASIDE_PREFIX}${time}`)
  for (let count = 1; ; count++) {
    const path = count === 1 ? base : `${base}-${count}`
    if (!existsSync(path)) return path
  }
}

/** 20261121T150405Z */
function formatTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/[-:]|\.\d+/g, '')
}
