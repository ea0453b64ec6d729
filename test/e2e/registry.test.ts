/**
 * Images from registries: Debian's docker-registry on loopback, without and with a password, behind a
 * server that breaks off downloads, demands tokens and stands in as a mirror.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type ContainerdOptions,
  type ContainerdRuntime,
  openContainerd,
} from '../../agent/runtime/containerd/containerd.ts'
import {
  type BuiltImage,
  buildImage,
  busyboxLayer,
  imageFile,
  pushImage,
} from '../../deploy/quickstart/image.ts'
import { silentLog } from '../../lib/log.ts'
import { emptyTask, type Task } from '../../proto/gen/objects.ts'
import { type ContainerSpec, emptyContainerSpec, emptyTaskSpec } from '../../proto/gen/specs.ts'
import { openTestHost, type TestHost } from './keeper-host.ts'

const PASSWORD = 'secret-word'
/** The password as an htpasswd file has it; Node has no bcrypt to make it. */
const BCRYPT = '$2y$05$aaaaaaaaaaaaaaaaaaaaauQPETmHNv5RIbGEYotA4z7l0QCHsx5A6'
const basic = `Basic ${Buffer.from(`user:${PASSWORD}`).toString('base64')}`
const forever = new AbortController().signal
const folder = mkdtempSync('/var/tmp/tsswarm-registry-')
const ending: (() => Promise<void>)[] = []
let world: TestHost
let open: string
let locked: string
let taskCount = 0

beforeAll(async () => {
  world = await openTestHost()
  open = await startRegistry('open', '')
  const htpasswd = join(folder, 'htpasswd')
  writeFileSync(htpasswd, `user:${BCRYPT}\n`)
  locked = await startRegistry('locked', `auth: {htpasswd: {realm: locked, path: ${htpasswd}}}`)
})

afterAll(async () => {
  for (const end of ending.reverse()) await end()
  await world.close()
  rmSync(folder, { recursive: true })
})

/** A registry of its own on a free port; its `host:port`. */
async function startRegistry(name: string, extra: string): Promise<string> {
  const port = await freePort()
  const config = join(folder, `${name}.yml`)
  writeFileSync(
    config,
    `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${join(folder, name)}}}
http: {addr: "127.0.0.1:${port}", secret: s}
${extra}
`,
  )
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  ending.push(async () => {
    child.kill('SIGKILL')
  })
  while (!(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 50))
  return `127.0.0.1:${port}`
}

async function freePort(): Promise<number> {
  const server = await listen(() => undefined)
  const { port } = addressOf(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

function addressOf(server: Server): AddressInfo {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return address
}

/** A server in front of the open registry; `meddle` may answer itself, or cut off after so many bytes. */
async function startFront(
  meddle: (request: IncomingMessage, response: ServerResponse) => 'answered' | number,
): Promise<string> {
  const server = await listen((request, response) => {
    const verdict = meddle(request, response)
    if (verdict !== 'answered') void forward(request, response, verdict)
  })
  ending.push(async () => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${addressOf(server).port}`
}

async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  bytesMax: number,
): Promise<void> {
  const headers: Record<string, string> = {}
  for (const name of ['accept', 'range']) {
    const value = request.headers[name]
    if (typeof value === 'string') headers[name] = value
  }
  const answer = await fetch(`http://${open}${request.url ?? ''}`, { headers })
  const body = Buffer.from(await answer.arrayBuffer())
  const kept = ['content-type', 'content-range', 'docker-content-digest']
  const passed = kept.flatMap((name): [string, string][] => {
    const value = answer.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  response.writeHead(answer.status, {
    ...Object.fromEntries(passed),
    'content-length': body.length,
  })
  if (body.length <= bytesMax) response.end(body)
  else response.write(body.subarray(0, bytesMax), () => response.destroy())
}

function newImage(name: string, content: string): BuiltImage {
  return buildImage({
    name,
    layers: [busyboxLayer(), [imageFile('content', content)]],
    config: { Cmd: ['cat', '/content'] },
  })
}

async function withRuntime<T>(
  options: Partial<ContainerdOptions>,
  use: (runtime: ContainerdRuntime) => Promise<T>,
): Promise<T> {
  const runtime = await openContainerd({
    host: world.host,
    stateDirectory: world.paths.stateDirectory,
    log: silentLog,
    ...options,
  })
  try {
    return await use(runtime)
  } finally {
    await runtime.close()
  }
}

function newTask(image: string, changes: Partial<ContainerSpec> = {}): Task {
  const id = `reg${String(taskCount++).padStart(5, '0')}${process.pid.toString(36)}`.padEnd(25, 'x')
  const container = { ...emptyContainerSpec, image, ...changes }
  return { ...emptyTask, id, spec: { ...emptyTaskSpec, container } }
}

/** What a container of the image writes, which is then removed. */
function runOnce(
  image: string,
  changes: Partial<ContainerSpec> = {},
  options: Partial<ContainerdOptions> = {},
): Promise<string> {
  return withRuntime(options, async (runtime) => {
    const task = newTask(image, changes)
    try {
      await runtime.prepare(task, forever)
      await runtime.start(task)
      let text = ''
      const following = {
        follow: true,
        stdout: true,
        stderr: true,
        tail: -1,
        sinceMs: 0,
        signal: forever,
      }
      for await (const line of runtime.logs(task.id, following))
        text += new TextDecoder().decode(line.data)
      return text
    } finally {
      await runtime.remove(task.id)
    }
  })
}

const auth = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

test('an image is pulled by tag and by digest, and a moved tag is pulled again', async () => {
  const first = newImage('app:1', 'first')
  await pushImage(`http://${open}`, first)

  expect(await runOnce(`${open}/app:1`)).toBe('first')
  expect(await runOnce(`${open}/app:1@${first.manifest.digest}`)).toBe('first')
  await pushImage(`http://${open}`, newImage('app:1', 'second'))

  expect(await runOnce(`${open}/app:1`)).toBe('second')
  expect(await runOnce(`${open}/app@${first.manifest.digest}`)).toBe('first')
})

test('what the registry does not have is refused by name', async () => {
  await expect(runOnce(`${open}/app:none`)).rejects.toThrow(
    `no such image: ${open}/app:none: manifest unknown`,
  )
})

test('a private registry wants the service’s credentials', async () => {
  await pushImage(`http://${locked}`, newImage('private:1', 'for users'), basic)
  const image = `${locked}/private:1`
  const wrong = auth({ username: 'user', password: 'wrong' })

  await expect(runOnce(image)).rejects.toThrow(`pull access denied for ${locked}/private`)
  await expect(runOnce(image, { registryAuth: wrong })).rejects.toThrow('pull access denied')
  const registryAuth = auth({ username: 'user', password: PASSWORD, serveraddress: locked })

  expect(await runOnce(image, { registryAuth })).toBe('for users')
})

test('tokens are fetched with the credentials and shown, once for all requests', async () => {
  await pushImage(`http://${open}`, newImage('tokens:1', 'by token'))
  const asked: string[] = []
  const front = await startFront((request, response) => {
    const url = new URL(request.url ?? '', 'http://x')
    if (url.pathname === '/token') {
      asked.push(`${request.headers.authorization} ${url.search}`)
      response.end(JSON.stringify({ token: 'T1', expires_in: 300 }))
      return 'answered'
    }
    if (request.headers.authorization === 'Bearer T1') return Infinity
    const realm = `http://${request.headers.host}/token`
    response.writeHead(401, {
      'www-authenticate': `Bearer realm="${realm}",service="s",scope="repository:tokens:pull"`,
    })
    response.end()
    return 'answered'
  })

  const registryAuth = auth({ username: 'user', password: PASSWORD })
  expect(await runOnce(`${front}/tokens:1`, { registryAuth })).toBe('by token')

  expect(new Set(asked)).toEqual(new Set([`${basic} ?service=s&scope=repository%3Atokens%3Apull`]))
})

test('a download that breaks off goes on where it was, also after a restart', async () => {
  const noise = randomBytes(3 << 20)
  const image = buildImage({
    name: 'large:1',
    layers: [busyboxLayer(), [imageFile('noise', noise), imageFile('content', 'whole')]],
    config: { Cmd: ['cat', '/content'] },
  })
  await pushImage(`http://${open}`, image)
  const ranges: string[] = []
  let isBroken = true
  const front = await startFront((request, response) => {
    if (!(request.url ?? '').includes('/blobs/')) return Infinity
    if (request.headers.range !== undefined) ranges.push(request.headers.range)
    if (!isBroken) return Infinity
    if (ranges.length < 2) return 1_200_000
    response.writeHead(404).end()
    return 'answered'
  })

  await expect(runOnce(`${front}/large:1`)).rejects.toThrow('no such image')
  isBroken = false
  const before = ranges.length
  expect(await runOnce(`${front}/large:1`)).toBe('whole')

  expect(before).toBeGreaterThanOrEqual(2)
  const offsets = ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]))
  expect(Math.min(...offsets)).toBeGreaterThan(0)
  expect(ranges.length).toBeGreaterThan(before)
})

test('a blob that is not what its digest says is refused, and fetched again next time', async () => {
  await pushImage(`http://${open}`, newImage('forged:1', 'true content'))
  let isForging = true
  const front = await startFront((request, response) => {
    if (!isForging || !(request.url ?? '').includes('/blobs/')) return Infinity
    void fetch(`http://${open}${request.url ?? ''}`).then(async (answer) => {
      const body = Buffer.from(await answer.arrayBuffer())
      body[body.length - 1] = (body.at(-1) ?? 0) ^ 1
      response.end(body)
    })
    return 'answered'
  })
  const forged = await runOnce(`${front}/forged:1`).catch((error: unknown) => String(error))
  isForging = false

  expect(forged).toContain('has other content than its digest says')
  expect(await runOnce(`${front}/forged:1`)).toBe('true content')
})

test('an image that is here is used when its registry is away', async () => {
  await pushImage(`http://${open}`, newImage('kept:1', 'kept'))
  let isAway = false
  const front = await startFront((_, response) => {
    if (!isAway) return Infinity
    response.destroy()
    return 'answered'
  })
  await runOnce(`${front}/kept:1`)
  isAway = true

  expect(await runOnce(`${front}/kept:1`)).toBe('kept')
  await expect(runOnce(`${front}/never:1`)).rejects.toThrow(`cannot reach http`)
})

test('a mirror is asked first, without credentials, and the registry when it fails', async () => {
  await pushImage(`http://${open}`, newImage('mirrored:1', 'from the mirror'))
  await pushImage(`http://${open}`, newImage('direct:1', 'direct'))
  const seen: string[] = []
  const mirror = await startFront((request, response) => {
    seen.push(`${request.headers.authorization ?? 'nobody'} ${request.url}`)
    if (!(request.url ?? '').includes('direct')) return Infinity
    response.writeHead(500).end()
    return 'answered'
  })
  const mirrors = new Map([
    ['registry.invalid', [`http://${mirror}`]],
    [open, [`http://${mirror}`]],
  ])
  const registryAuth = auth({ username: 'user', password: PASSWORD })

  const mirrored = await runOnce('registry.invalid/mirrored:1', { registryAuth }, { mirrors })

  expect(mirrored).toBe('from the mirror')
  expect(await runOnce(`${open}/direct:1`, {}, { mirrors })).toBe('direct')
  expect(seen.every((line) => line.startsWith('nobody '))).toBe(true)
})

test('many tasks of one image pull it once', async () => {
  await pushImage(`http://${open}`, newImage('shared:1', 'shared'))
  const blobs: string[] = []
  const front = await startFront((request) => {
    if ((request.url ?? '').includes('/blobs/')) blobs.push(request.url ?? '')
    return Infinity
  })

  await withRuntime({}, async (runtime) => {
    const tasks = Array.from({ length: 8 }, () => newTask(`${front}/shared:1`))
    await Promise.all(tasks.map((task) => runtime.prepare(task, forever)))
    await Promise.all(tasks.map((task) => runtime.remove(task.id)))
  })

  expect(new Set(blobs).size).toBe(blobs.length)
})

test('a pull that nobody wants any more ends, and is whole when it is wanted again', async () => {
  await pushImage(`http://${open}`, newImage('left:1', 'left'))
  const waiting = Promise.withResolvers<void>()
  let isSlow = true
  const front = await startFront((request) => {
    if (!isSlow || !(request.url ?? '').includes('/blobs/')) return Infinity
    waiting.resolve()
    return 'answered'
  })
  const leaving = new AbortController()

  await withRuntime({}, async (runtime) => {
    const task = newTask(`${front}/left:1`)
    const prepared = runtime.prepare(task, leaving.signal)
    await waiting.promise
    leaving.abort()
    await expect(prepared).rejects.toThrow('no longer wanted')
    isSlow = false
    await runtime.prepare(task, forever)
    await runtime.remove(task.id)
  })
})

test('an image that is too large when unpacked is refused and leaves nothing behind', async () => {
  const image = buildImage({
    name: 'bomb:1',
    layers: [busyboxLayer(), [imageFile('zeros', Buffer.alloc(64 << 20))]],
    config: { Cmd: ['true'] },
  })
  await pushImage(`http://${open}`, image)

  const limits = { unpackedBytesMax: 8 << 20 }
  await expect(runOnce(`${open}/bomb:1`, {}, limits)).rejects.toThrow(
    `is larger than ${8 << 20} bytes when unpacked`,
  )
  await expect(runOnce(`${open}/bomb:1`, {}, { freeBytesMin: 2 ** 52 })).rejects.toThrow(
    `no space left to unpack ${open}/bomb:1`,
  )

  expect(existsSync(world.paths.containerdRoot)).toBe(true)
  const ctr = ['ctr', '--address', world.paths.containerdSocket, '--namespace', 'tsswarm']
  const { stdout } = await world.keeper.run([...ctr, 'snapshots', 'list'])
  expect(stdout).not.toMatch(/unpack-.*Active/)
})
