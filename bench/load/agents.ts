/**
 * Many agents in one process: each joins through the real API with a key and a certificate of its
 * own, and holds its session with the production shell and machine (`node/agent-shell.ts`), over a
 * connection of its own. Only the runtime and the disk are not real. The order comes as JSON in the
 * first argument; what has happened goes as lines of JSON to the output.
 */
import { silentLog } from '../../lib/log.ts'
import { CLUSTER_VERSION } from '../../manager/model/cluster-version.ts'
import { AgentShell } from '../../node/agent-shell.ts'
import { readClaims } from '../../node/io/certificate.ts'
import { systemClock } from '../../node/io/clock.ts'
import { newSigner } from '../../node/io/signer.ts'
import type { StateFile } from '../../node/io/state-file.ts'
import { requestCertificate } from '../../node/join.ts'
import { Loop } from '../../node/loop.ts'
import { emptyNodeDescription } from '../../proto/gen/objects.ts'
import { InstantRuntime } from './instant-runtime.ts'

export type AgentsOrder = {
  /** Begins their names, so that those of several processes differ. */
  readonly prefix: string
  readonly agents: number
  /** Control addresses of managers. */
  readonly managers: readonly string[]
  readonly token: string
  /** How often each of them looks at the clock. */
  readonly roundMs: number
}

export type AgentsReport = {
  readonly joined: number
  /** With a session, registered. */
  readonly ready: number
  readonly started: number
  readonly rssMb: number
}

/** Strangers of one address have four connections at a time (docs/certificates.md). */
const JOINS_MAX = 2
/** For as long as the bench waits: with many processes one may have no luck for long. */
const TRIES_MAX = 3_000
const RETRY_MS = 200
const REPORT_MS = 50

const order: AgentsOrder = JSON.parse(process.argv[2] ?? '')
const signer = newSigner()
/** Disks of other machines are no part of what is measured; none of the agents starts again. */
const noFile: StateFile = { path: '', load: () => undefined, save: () => undefined }
const shells: AgentShell[] = []
let joined = 0
let started = 0
const fatal = (error: unknown): void => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
}

async function addAgent(number: number): Promise<void> {
  const remoteAddrs = order.managers.map(
    (_, at) => order.managers[(at + number) % order.managers.length] ?? '',
  )
  const { keyPem, reply } = await requestCertificate({
    ...{ remoteAddrs, token: order.token, signer, wallMs: () => Date.now() },
    availability: 'active',
  })
  const { certificatePem, rootCertificatePem: rootPem } = reply
  joined += 1
  const loop = new Loop({
    ...{ clock: systemClock, log: silentLog, onFatal: fatal, roundMs: order.roundMs },
    progress: new SharedArrayBuffer(4),
  })
  loop.start()
  const runtime = new InstantRuntime(() => {
    started += 1
  })
  const shell = new AgentShell({
    ...{ nodeId: readClaims(certificatePem).nodeId, runtime, loop },
    ...{ log: silentLog, stateFile: noFile },
    identity: () => ({ certificatePem, keyPem, rootPem }),
    managers: remoteAddrs.map((addr) => ({ nodeId: '', addr })),
    ...{ onNodeChange: () => undefined, onManagers: () => undefined },
  })
  const { platform, resources, engineVersion } = await runtime.describe()
  await shell.start({
    ...emptyNodeDescription,
    ...{ hostname: `${order.prefix}${number}`, platform, resources, engineVersion },
    ...{ runtime: runtime.name, trustRootPem: rootPem, version: CLUSTER_VERSION },
  })
  shells.push(shell)
}

async function addAll(): Promise<void> {
  let next = 0
  const add = async (): Promise<void> => {
    for (let number = next++; number < order.agents; number = next++) await addInTheEnd(number)
  }
  await Promise.all(Array.from({ length: JOINS_MAX }, add))
}

/** A manager refuses strangers while it has too many from one address: those of other processes. */
async function addInTheEnd(number: number): Promise<void> {
  for (let left = TRIES_MAX; ; left--) {
    try {
      await addAgent(number)
      return
    } catch (error) {
      if (left === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
}

setInterval(() => {
  const report: AgentsReport = {
    ...{ joined, started, rssMb: process.memoryUsage.rss() / 2 ** 20 },
    ready: shells.filter((shell) => shell.status().session === 'running').length,
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
}, REPORT_MS)
addAll().catch(fatal)
