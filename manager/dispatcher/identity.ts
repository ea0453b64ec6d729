/**
 * Heard: which process of a node was heard, when, and by whom. A node that restarts shows a new
 * instance and the old one falls silent; two instances that alternate are one identity on two hosts
 * (a cloned disk), and the newer is refused while the older is alive (DESIGN section 7). Late
 * messages of a process that ended are no sign of it: only what is heard more than a period after
 * the newer one came counts, and only the second time.
 */

/** An instance that replaced another for so long without hearing of it has taken over. */
const SETTLED_PERIODS = 10
/** So often the older instance is heard again before the newer one is refused. */
const ALTERNATIONS = 2
/** A refusal holds while the one in use was heard within this many periods. */
const ALIVE_PERIODS = 5
/** A refusal is dropped when the refused one has been silent for this long. */
const REFUSAL_MS = 60_000

export type Heard = {
  /** Monotonic, ms: the last heartbeat that was not refused. */
  heardMs: number
  /** Raft id of the manager it came through; 0 before the first. */
  holder: number
  /** The instance in use; empty before the first heartbeat. */
  instance: string
  /** Whether the stored state was `ready` when it was last looked at. */
  wasReady: boolean
  /** A newer instance that may be a restart or a clone. */
  rival: { readonly instance: string; readonly sinceMs: number; alternations: number } | undefined
  /** A clone, and until when (monotonic, ms) it is refused. */
  refused: { readonly instance: string; untilMs: number } | undefined
}

/** A process that speaks for the node now. */
type Speaker = { readonly instance: string; readonly periodMs: number; readonly nowMs: number }

export type Heartbeat = Speaker & { readonly holder: number }

/** A node of which only the time is known. */
export function newHeard(heardMs: number): Heard {
  return {
    heardMs,
    holder: 0,
    instance: '',
    wasReady: false,
    rival: undefined,
    refused: undefined,
  }
}

/** Counts a heartbeat; the reason when it is refused. */
export function hear(heard: Heard, heartbeat: Heartbeat): string | undefined {
  const { instance, holder, nowMs } = heartbeat
  const refusal = refusalOf(heard, heartbeat)
  if (refusal !== undefined) {
    if (heard.refused !== undefined) heard.refused.untilMs = nowMs + REFUSAL_MS
    return refusal
  }
  if (heard.instance === '' || instance === heard.instance) hearInUse(heard, heartbeat)
  else hearNewer(heard, heartbeat)
  heard.heardMs = Math.max(heard.heardMs, nowMs)
  heard.holder = holder
  return undefined
}

/**
 * Why this process may not speak for the node now; undefined when it may. One that was refused takes
 * the place of a dead one with whatever it says first: without a registration it never comes to a
 * heartbeat.
 */
export function refusalOf(heard: Heard, speaker: Speaker): string | undefined {
  dropRefusal(heard, speaker)
  const { instance } = speaker
  if (heard.refused?.instance !== instance) return undefined
  return `cloned identity: another host has the same node id (instance ${heard.instance}, this is ${instance}): remove one of them and join it anew`
}

function dropRefusal(heard: Heard, { instance, nowMs, periodMs }: Speaker): void {
  const { refused } = heard
  if (refused === undefined) return
  const isSilent = nowMs - heard.heardMs > ALIVE_PERIODS * periodMs
  if (isSilent && instance === refused.instance) heard.instance = instance
  if (isSilent || refused.untilMs <= nowMs) heard.refused = undefined
}

function hearInUse(heard: Heard, { instance, nowMs, periodMs }: Heartbeat): void {
  heard.instance = instance
  const { rival } = heard
  if (rival === undefined || nowMs - rival.sinceMs <= periodMs) return
  rival.alternations += 1
  if (rival.alternations < ALTERNATIONS) return
  heard.refused = { instance: rival.instance, untilMs: nowMs + REFUSAL_MS }
  heard.rival = undefined
}

function hearNewer(heard: Heard, { instance, nowMs, periodMs }: Heartbeat): void {
  const { rival } = heard
  if (rival === undefined || rival.instance !== instance) {
    // A third one: the second had restarted before it could settle.
    if (rival !== undefined) heard.instance = rival.instance
    heard.rival = { instance, sinceMs: nowMs, alternations: 0 }
  } else if (rival.alternations === 0 && nowMs - rival.sinceMs > SETTLED_PERIODS * periodMs) {
    heard.instance = instance
    heard.rival = undefined
  }
}
