/**
 * What holds for every request to the HTTP API: versions, bodies, errors, sizes, paths that are not
 * served. Bad input is answered with Docker's status and a message that names what is wrong.
 */
import { describe, expect, test, vi } from 'vitest'
import { type LogFields, silentLog } from '../../../lib/log.ts'
import { ApiClient, filters } from '../../../test/api-client.ts'
import { TestBackend } from '../../../test/backend.ts'
import { BODY_BYTES_MAX } from './body.ts'
import { newApi } from './server.ts'

describe('versions', () => {
  test('are taken from the path, from 1.24 to 1.50', async () => {
    const client = new ApiClient()

    for (const path of ['/services', '/v1.24/services', '/v1.50/services', '/v1.41/services'])
      expect((await client.ask(`GET ${path}`)).status).toBe(200)
    for (const [version, message] of [
      ['1.23', 'client version 1.23 is too old. Minimum supported API version is 1.24'],
      ['0.9', 'client version 0.9 is too old'],
      ['1.51', 'client version 1.51 is too new. Maximum supported API version is 1.50'],
      ['2.0', 'client version 2.0 is too new'],
    ])
      expect(await client.ask(`GET /v${version}/services`)).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining(message ?? '') },
      })
  })
})

describe('bad input', () => {
  const table: readonly (readonly [
    string,
    { readonly body?: unknown; readonly type?: string },
    number,
    string,
  ])[] = [
    ['POST /services/create', { body: '{"Name":' }, 400, 'invalid JSON: '],
    ['POST /services/create', { body: '{"Name":"a"} x' }, 400, 'unexpected content after JSON'],
    ['POST /services/create', { body: '[1]' }, 400, 'the body must be a JSON object'],
    ['POST /services/create', { body: '"x"' }, 400, 'the body must be a JSON object'],
    ['POST /services/create', { body: '7' }, 400, 'the body must be a JSON object'],
    ['POST /services/create', {}, 400, 'ContainerSpec: missing in service spec'],
    ['POST /services/create', { body: ' ' }, 400, 'ContainerSpec: missing in service spec'],
    ['POST /services/create', { body: '{}', type: 'text/plain' }, 400, 'unsupported Content-Type'],
    ['POST /services/create', { body: '{}', type: 'nonsense' }, 400, 'Content-Type'],
    ['POST /services/create', { body: { Nonsense: 1 } }, 400, 'Nonsense: unknown field'],
    [
      'POST /services/create',
      { body: { Name: 'a b', TaskTemplate: { ContainerSpec: { Image: 'a' } } } },
      400,
      'name must be valid as a DNS name component',
    ],
    ['POST /services/create', { body: '{"__proto__":{"a":1}}' }, 400, '__proto__: unknown field'],
    ['POST /services/create', { body: 'x'.repeat(BODY_BYTES_MAX + 1) }, 413, 'too large'],
    ['POST /services/a/update', { body: {} }, 400, 'invalid version ""'],
    ['POST /services/a/update?version=-1', { body: {} }, 400, 'invalid version "-1"'],
    ['POST /services/a/update?version=1', { body: {} }, 404, 'service a not found'],
    ['POST /services/a/update?version=1&rollback=previous', {}, 404, 'service a not found'],
    ['POST /services/a/update?version=1&rollback=x', { body: {} }, 400, 'rollback'],
    ['POST /services/a/update?version=1&registryAuthFrom=x', { body: {} }, 400, 'registryAuthFrom'],
    [`GET /services?${filters({ bogus: ['x'] })}`, {}, 400, "invalid filter 'bogus'"],
    ['GET /services?filters=x', {}, 400, 'invalid filter'],
    ['GET /services?filters=[1]', {}, 400, 'invalid filter'],
    ['GET /services?filters={"id":"x"}', {}, 400, "invalid filter 'id'"],
    ['GET /services?filters={"id":[1]}', {}, 400, "invalid filter 'id'"],
    ['GET /services?consistency=maybe', {}, 400, 'invalid consistency "maybe"'],
    ['GET /services/%zz', {}, 400, ''],
    [`GET /services/${'x'.repeat(600)}`, {}, 414, ''],
    ['GET /nothing', {}, 404, 'page not found'],
    ['GET /', {}, 404, 'page not found'],
    ['POST /nodes', { body: {} }, 404, 'page not found'],
    ['DELETE /swarm', {}, 404, 'page not found'],
    ['GET /containers/json', {}, 501, 'the "containers" part of the Docker API is not supported'],
    ['POST /v1.41/images/create?fromImage=a', {}, 501, 'the "images" part'],
    ['DELETE /networks/a', {}, 501, 'the "networks" part'],
    ['GET /v1.60/volumes', {}, 501, 'the "volumes" part'],
  ]
  const titled = table.map((row, at) => [`${at}: ${row[0].slice(0, 60)}`, ...row] as const)
  test.each(titled)('%s', async (_title, operation, { body, type }, status, message) => {
    const reply = await new ApiClient().ask(
      operation,
      body,
      type === undefined ? {} : { 'content-type': type },
    )

    expect(reply).toMatchObject({
      status,
      body: { message: expect.stringContaining(message) },
      headers: { 'api-version': '1.50', 'content-type': 'application/json' },
    })
    expect(reply.text).not.toMatch(/\bat .*\.[jt]s/)
  })

  test('is not quoted, for it may be a secret', async () => {
    const reply = await new ApiClient().ask('POST /secrets/create', '{"Data":"hunter2" "x"}')

    expect(reply.status).toBe(400)
    expect(reply.text).not.toContain('hunter2')
  })
})

test('a bug is answered without its stack and told to the log', async () => {
  const logged: LogFields[] = []
  const backend = new TestBackend()
  backend.read = async () => {
    throw new TypeError('secret detail')
  }
  const api = newApi({ backend, log: { ...silentLog, error: (fields) => logged.push(fields) } })

  const reply = await api.inject('/services')

  expect(reply.statusCode).toBe(500)
  expect(reply.payload).not.toContain('secret detail')
  expect(logged).toMatchObject([{ detail: expect.stringContaining('secret detail') }])
})

test('stale reads are asked of the backend as such', async () => {
  const asked: string[] = []
  const backend = new TestBackend()
  const client = new ApiClient(backend)
  const view = backend.store.view()
  backend.read = async (consistency) => {
    asked.push(consistency)
    return view
  }

  await client.ask('GET /services')
  await client.ask('GET /services?consistency=stale')

  expect(asked).toEqual(['linearizable', 'stale'])
})

test('a write that no manager answers is refused in time, with its outcome unknown', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const backend = new TestBackend()
  backend.write = () => new Promise(() => undefined)

  const asking = new ApiClient(backend).ask('POST /configs/create', { Name: 'a', Data: 'eA==' })
  await vi.waitUntil(() => vi.getTimerCount() > 0)
  await vi.advanceTimersByTimeAsync(22_000)

  expect(await asking).toMatchObject({
    status: 503,
    body: { message: expect.stringContaining('outcome unknown') },
  })
  vi.useRealTimers()
})
