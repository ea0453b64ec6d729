/**
 * Real processes: started once, their exit codes kept, also by a successor of their keeper.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ProcessStatus } from '../../agent/runtime/process.ts'
import { ProcessTable } from './process-table.ts'
import type {} from './protocol.ts'

const SIGTERM = 15
const SIGKILL = 9

let folder = ''
let output = { stdout: '', stderr: '' }
let told: ProcessStatus[] = []
const tables: ProcessTable[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keeper-'))
  output = { stdout: join(folder, 'out'), stderr: join(folder, 'err') }
  for (const path of Object.values(output)) writeFileSync(path, '')
  told = []
})

afterEach(() => {
  for (const table of tables.splice(0)) table.killAll()
  rmSync(folder, { recursive: true })
})

function newTable(): ProcessTable {
  const table = new ProcessTable(join(folder, 'processes'), (status) => told.push(status))
  tables.push(table)
  return table
}

function start(table: ProcessTable, script: string): ProcessStatus {
  return table.start(
    {
      kind: 'start-process',
      taskId: 't1',
      argv: ['sh', '-c', script],
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'GREETING=hello world'],
      directory: folder,
      label: 'what the daemon wants back',
    },
    output,
  )
}

const exits = () => vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 5_000 })

test('a process runs with its environment and directory, and its exit code is told once', async () => {
  const table = newTable()

  const status = start(table, 'echo "$GREETING"; pwd; echo bad >&2; exit 7')
  await exits()

  expect(status).toMatchObject({ state: 'running', label: 'what the daemon wants back' })
  expect(told).toMatchObject([{ taskId: 't1', state: 'exited', exitCode: 7, error: '' }])
  expect(readFileSync(output.stdout, 'utf8')).toBe(`hello world\n${folder}\n`)
  expect(readFileSync(output.stderr, 'utf8')).toBe('bad\n')
  expect(table.list()).toEqual(told)
})

test('a process that ran is not started again', async () => {
  const table = newTable()
  start(table, 'echo once')
  await exits()

  const again = start(table, 'echo twice')

  expect(again.state).toBe('exited')
  expect(readFileSync(output.stdout, 'utf8')).toBe('once\n')
})

test('a signal reaches the process and not its waiter: its own exit code is kept', async () => {
  const table = newTable()
  start(table, 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done')
  await vi.waitFor(() => expect(readFileSync(output.stdout, 'utf8')).toBe('ready\n'))

  table.signal('t1', SIGTERM)
  await exits()

  expect(told).toMatchObject([{ exitCode: 5, error: '' }])
})

test('SIGKILL ends the whole group with 137', async () => {
  const table = newTable()
  const pidFile = join(folder, 'child')
  start(table, `sleep 60 & echo $! >${pidFile}; wait`)
  await vi.waitFor(() => expect(existsSync(pidFile)).toBe(true))
  await vi.waitFor(() => expect(readFileSync(pidFile, 'utf8')).not.toBe(''))

  table.signal('t1', SIGKILL)
  await exits()

  expect(told).toMatchObject([{ exitCode: 137, error: '' }])
  await vi.waitFor(() => expect(isRunning(readFileSync(pidFile, 'utf8').trim())).toBe(false))
})

test('what a process left behind in its group ends with it', async () => {
  const table = newTable()
  const pidFile = join(folder, 'child')

  start(table, `sleep 60 & echo $! >${pidFile}`)
  await exits()

  expect(told).toMatchObject([{ exitCode: 0 }])
  await vi.waitFor(() => expect(isRunning(readFileSync(pidFile, 'utf8').trim())).toBe(false))
})

test('a successor adopts what runs, and learns what ended while there was no keeper', async () => {
  const first = newTable()
  start(first, `while ! test -e ${folder}/go; do sleep 0.05; done; exit 9`)
  tables.splice(0)
  first.end()

  const second = newTable()
  expect(second.list()).toMatchObject([{ taskId: 't1', state: 'running' }])
  writeFileSync(join(folder, 'go'), '')
  await vi.waitFor(() => expect(second.list()).toMatchObject([{ exitCode: 9 }]), { timeout: 5_000 })

  expect(newTable().list()).toMatchObject([
    { state: 'exited', exitCode: 9, label: 'what the daemon wants back' },
  ])
})

test('a process that is gone without a word has lost its exit code', () => {
  const first = newTable()
  start(first, 'sleep 60')
  const identity = JSON.parse(readFileSync(join(folder, 'processes', 't1', 'process.json'), 'utf8'))
  first.killAll()
  tables.splice(0)
  const folderOfTask = join(folder, 'processes', 't1')
  execFileSync('mkdir', ['-p', folderOfTask])
  writeFileSync(
    join(folderOfTask, 'process.json'),
    JSON.stringify({ ...identity, startTime: 'of another process' }),
  )

  expect(newTable().list()).toMatchObject([{ state: 'exited', error: 'exit code lost' }])
})

test('a process is forgotten only when it has ended', async () => {
  const table = newTable()
  start(table, 'sleep 60')

  expect(() => table.remove('t1')).toThrow(/still runs/)
  table.signal('t1', SIGKILL)
  await exits()
  table.remove('t1')
  table.remove('t1')

  expect(table.list()).toEqual([])
})

test('a missing directory is an error of the start, and may be tried again', () => {
  const table = newTable()
  const request = {
    ...{ kind: 'start-process' as const, taskId: 't1', argv: ['true'], env: [], label: '' },
    directory: join(folder, 'nowhere'),
  }

  expect(() => table.start(request, output)).toThrow(/cannot be started in directory/)
  expect(table.list()).toEqual([])
})

function isRunning(pid: string): boolean {
  const stat = `/proc/${pid}/stat`
  return existsSync(stat) && !readFileSync(stat, 'utf8').includes(') Z ')
}
