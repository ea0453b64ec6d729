/**
 * Worlds for the command line in tests: streams that are kept as texts, a clock that moves only when
 * the command sleeps, and daemons to talk to over real sockets: the production API on a
 * TestBackend, or a server that answers what a test says and keeps what it was asked.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { World } from '../cli/command.ts'
import { type Json, parseJson } from '../cli/json.ts'
import { run } from '../cli/run.ts'
import { silentLog } from '../lib/log.ts'
import { newApi } from '../manager/api/http/server.ts'
import { TestBackend, WALL_MS } from './backend.ts'

export type CliResult = { readonly code: number; readonly out: string; readonly err: string }

export type CliOptions = {
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly columns?: number
  /** Called at each sleep of the command; `interrupt` is Ctrl-C. */
  readonly onSleep?: (interrupt: () => void) => void
}

/** One run of the command line against `host`. */
export async function runCli(
  host: string,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  let out = ''
  let err = ''
  let nowMs = WALL_MS
  const listeners = new Set<() => void>()
  const world: World = {
    env: { TSSWARM_HOST: host, ...options.env },
    stdin: (async function* () {
      yield Buffer.from(options.stdin ?? '')
    })(),
    isStdinTty: options.stdin === undefined,
    write: (text) => {
      out += text
    },
    print: (line) => {
      out += `${line}\n`
    },
    warn: (line) => {
      err += `${line}\n`
    },
    columns: options.columns,
    nowMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms
      options.onSleep?.(() => {
        for (const listener of listeners) listener()
      })
    },
    onInterrupt: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  const code = await run(args, world)
  return { code, out, err }
}

/** The production API on a TestBackend, on a socket of its own. */
export class CliSwarm {
  readonly backend: TestBackend
  readonly host: string
  readonly #folder: string
  readonly #api: ReturnType<typeof newApi>

  private constructor(backend: TestBackend) {
    this.backend = backend
    this.#folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    this.host = `unix://${join(this.#folder, 'api.sock')}`
    this.#api = newApi({ backend, log: silentLog, wallMs: () => WALL_MS })
  }

  static async start(backend: TestBackend = new TestBackend()): Promise<CliSwarm> {
    const swarm = new CliSwarm(backend)
    await swarm.#api.listen({ kind: 'unix', path: join(swarm.#folder, 'api.sock') })
    return swarm
  }

  run(...args: readonly string[]): Promise<CliResult> {
    return runCli(this.host, args)
  }

  /** What the command printed with `--json`. */
  async json(...args: readonly string[]): Promise<Json> {
    return parseJson((await this.run(...args, '--json')).out)
  }

  async close(): Promise<void> {
    await this.#api.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export type Asked = {
  /** `POST /services/create?x=1`. */
  readonly call: string
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Json
}
export type Told = { readonly status?: number; readonly body?: Json | Buffer }

/** A server that answers what `answer` says, on a socket of its own. */
export class ScriptedDaemon {
  readonly asked: Asked[] = []
  readonly host: string
  readonly #folder: string
  readonly #server: Server

  private constructor(answer: (asked: Asked) => Told) {
    this.#folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    this.host = `unix://${join(this.#folder, 'api.sock')}`
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const asked: Asked = {
        call: `${request.method} ${decodeURIComponent(request.url ?? '')}`,
        headers: request.headers,
        body: parseJson(Buffer.concat(chunks).toString()),
      }
      this.asked.push(asked)
      const { status = 200, body } = answer(asked)
      response.writeHead(status)
      response.end(Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body))
    })
  }

  static async start(answer: (asked: Asked) => Told): Promise<ScriptedDaemon> {
    const daemon = new ScriptedDaemon(answer)
    await new Promise<void>((resolve) =>
      daemon.#server.listen(join(daemon.#folder, 'api.sock'), resolve),
    )
    return daemon
  }

  run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return runCli(this.host, args, options)
  }

  get calls(): readonly string[] {
    return this.asked.map(({ call }) => call)
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
