/**
 * A run is a function of its seed and of nothing that a machine has: not of its clock zone, language,
 * folder or number of threads, nor of how its Node turns code into instructions. Other processors are
 * compared by hand (docs/simulator.md, "On another machine").
 */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { runSeed } from './simulator.ts'

const SEED = 7
const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** Baseline code only, and memory that is collected at other moments. */
const OTHER_CODE = ['--no-opt', '--max-semi-space-size=1']
const OTHER_PLACE = { TZ: 'Pacific/Kiritimati', LC_ALL: 'tr_TR.UTF-8', UV_THREADPOOL_SIZE: '1' }

test('a seed leaves the same trace on a machine that differs', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...OTHER_CODE, MAIN, '--seed', String(SEED)],
    { cwd: tmpdir(), env: { ...process.env, ...OTHER_PLACE } },
  )

  expect(stdout).toContain(`hash ${runSeed(SEED).hash}\n`)
})
