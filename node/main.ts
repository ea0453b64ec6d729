/**
 * tsswarmd: reads the settings, builds the world and runs the node until it is told to end. A
 * SIGTERM hands over and announces the return; containers go on. What trips an assertion ends the
 * process with the reason, to be started again by whoever supervises it.
 */

import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { newApi } from '../manager/api/http/server.ts'
import { parseAddress } from './address.ts'
import { listenerOf } from './api-listener.ts'
import { NodeBackend } from './backend.ts'
import { type Config, parseConfig } from './config.ts'
import { isHostShuttingDown } from './host-shutdown.ts'
import { watchIdleMemory } from './idle-memory.ts'
import { systemClock } from './io/clock.ts'
import { lazySigner } from './io/lazy-signer.ts'
import { newLog } from './io/log.ts'
import { holdStateDirectory } from './io/state-lock.ts'
import { Loop, ROUND_MS } from './loop.ts'
import { Node } from './node.ts'
import { describeNode, offered, openRuntime } from './runtime.ts'
import { VERSION } from './version.ts'

/** How often containers are counted and this node described again. */
const DESCRIBE_MS = 20_000

async function main(config: Config, log: Log): Promise<void> {
  mkdirSync(config.stateDirectory, { recursive: true, mode: 0o700 })
  await holdStateDirectory(config.stateDirectory)
  const progress = new SharedArrayBuffer(4)
  let isStopping = false
  const fatal = (error: unknown): void => {
    log.error({ error }, 'the node ends')
    process.exit(1)
  }
  process.on('uncaughtException', fatal)
  process.on('unhandledRejection', fatal)
  const loop = new Loop({ clock: systemClock, log, progress, onFatal: fatal })
  let lastRoundMs = systemClock.monotonicMs()
  let loopDelayMs = 0
  loop.add({
    round: ({ monotonicMs }) => {
      loopDelayMs = Math.max(0, monotonicMs - lastRoundMs - ROUND_MS)
      lastRoundMs = monotonicMs
    },
  })
  loop.start()
  const { runtime, keeper, clean } = await openRuntime(config, log)
  // What would be refused with each description is refused now.
  offered((await runtime.describe()).resources, config)
  const describe = (trustRootPem: string) => describeNode(runtime, config, trustRootPem)
  const node = new Node({
    config,
    loop,
    log,
    signer: lazySigner,
    runtime,
    describe,
    progress,
    onFatal: fatal,
    onLeft: clean,
    isHostShuttingDown: () => isHostShuttingDown(keeper),
  })
  const backend = new NodeBackend({ node, config, runtime, loopDelayMs: () => loopDelayMs })
  const api = newApi({ backend, log: log.child({ component: 'api' }) })
  for (const address of config.api) await api.listen(listenerOf(address, config))
  if (config.metrics !== undefined) listenMetrics(config.metrics, backend, log)
  const refresh = async (): Promise<void> => {
    await backend.count()
    const root = node.identity?.rootPem
    if (root !== undefined) node.agent?.describe(await describe(root))
  }
  setInterval(() => {
    refresh().catch((error: unknown) => log.warn({ error: String(error) }, 'node not described'))
  }, DESCRIBE_MS)
  const stop = async (): Promise<void> => {
    if (isStopping) return
    isStopping = true
    log.info({}, 'stopping')
    await api.close()
    await node.stop()
    await runtime.close()
    log.info({}, 'stopped')
    process.exit(0)
  }
  addStallHook(log)
  watchIdleMemory()
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stop().catch(fatal)
    })
  log.info({ version: VERSION, api: config.api, runtime: runtime.name }, 'daemon started')
  await node.start()
}

/**
 * For tests of what a main thread that hangs means: with TSSWARM_DEBUG_STALL_MS in the environment
 * SIGUSR2 blocks this thread for as long. Without it there is no such hook.
 */
function addStallHook(log: Log): void {
  const stallMs = Number(process.env['TSSWARM_DEBUG_STALL_MS'] ?? 0)
  if (!(stallMs > 0)) return
  log.warn({ stallMs }, 'SIGUSR2 blocks the main thread')
  process.on('SIGUSR2', () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs)
  })
}

function listenMetrics(address: string, backend: NodeBackend, log: Log): void {
  const { host, port } = parseAddress(address)
  const server = createServer((request, response) => {
    const isMetrics = request.method === 'GET' && request.url === '/metrics'
    response.writeHead(isMetrics ? 200 : 404, { 'content-type': 'text/plain; version=0.0.4' })
    response.end(isMetrics ? backend.metrics() : 'ask for /metrics\n')
  })
  server.on('error', (error) => log.error({ error, address }, 'metrics not served'))
  server.listen(port, host)
}

function readConfig(): Config {
  try {
    return parseConfig(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${error instanceof SwarmError ? error.message : String(error)}\n`)
    process.exit(125)
  }
}

const config = readConfig()
const log = newLog({ level: config.logLevel })
main(config, log).catch((error: unknown) => {
  // A refusal says all in its words: which file, which value, what to do.
  const fields = error instanceof SwarmError ? { ...error.facts, reason: error.message } : { error }
  log.error(fields, 'the daemon could not start')
  process.exit(1)
})
