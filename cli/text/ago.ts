/**
 * How long something took or is ago, in Docker's words (`About a minute`, `3 weeks`): coarse on
 * purpose, and the same text that users and their scripts know from `docker service ps`.
 */

const MINUTE_S = 60
const DAY_HOURS = 24

/** `Less than a second`, `5 seconds`, `About an hour`, `3 weeks`. */
export function formatElapsed(elapsedMs: number): string {
  const seconds = Math.max(0, Math.floor(elapsedMs / 1000))
  if (seconds < 1) return 'Less than a second'
  if (seconds === 1) return '1 second'
  if (seconds < MINUTE_S) return `${seconds} seconds`
  const minutes = Math.floor(seconds / MINUTE_S)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.floor(minutes / 60 + 0.5)
  if (hours === 1) return 'About an hour'
  if (hours < 2 * DAY_HOURS) return `${hours} hours`
  if (hours < 14 * DAY_HOURS) return `${Math.floor(hours / DAY_HOURS)} days`
  if (hours < 60 * DAY_HOURS) return `${Math.floor(hours / DAY_HOURS / 7)} weeks`
  if (hours < 730 * DAY_HOURS) return `${Math.floor(hours / DAY_HOURS / 30)} months`
  return `${Math.floor(hours / DAY_HOURS / 365)} years`
}

/** `5 minutes ago`; empty where the time is not known. */
export function formatAgo(thenMs: number | undefined, nowMs: number): string {
  if (thenMs === undefined || thenMs <= 0) return ''
  return `${formatElapsed(nowMs - thenMs)} ago`
}
