/**
 * A manager whose log is damaged: it refuses to start, names file and byte and what to do, and
 * `--rebuild` gets the log anew from the others, if they have a quorum without it (docs/disasters.md).
 */
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ProcessCluster, type ProcessHost } from './process-cluster.ts'

const cluster = new ProcessCluster(91, 3)
/** Who is damaged: no leader, so that its files are those of a follower. */
let broken: ProcessHost
let others: readonly ProcessHost[]
let configCount = 0

beforeAll(async () => {
  await cluster.form()
  const leader = await cluster.leader()
  broken = cluster.hosts.find((host) => host !== leader) ?? cluster.host(1)
  others = cluster.hosts.filter((host) => host !== broken)
})

afterAll(() => cluster.close())

/** A config that only a log which is whole can give back. */
async function write(): Promise<string> {
  const name = `config-${++configCount}`
  await cluster.createConfig(broken, name)
  return name
}

/** The newest segment that holds a batch, and where its last record begins. */
function findLastRecord(host: ProcessHost): { readonly path: string; readonly at: number } {
  const folder = join(host.stateDirectory, 'raft')
  const segments = readdirSync(folder).filter((name) => name.endsWith('.segment'))
  const path = join(folder, segments.sort().at(-1) ?? '')
  const bytes = readFileSync(path)
  let [at, lastAt] = [512, 0]
  // Header sector, then records: the sealed body's length stands at byte 16 of each (docs/log.md).
  for (; bytes.subarray(at, at + 512).some((byte) => byte !== 0); lastAt = at, at += roundUp(at));
  function roundUp(start: number): number {
    return Math.ceil((24 + bytes.readUInt32BE(start + 16)) / 512) * 512
  }
  return { path, at: lastAt }
}

function flipBit(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
  writeFileSync(path, bytes)
}

function listSetAside(host: ProcessHost): readonly string[] {
  return readdirSync(host.stateDirectory).filter((name) => name.startsWith('raft.set-aside-'))
}

async function expectRebuilt(names: readonly string[]): Promise<void> {
  await cluster.start(broken, '--rebuild')
  await cluster.untilManagers(broken, 3)
  expect(await cluster.listConfigs(broken)).toEqual(expect.arrayContaining([...names]))
  expect(await cluster.listConfigs(broken, 'stale')).toEqual(await cluster.listConfigs(broken))
}

test('a bit flip in the last acknowledged record is refused, and rebuilt', async () => {
  const name = await write()
  await cluster.end(broken, 'SIGKILL')
  const { path, at } = findLastRecord(broken)
  flipBit(path, at + 40)

  const { exitCode, said } = await cluster.startRefused(broken)
  expect(exitCode).toBe(1)
  expect(said).toContain(path)
  expect(said).toContain(`byte ${at}`)
  expect(said).toContain('--rebuild')
  expect(existsSync(path)).toBe(true)

  await expectRebuilt([name])
  expect(listSetAside(broken)).toHaveLength(1)
})

test('a log that is cut off is refused, and rebuilt', async () => {
  const name = await write()
  await cluster.end(broken, 'SIGKILL')
  const { path, at } = findLastRecord(broken)
  truncateSync(path, at + 512)

  const { exitCode, said } = await cluster.startRefused(broken)
  expect({ exitCode, isNamed: said.includes(path) }).toEqual({ exitCode: 1, isNamed: true })

  await expectRebuilt([name])
})

test('a rebuild is refused while the others have no quorum, and changes nothing', async () => {
  const [first, second] = others
  if (first === undefined || second === undefined) throw new Error('three managers')
  await cluster.end(broken, 'SIGKILL')
  await cluster.end(second, 'SIGKILL')
  const before = readdirSync(join(broken.stateDirectory, 'raft'))
  const setAside = listSetAside(broken)

  const { exitCode, said } = await cluster.startRefused(broken, '--rebuild')

  expect(exitCode).toBe(1)
  expect(said).toContain('quorum')
  expect(readdirSync(join(broken.stateDirectory, 'raft'))).toEqual(before)
  expect(listSetAside(broken)).toEqual(setAside)

  await cluster.start(second)
  await expectRebuilt([])
})
