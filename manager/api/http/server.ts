/**
 * The HTTP server: the only place that knows the HTTP library. It puts the routes behind paths with
 * and without a version, checks versions and bodies, gives every answer Docker's headers, and turns
 * refusals into `{"message"}` (swarm-mode.md 6.1). What is not served is said in a sentence. Where
 * it listens is decided by the caller; how, in `listen.ts`.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { SwarmError } from '../../../lib/errors.ts'
import type { Log } from '../../../lib/log.ts'
import type { Backend } from '../backend.ts'
import { API_VERSION_MAX, formatApiVersion, parseApiVersion } from './api-version.ts'
import { BODY_BYTES_MAX, parseBody } from './body.ts'
import { drain } from './drain.ts'
import { errorBody, toHttpError } from './errors.ts'
import { EventLog } from './event-log.ts'
import { eventRoutes } from './events.ts'
import { type ApiListener, findAdmissionError, listen } from './listen.ts'
import { logRoutes } from './logs.ts'
import { networkRoutes } from './networks.ts'
import { nodeRoutes } from './nodes.ts'
import type { Answer, Api, Ask, Route } from './route.ts'
import { secretRoutes } from './secrets.ts'
import { serviceRoutes } from './services.ts'
import { sendStream } from './stream.ts'
import { swarmRoutes } from './swarm.ts'
import { systemRoutes } from './system.ts'
import { taskRoutes } from './tasks.ts'

export type { ApiListener } from './listen.ts'

export type ApiOptions = {
  readonly backend: Backend
  readonly log: Log
  /** Wall time, ms; the host's own unless a test gives another. */
  readonly wallMs?: () => number
}

export type ApiServer = {
  /** Afterwards requests are served there too. */
  listen(listener: ApiListener): Promise<void>
  /** Afterwards nothing is served; requests under way were given a moment to end. */
  close(): Promise<void>
  /** A request without a connection, for tests. */
  readonly inject: FastifyInstance['inject']
}

const ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...swarmRoutes,
  ...nodeRoutes,
  ...serviceRoutes,
  ...taskRoutes,
  ...logRoutes,
  ...secretRoutes,
  ...networkRoutes,
  ...eventRoutes,
]
const VERSION_PATH = '/v:apiVersion(^\\d+\\.\\d+$)'
const PARAM_LENGTH_MAX = 500
/** Later than the 20 s after which a write that no leader took is refused: that says more. */
const ANSWER_MAX_MS = 22_000
const CLOSE_GRACE_MS = 1_000
/** First parts of paths that the Engine API has and swarm mode does not need. */
const ENGINE_PATHS =
  /^\/(?:v\d+\.\d+\/)?(auth|build|commit|containers|exec|grpc|images|networks|plugins|session|system|volumes)(?:\/|$)/

export function newApi({ backend, log, wallMs = Date.now }: ApiOptions): ApiServer {
  const events = new EventLog(backend, wallMs)
  const api: Api = { backend, log, events, wallMs }
  const app = newApp(api)
  const servers: Server[] = []
  return {
    listen: async (listener) => {
      await app.ready()
      const server = await listen(listener, (request, response) => app.routing(request, response))
      server.on('upgrade', refuseUpgrade)
      servers.push(server)
    },
    close: async () => {
      events.close()
      await Promise.all(servers.splice(0).map(closeServer))
      await app.close()
    },
    inject: app.inject.bind(app),
  }
}

function newApp(api: Api): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    frameworkErrors: (error, _request, reply) => void sendError(api, reply, error),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    '*',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) =>
      parseBody(body, request.headers['content-type'] ?? ''),
  )
  const headers = commonHeaders(api.backend)
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(headers)
    const refusal = findAdmissionError(request.raw.socket)
    if (refusal !== undefined) throw refusal
  })
  app.setErrorHandler(async (error, request, reply) => {
    await drain(request.raw)
    return sendError(api, reply, error)
  })
  app.setNotFoundHandler((request, reply) => sendError(api, reply, notServed(request)))
  for (const route of ROUTES)
    for (const prefix of ['', VERSION_PATH])
      app.route({
        method: route.method,
        url: prefix + route.path,
        handler: (request, reply) => serve(api, route, { request, reply }),
      })
  return app
}

function commonHeaders(backend: Backend): Readonly<Record<string, string>> {
  const { version, platform } = backend.local()
  return {
    Server: `Docker/${version} (${platform.os})`,
    'Api-Version': formatApiVersion(API_VERSION_MAX),
    Ostype: platform.os,
    'Docker-Experimental': 'false',
  }
}

async function serve(
  api: Api,
  route: Route,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
): Promise<FastifyReply> {
  const answering = route.answer(api, newAsk(request))
  const answer = route.isPatient ? await answering : await withinTime(answering)
  return send(api, reply, answer)
}

function newAsk(request: FastifyRequest): Ask {
  const params = Object.fromEntries(
    Object.entries(request.params ?? {}).map(([name, value]) => [name, String(value)]),
  )
  const at = request.url.indexOf('?')
  return {
    params,
    query: new URLSearchParams(at < 0 ? '' : request.url.slice(at + 1)),
    headers: request.headers,
    body: request.body ?? undefined,
    version:
      params['apiVersion'] === undefined ? API_VERSION_MAX : parseApiVersion(params['apiVersion']),
  }
}

/** Bytes, for the library adds a charset to JSON text, and the docker CLI then shows it raw. */
function send(api: Api, reply: FastifyReply, answer: Answer): FastifyReply {
  switch (answer.kind) {
    case 'text':
      return reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .type(answer.contentType)
        .send(Buffer.from(answer.text))
    case 'stream': {
      const headers = { ...commonHeaders(api.backend), 'Content-Type': answer.contentType }
      reply.hijack()
      sendStream(reply.raw, headers, answer.open).catch((error: unknown) =>
        api.log.warn({ error: String(error) }, 'stream to a client broke off'),
      )
      return reply
    }
    default:
      return answer satisfies never
  }
}

function sendError(api: Api, reply: FastifyReply, error: unknown): FastifyReply {
  const { status, message } = toHttpError(error, api.log)
  return reply
    .code(status)
    .headers(commonHeaders(api.backend))
    .type('application/json')
    .send(Buffer.from(errorBody(message)))
}

/** The answer, or a refusal when it takes too long; what was asked for may still happen. */
async function withinTime(answering: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new SwarmError(
            'unavailable',
            `the managers did not answer within ${ANSWER_MAX_MS / 1_000} s, outcome unknown: make sure more than half of the managers are online`,
          ),
        ),
      ANSWER_MAX_MS,
    )
  })
  try {
    return await Promise.race([answering, late])
  } finally {
    clearTimeout(timer)
  }
}

function notServed({ method, url }: FastifyRequest): SwarmError {
  const path = url.split('?')[0] ?? ''
  const part = ENGINE_PATHS.exec(path)?.[1]
  return part === undefined
    ? new SwarmError('not-found', 'page not found')
    : new SwarmError(
        'unimplemented',
        `${method} ${path}: the "${part}" part of the Docker API is not supported yet`,
      )
}

/** Connections are taken over for containers only; no hook of the library runs here (host.md 29). */
function refuseUpgrade(request: IncomingMessage, socket: Duplex): void {
  const message = `${request.method ?? ''} ${request.url ?? ''}: connections cannot be upgraded yet`
  const body = errorBody(message)
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 501 Not Implemented\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearTimeout(timer)
}
