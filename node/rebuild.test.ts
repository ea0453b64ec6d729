/** Setting a log aside, and who may not rebuild. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { type Identity, removeIdentity } from './identity.ts'
import { listRebuildSources, newRebuildRefusal, setLogAside } from './rebuild.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-rebuild-'))
const options = { wallMs: Date.UTC(2026, 10, 21, 15, 4, 5, 678), log: silentLog }
afterAll(() => rmSync(folder, { recursive: true }))

function identity(role: 'manager' | 'worker', managers: readonly string[]): Identity {
  return {
    ...{ keyPem: '', certificatePem: '', rootPem: '' },
    claims: { nodeId: 'n', role, clusterId: 'c', notBeforeMs: 0, notAfterMs: 0 },
    place: {
      ...{
        raftId: 7,
        epoch: 1,
        shutOutBy: 0,
        listenAddr: '0.0.0.0:2377',
        raftListenAddr: '0.0.0.0:7946',
      },
      advertiseAddr: '10.0.0.1:2377',
      managers,
    },
  }
}

function addLog(content: string): void {
  mkdirSync(join(folder, 'raft'))
  writeFileSync(join(folder, 'raft', 'log'), content)
}

test('a log is set aside under a name with its time, each under its own, and goes with the node', () => {
  addLog('first')
  expect(setLogAside(folder, options)).toBe(join(folder, 'raft.set-aside-20261121T150405Z'))
  addLog('second')
  expect(setLogAside(folder, options)).toBe(join(folder, 'raft.set-aside-20261121T150405Z-2'))
  expect(setLogAside(folder, options)).toBeUndefined()
  expect(existsSync(join(folder, 'raft'))).toBe(false)

  removeIdentity(folder)
  expect(readdirSync(folder)).toEqual([])
})

test('a rebuild asks every manager but itself', () => {
  const managers = ['10.0.0.1:2377', '10.0.0.2:2377', '10.0.0.3:2377']
  expect(listRebuildSources(identity('manager', managers))).toEqual(managers.slice(1))
})

test.each([
  ['outside of a swarm', undefined, 'in no swarm'],
  ['on a worker', identity('worker', ['10.0.0.2:2377']), 'is a worker'],
  ['on the only manager', identity('manager', ['10.0.0.1:2377']), 'no other manager'],
])('a rebuild %s is refused', (_where, found, words) => {
  expect(() => listRebuildSources(found)).toThrow(words)
})

test('a rebuild that the others do not agree to says whom it asked, and what they said', () => {
  const { message } = newRebuildRefusal(['10.0.0.2:2377'], new Error('no leader'))
  expect(message).toContain('10.0.0.2:2377: no leader')
  expect(message).toContain('nothing was changed')
})
