/** The daemon over TCP: mutual TLS by flags or a folder of files, and connections that fail. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { newApi } from '../manager/api/http/server.ts'
import { TestBackend } from '../test/backend.ts'
import { CliSwarm, runCli } from '../test/cli-world.ts'
import { TestAuthority, type TestCertificate } from '../test/client-certificate.ts'

describe('a daemon on TCP', () => {
  let folder: string
  let host: string
  let api: ReturnType<typeof newApi>

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    const authority = await TestAuthority.create()
    const server = await authority.issue('CN=server')
    const port = await findPort()
    host = `tcp://127.0.0.1:${port}`
    api = newApi({ backend: new TestBackend(), log: silentLog })
    await api.listen({
      kind: 'tcp',
      host: '127.0.0.1',
      port,
      tls: { ca: authority.cert, ...server },
    })
    keep(authority.cert, await authority.issue('CN=admin'))
  })

  afterEach(async () => {
    await api.close()
    rmSync(folder, { recursive: true })
  })

  function keep(ca: string, client: TestCertificate): void {
    writeFileSync(join(folder, 'ca.pem'), ca)
    writeFileSync(join(folder, 'cert.pem'), client.cert)
    writeFileSync(join(folder, 'key.pem'), client.key)
  }

  function tlsFlags(): readonly string[] {
    return [
      ...['--tlscacert', join(folder, 'ca.pem'), '--tlscert', join(folder, 'cert.pem')],
      ...['--tlskey', join(folder, 'key.pem')],
    ]
  }

  test('is asked with certificates of flags, or of a folder', async () => {
    const byFlags = await runCli(host, [...tlsFlags(), 'node', 'ls', '-q'])
    const byFolder = await runCli(host, ['node', 'ls', '-q'], {
      env: { TSSWARM_CERT_PATH: folder },
    })

    expect(byFlags).toEqual({ code: 0, out: 'node1\nnode2\n', err: '' })
    expect(byFolder).toEqual(byFlags)
  })

  test('is not trusted when another authority signed it', async () => {
    writeFileSync(join(folder, 'ca.pem'), (await TestAuthority.create()).cert)

    const { code, err } = await runCli(host, [...tlsFlags(), 'node', 'ls'])

    expect(code).toBe(1)
    expect(err).toMatch(new RegExp(`^connection to ${host} failed: `))
  })

  test('refuses who shows no certificate', async () => {
    const { code, err } = await runCli(host, ['node', 'ls'])

    expect([code, err]).toEqual([1, expect.stringContaining(`connection to ${host} failed: `)])
  })

  test('TLS files that cannot be read are a usage error', async () => {
    const env = { DOCKER_CERT_PATH: join(folder, 'nowhere') }

    expect((await runCli(host, ['node', 'ls'], { env })).code).toBe(125)
  })
})

test('what is too large for the daemon is refused in its words', async () => {
  const swarm = await CliSwarm.start()
  const file = join(mkdtempSync(join(tmpdir(), 'tsswarm-cli-')), 'big')
  writeFileSync(file, Buffer.alloc(12 * 1_048_576, 'x'))

  // A process of its own, as in one process both ends of the connection take turns.
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const asked = promisify(execFile)(process.execPath, [main, 'config', 'create', 'big', file], {
    env: { ...process.env, TSSWARM_HOST: swarm.host },
  })

  await expect(asked).rejects.toMatchObject({
    code: 1,
    stderr: 'Error response from daemon: Request body is too large\n',
  })
  await swarm.close()
  rmSync(dirname(file), { recursive: true })
})

/** A port that nobody listens on: the API takes one that is named. */
async function findPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
