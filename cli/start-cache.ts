/**
 * The start-up cache of a checkout: what `module.stripTypeScriptTypes` leaves of every source, so
 * that a start neither loads the stripper nor waits for it (DESIGN section 4). A *generation* is a
 * folder named after a hash of its content; it is complete from the moment it has its name and
 * never changes. `current` names the one to run; its time is when the sources were read, which is
 * what the launcher compares with. Starts at the same time make the same generation, and the first
 * one's stays. A generation that a running process was started from is kept: daemons and keepers
 * load files late, and keepers are started again from where they were.
 * Run: `node cli/start-cache.ts ROOT CACHE`.
 */
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'

const FOLDERS = ['lib', 'proto', 'manager', 'agent', 'node', 'cli']
/** Changed when the same sources give another tree. */
const FORMAT = 1
/** File systems stamp with a clock that is behind by as much. */
const CLOCK_LAG_MS = 10
/** A younger generation may be about to be started from. */
const KEPT_MS = 3_600_000

/** One file of the stripped tree. */
export type StrippedFile = { readonly path: string; readonly text: string }

/** What runs of the tree at `root`: `.js` for every `.ts` but tests, and package.json. */
export function stripSources(root: string): readonly StrippedFile[] {
  const sources = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
      .map((path) => `${folder}/${path}`),
  )
  const stripped = sources.sort().map((path) => ({
    path: endingJs(path),
    text: stripFile(root, path),
  }))
  return [
    ...stripped,
    { path: 'package.json', text: readFileSync(join(root, 'package.json'), 'utf8') },
  ]
}

function stripFile(root: string, path: string): string {
  try {
    return stripSource(readFileSync(join(root, path), 'utf8'))
  } catch (cause) {
    throw new Error(`${path}: ${describe(cause)}`, { cause })
  }
}

/** JavaScript with every line where it was, that names its neighbours by their new ending. */
export function stripSource(text: string): string {
  return stripTypeScriptTypes(text).replace(
    /(['"])(\.\.?\/[^'"\n]*)\.ts\1/g,
    (_, quote: string, path: string) => `${quote}${path}.js${quote}`,
  )
}

/** `cache/current` names a generation of the tree at `root` as it was at the call or later. */
export function refreshStartCache(root: string, cache: string): void {
  const startedAt = new Date(Date.now() - CLOCK_LAG_MS)
  const files = stripSources(root)
  const hash = createHash('sha256').update(`${FORMAT}\0${root}\0`)
  for (const { path, text } of files) hash.update(`${path}\0${text}\0`)
  const name = hash.digest('hex').slice(0, 16)
  const scratch = join(cache, `.${name}.${process.pid}`)
  for (const { path, text } of files) writeTo(join(scratch, path), text)
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
  publish(scratch, join(cache, name))
  const before = findCurrent(cache)
  const pointer = join(cache, `.current.${process.pid}`)
  writeFileSync(pointer, `${name}\n`)
  utimesSync(pointer, startedAt, startedAt)
  renameSync(pointer, join(cache, 'current'))
  // A start that read the pointer just before is about to run what it named.
  removeUnused(cache, [name, before], startedAt.getTime())
}

/** A generation of this name stays if there is one: it has the same content. */
function publish(scratch: string, generation: string): void {
  try {
    renameSync(scratch, generation)
  } catch (error) {
    rmSync(scratch, { recursive: true })
    if (!isTaken(error)) throw error
    // Its age counts from its last use.
    const now = new Date()
    utimesSync(generation, now, now)
  }
}

function isTaken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOTEMPTY' || code === 'EEXIST'
}

function findCurrent(cache: string): string {
  try {
    return readFileSync(join(cache, 'current'), 'utf8').trim()
  } catch {
    return ''
  }
}

function removeUnused(cache: string, kept: readonly string[], nowMs: number): void {
  const commands = listCommands()
  for (const name of readdirSync(cache)) {
    const path = join(cache, name)
    if (kept.includes(name) || name === 'current' || commands.includes(path)) continue
    const modifiedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs
    if (nowMs - modifiedMs > KEPT_MS) rmSync(path, { recursive: true, force: true })
  }
}

/** The command lines of all processes; empty where there is no /proc. */
function listCommands(): string {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readCommand(pid))
      .join('\n')
  } catch {
    return ''
  }
}

function readCommand(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    // It ended since the listing.
    return ''
  }
}

function writeTo(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function endingJs(path: string): string {
  return path.replace(/\.ts$/, '.js')
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function main(root: string, cache: string): Promise<void> {
  // Loaded here, so that a release, which has no need to generate, does not need the parser.
  const { generate } = await import('../proto/generate.ts')
  generate(join(root, 'proto'), join(root, 'proto', 'gen'))
  mkdirSync(cache, { recursive: true, mode: 0o755 })
  refreshStartCache(root, cache)
}

if (import.meta.main) {
  const [root, cache] = process.argv.slice(2)
  if (root === undefined || cache === undefined) {
    process.stderr.write('usage: node cli/start-cache.ts ROOT CACHE\n')
    process.exit(125)
  }
  main(root, cache).catch((error: unknown) => {
    process.stderr.write(`tsswarm: no start-up cache, running the sources: ${describe(error)}\n`)
    process.exit(1)
  })
}
