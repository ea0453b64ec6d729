/**
 * The wall clock of one daemon set forward and back. CLOCK_REALTIME belongs to the whole machine and has
 * no namespace, so it is not the kernel's clock that jumps but what the daemon reads of it: a module
 * that Node loads before the daemon's own puts an offset from a file into `Date`. What OpenSSL and
 * the file system take for the time stays as it is; production code knows nothing of this.
 */
import { rmSync, writeFileSync } from 'node:fs'
import type { Host } from '../../../deploy/quickstart/cluster.ts'

/** The offset is looked at this often. */
const LOOK_MS = 100
const ENDING = '.clock'

const PRELOAD = `
import { readFileSync } from 'node:fs'
const at = process.argv.indexOf('--state-dir')
const path = at < 0 ? '' : process.argv[at + 1] + '${ENDING}'
const System = Date
let offsetMs = 0
function look() {
  try { offsetMs = Number(readFileSync(path, 'utf8')) } catch { offsetMs = 0 }
}
globalThis.Date = class extends System {
  constructor(...values) {
    if (values.length === 0) super(System.now() + offsetMs)
    else super(...values)
  }
  static now() { return System.now() + offsetMs }
}
if (path !== '') { look(); setInterval(look, ${LOOK_MS}).unref() }
`

/** Of the daemons whose clocks are to be set. */
export const CLOCK_ENVIRONMENT: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRELOAD)}`,
}

/** From the next look on the daemon's wall clock is that far from the machine's; 0 sets it right. */
export function setWallClock(host: Host, offsetMs: number): void {
  const path = `${host.stateDirectory}${ENDING}`
  if (offsetMs === 0) rmSync(path, { force: true })
  else writeFileSync(path, String(offsetMs))
}
