/**
 * `npm run release`: `release/tsswarm-VERSION-linux-ARCH.tar.gz`, which runs on a host that has
 * nothing of it: the pinned Node, the stripped sources, the libraries without what only
 * development needs, and the installer. The same commit gives the same bytes: order, owner and
 * times are fixed. For another processor run it on a machine of that kind.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { stripSources } from '../cli/start-cache.ts'
import manifest from '../package.json' with { type: 'json' }

const ROOT = join(import.meta.dirname, '..')
const FOLDER = join(ROOT, 'release')
/** Beside the program itself. */
const FILES = [
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'cli/tsswarm',
  'deploy/install.sh',
  'deploy/packages.sh',
  'deploy/README.md',
]
const FOLDERS = ['deploy/systemd', 'deploy/host']
/** Of a library these are for its developers, and for its users' editors and debuggers. */
const LEFT_OUT =
  /^(?:tests?|benchmarks?|bench|examples?|\.github)\/|\.test\.[cm]?js$|\.(?:[cm]?ts|map|md|markdown|tsbuildinfo)$/
/** Types alone, which a library names as if it needed them to run. */
const TYPES_ONLY = /^node_modules\/(?:.*\/)?(?:@types\/|undici-types$)/

/** The archive of this checkout for this processor is made; its path. */
export function makeRelease(folder: string): string {
  const arch = process.arch
  const name = `tsswarm-${manifest.version}-linux-${arch}`
  const tree = join(folder, name)
  rmSync(tree, { recursive: true, force: true })
  for (const { path, text } of stripSources(ROOT)) write(join(tree, path), text)
  for (const path of FILES) copy(path, join(tree, path))
  for (const path of FOLDERS) cpSync(join(ROOT, path), join(tree, path), { recursive: true })
  for (const path of listLibraries()) copyLibrary(path, join(tree, path))
  copy(`node_modules/node-linux-${arch}/bin/node`, join(tree, 'bin', 'node'))
  copy(`node_modules/node-linux-${arch}/LICENSE`, join(tree, 'bin', 'node.LICENSE'))
  symlinkSync('../cli/tsswarm', join(tree, 'bin', 'tsswarm'))
  const archive = `${tree}.tar.gz`
  pack(folder, name, archive)
  rmSync(tree, { recursive: true })
  return archive
}

/** Folders of the libraries that run, by the lock file. */
function listLibraries(): readonly string[] {
  const lock: unknown = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const packages = new Map(Object.entries(fieldOf(lock, 'packages') ?? {}))
  return [...packages]
    .filter(([path]) => path !== '' && !TYPES_ONLY.test(path))
    .filter(([, entry]) =>
      ['dev', 'optional', 'devOptional'].every((mark) => fieldOf(entry, mark) === undefined),
    )
    .map(([path]) => path)
    .sort()
}

function fieldOf(value: unknown, key: string): object | boolean | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const field: unknown = Reflect.get(value, key)
  return (typeof field === 'object' && field !== null) || field === true ? field : undefined
}

/** Without the libraries below it, which have lines of their own in the lock file. */
function copyLibrary(path: string, target: string): void {
  for (const entry of readdirSync(join(ROOT, path), { recursive: true, encoding: 'utf8' })) {
    if (/(?:^|\/)node_modules(?:\/|$)/.test(entry) || LEFT_OUT.test(entry)) continue
    if (statSync(join(ROOT, path, entry)).isFile()) copy(join(path, entry), join(target, entry))
  }
}

function copy(path: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(join(ROOT, path), target)
  chmodSync(target, (statSync(target).mode & 0o111) === 0 ? 0o644 : 0o755)
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text, { mode: 0o644 })
}

function pack(folder: string, name: string, archive: string): void {
  const commit = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8' })
  const { SOURCE_DATE_EPOCH: given } = process.env
  const seconds = given ?? (commit.stdout?.trim() || '0')
  const result = spawnSync(
    'tar',
    [
      ...['--sort=name', '--format=gnu', '--owner=0', '--group=0', '--numeric-owner'],
      ...[`--mtime=@${seconds}`, '--mode=u+rwX,go+rX,go-w'],
      ...['--use-compress-program', 'gzip -n', '-cf', archive, '-C', folder, name],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  if (result.status !== 0) throw new Error('tar could not make the archive')
}

function main(): void {
  if (process.platform !== 'linux' || !existsSync(join(ROOT, 'proto', 'gen', 'types.ts')))
    throw new Error('a release is made on Linux, after npm ci and npm run gen')
  mkdirSync(FOLDER, { recursive: true })
  const archive = makeRelease(FOLDER)
  const megabytes = (statSync(archive).size / 1e6).toFixed(1)
  process.stdout.write(`${archive.slice(ROOT.length + 1)} ${megabytes} MB\n`)
}

if (import.meta.main) main()
