/**
 * The house rules as a test (STYLE sections 2, 3, 4 and 15): who may import whom, each library in
 * its home, what pure folders may not name, heads of files, twins of ports, dead files and
 * forbidden names. Each rule is first shown a tiny example that it must refuse, so that the check
 * is itself checked. It reads files as text: all imports are static, relative and end in `.ts`.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const TOP = ['lib', 'proto', 'manager', 'agent', 'node', 'cli', 'test', 'bench', 'deploy']

type Source = { readonly path: string; readonly text: string }

/** Folder prefix (longest match wins) → prefixes it may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  proto: ['lib'],
  'manager/raft': ['lib', 'proto'],
  'manager/store': ['lib', 'proto'],
  'manager/model': ['lib', 'proto', 'manager/store'],
  'manager/wal': ['lib', 'proto', 'manager/raft'],
  'manager/orchestrator': ['lib', 'proto', 'manager/store', 'manager/model'],
  'manager/scheduler': ['lib', 'proto', 'manager/store', 'manager/model'],
  'manager/allocator': ['lib', 'proto', 'manager/store', 'manager/model'],
  'manager/dispatcher': ['lib', 'proto', 'manager/store', 'manager/model'],
  'manager/ca': ['lib', 'proto', 'manager/store', 'manager/model'],
  'manager/api': ['lib', 'proto', 'manager/store', 'manager/model', 'manager/ca/ca.ts'],
  'manager/api/rpc.ts': [
    'lib',
    'proto',
    'manager/store',
    'manager/model',
    'manager/api',
    'manager/dispatcher',
    'manager/ca',
  ],
  'manager/api/http': [
    'lib',
    'proto',
    'manager/api',
    'manager/model',
    'manager/store/view.ts',
    'manager/store/change.ts',
    'manager/ca/ca.ts',
  ],
  'manager/': ['lib', 'proto', 'manager'],
  'agent/runtime': ['lib', 'proto'],
  'agent/network': ['lib', 'proto'],
  'agent/': ['lib', 'proto', 'agent'],
  node: ['lib', 'proto', 'manager', 'agent'],
  cli: ['lib', 'proto'],
  test: [...TOP],
  bench: [...TOP],
  deploy: ['lib', 'cli/start-cache.ts'],
}

/** Library → the only places that may import it. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  protobufjs: ['proto/generate.ts', 'proto/wire.ts', 'proto/generate.test.ts', 'bench/'],
  '@grpc/grpc-js': ['proto/grpc.ts', 'node/io/network.ts', 'proto/grpc.test.ts', 'bench/'],
  fastify: ['manager/api/http/'],
  commander: ['cli/'],
  pino: ['node/io/log.ts'],
  '@peculiar/x509': ['node/io/signer.ts', 'test/', 'proto/grpc.test.ts'],
  'reflect-metadata': ['node/io/signer.ts', 'test/', 'proto/grpc.test.ts'],
  'fast-check': ['*.test.ts', 'test/'],
  vitest: ['*.test.ts', 'test/', 'vitest.config.ts'],
  yaml: ['test/'],
}

const NODE_MODULES_ALLOWED = [
  'node/',
  'cli/',
  'manager/api/http/',
  'test/',
  'bench/',
  'deploy/',
  'agent/runtime/containerd/',
  'agent/runtime/process.ts',
  'proto/generate.ts',
  'proto/grpc.ts',
  'lib/crypto.ts',
  'vitest.config.ts',
]

/** `child_process` stops its caller's loop (host.md 1): the keeper and the launcher only. */
const SPAWN_ALLOWED = ['node/keeper/', 'cli/', 'test/', 'bench/', 'deploy/']

const BANNED_IN_PURE: readonly (readonly [RegExp, string])[] = [
  [/\bnew Date\b|\bDate\.now\b/, 'Date'],
  [/\bperformance\.now\b/, 'performance'],
  [/\bset(?:Timeout|Interval|Immediate)\(/, 'timers'],
  [/\bqueueMicrotask\(/, 'queueMicrotask'],
  [/\bMath\.random\b/, 'Math.random'],
  [/\bcrypto\.(?:random|subtle)/, 'crypto'],
  [/\bprocess\.(?!ts\b)[a-z]/, 'process'],
  [/\bconsole\./, 'console'],
  [/\bfetch\(/, 'fetch'],
  [/\basync\b|\bawait\b|\bPromise\b/, 'async'],
  [/from 'node:/, 'node:*'],
  [/\.localeCompare\(|\bIntl\.|\.toLocale[A-Z]/, 'locale'],
  [/\bWeakRef\b|\bFinalizationRegistry\b/, 'weak references'],
]

/** Shells inside otherwise pure folders. */
const IMPURE = [
  'proto/generate.ts',
  'proto/grpc.ts',
  'lib/crypto.ts',
  'manager/api/http/',
  'manager/api/rpc.ts',
  'manager/api/backend.ts',
  'proto/rpc-stream.ts',
  // Ports whose calls are asynchronous by nature: declarations only.
  'proto/rpc.ts',
  'agent/runtime/',
  'agent/network/kernel.ts',
  'manager/ca/signer.ts',
]

const PURE = ['lib/', 'proto/', 'manager/', 'agent/']

/** Real side of a port → its twin in the simulator. */
const TWINS: readonly (readonly [string, string])[] = [
  ['node/io/disk.ts', 'test/sim/disk.ts'],
  ['node/keeper/kernel.ts', 'test/sim/kernel.ts'],
]

const NAMES_FORBIDDEN = /^(?:utils?|types|index|helpers|common|misc)\.ts$/

/** Files that nothing imports because something starts them. */
const ENTRY =
  /^proto\/wire\.ts$|\.test\.ts$|(?:^|\/)main\.ts$|^bench\/|^deploy\/|^proto\/generate\.ts$|-thread\.ts$|-worker\.ts$|\.config\.ts$|^test\/sim\/mutants\//

describe('house rules', () => {
  const sources = listSources()

  test('the tree is read', () => {
    expect(sources.length).toBeGreaterThan(10)
  })

  test('every import goes in an allowed direction', () => {
    expect(
      directionErrors([{ path: 'agent/x.ts', text: "import { a } from '../manager/y.ts'" }]),
    ).toHaveLength(1)
    expect(
      directionErrors([
        { path: 'manager/scheduler/x.ts', text: "import { a } from '../allocator/y.ts'" },
      ]),
    ).toHaveLength(1)

    expect(directionErrors(sources)).toEqual([])
  })

  test('STYLE.md shows the same table', () => {
    const rows = readFileSync(join(ROOT, 'STYLE.md'), 'utf8').matchAll(/^\| `(.+?)` \| (.*) \|$/gm)
    const shown = [...rows].map(([, folder = '', text = '']) => [
      folder,
      text === 'anything' ? TOP : [...text.matchAll(/`(.+?)`/g)].map(([, name]) => name),
    ])

    expect(Object.fromEntries(shown)).toEqual(MAY_IMPORT)
  })

  test('every link between pages leads somewhere', () => {
    expect(linkErrors('docs/x.md', 'see [y](nowhere.md)')).toHaveLength(1)

    const pages = [
      ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
      ...['docs', 'deploy'].flatMap((folder) =>
        readdirSync(join(ROOT, folder))
          .filter((name) => name.endsWith('.md'))
          .map((name) => `${folder}/${name}`),
      ),
    ]
    expect(
      pages.flatMap((path) => linkErrors(path, readFileSync(join(ROOT, path), 'utf8'))),
    ).toEqual([])
  })

  test('every library has one home', () => {
    expect(homeErrors([{ path: 'manager/x.ts', text: "import pino from 'pino'" }])).toHaveLength(1)

    expect(homeErrors(sources)).toEqual([])
  })

  test('node modules and spawning stay in the shells', () => {
    expect(nodeErrors([{ path: 'manager/x.ts', text: "import fs from 'node:fs'" }])).toHaveLength(1)
    expect(
      nodeErrors([{ path: 'node/x.ts', text: "import { spawn } from 'node:child_process'" }]),
    ).toHaveLength(1)

    expect(nodeErrors(sources)).toEqual([])
  })

  test('pure folders name no clock, randomness, input or output', () => {
    for (const text of ['const a = Date.now()', 'setTimeout(f, 1)', 'async function f() {}'])
      expect(purityErrors([{ path: 'manager/x.ts', text }])).toHaveLength(1)
    expect(purityErrors([{ path: 'manager/x.ts', text: '// no Date.now() here' }])).toEqual([])

    expect(purityErrors(sources)).toEqual([])
  })

  test('every file has a head that says what it is', () => {
    expect(headErrors([{ path: 'lib/x.ts', text: 'export const a = 1' }])).toHaveLength(1)

    expect(headErrors(sources)).toEqual([])
  })

  test('no file is named for nothing', () => {
    expect(nameErrors([{ path: 'lib/utils.ts', text: '' }])).toHaveLength(1)

    expect(nameErrors(sources)).toEqual([])
  })

  test('no file is imported by nobody', () => {
    expect(deadErrors([{ path: 'lib/x.ts', text: '' }])).toHaveLength(1)

    expect(deadErrors(sources)).toEqual([])
  })

  test('every real side of a port has its twin', () => {
    const paths = new Set(sources.map((source) => source.path))

    for (const [real, twin] of TWINS)
      expect([real, paths.has(real), paths.has(twin)]).toEqual([real, true, true])
  })

  test('no test is switched off and nothing is left to do by its own words', () => {
    const marker = ['TO', 'DO'].join('')
    expect(leftoverErrors([{ path: 'lib/x.ts', text: `// ${marker}: later` }])).toHaveLength(1)
    expect(leftoverErrors([{ path: 'lib/x.test.ts', text: "test.skip('x')" }])).toHaveLength(1)

    expect(leftoverErrors(sources)).toEqual([])
  })
})

function listSources(): readonly Source[] {
  const found: Source[] = []
  const walk = (folder: string): void => {
    for (const name of readdirSync(join(ROOT, folder)).sort()) {
      const path = posix.join(folder, name)
      if (path === 'proto/gen' || name === 'node_modules') continue
      if (statSync(join(ROOT, path)).isDirectory()) walk(path)
      else if (name.endsWith('.ts'))
        found.push({ path, text: readFileSync(join(ROOT, path), 'utf8') })
    }
  }
  for (const folder of TOP) walk(folder)
  return found
}

/** The import lines of a file: relative ones resolved to paths from the root, others as written. */
function importsOf(source: Source): readonly string[] {
  const found: string[] = []
  for (const match of source.text.matchAll(
    /^(?:import|export)\b[^;'"]*?from '([^']+)'|^import '([^']+)'|import\('([^']+)'\)/gm,
  )) {
    const target = match[1] ?? match[2] ?? match[3]
    if (target === undefined) continue
    found.push(target.startsWith('.') ? posix.join(posix.dirname(source.path), target) : target)
  }
  return found
}

function isUnder(path: string, prefix: string): boolean {
  if (prefix.startsWith('*')) return path.endsWith(prefix.slice(1))
  return path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
}

/** The most specific row of MAY_IMPORT for a file; `x/` rows are for files directly in x. */
function folderOf(path: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((folder) =>
      folder.endsWith('/') ? posix.dirname(path) === folder.slice(0, -1) : isUnder(path, folder),
    )
    .sort((a, b) => b.length - a.length)[0]
}

function directionErrors(sources: readonly Source[]): readonly string[] {
  return sources.flatMap((source) => {
    const folder = folderOf(source.path)
    if (folder === undefined) return [`${source.path}: stands in no folder of the table`]
    if (source.path.endsWith('.test.ts')) return []
    const own = folder.endsWith('/') ? folder.slice(0, -1) : folder
    const allowed = [own, ...(MAY_IMPORT[folder] ?? [])]
    const forbidden =
      source.path.startsWith('manager/') && folder === 'manager/' ? ['manager/api/http'] : []
    return importsOf(source)
      .filter((target) => TOP.some((top) => isUnder(target, top)))
      .filter(
        (target) =>
          !allowed.some((prefix) => isUnder(target, prefix)) ||
          forbidden.some((prefix) => isUnder(target, prefix)),
      )
      .map((target) => `${source.path} may not import ${target}`)
  })
}

function homeErrors(sources: readonly Source[]): readonly string[] {
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => !target.startsWith('node:') && !TOP.some((top) => isUnder(target, top)))
      .filter((target) => target !== 'package.json')
      .flatMap((target) => {
        const library = target.startsWith('@')
          ? target.split('/').slice(0, 2).join('/')
          : (target.split('/')[0] ?? target)
        const homes = HOMES[library]
        if (homes === undefined)
          return [`${source.path}: library ${library} has no home in the table`]
        return homes.some((home) => isUnder(source.path, home))
          ? []
          : [`${source.path} may not import ${library}; its home is ${homes.join(', ')}`]
      }),
  )
}

function nodeErrors(sources: readonly Source[]): readonly string[] {
  return sources.flatMap((source) =>
    importsOf(source)
      .filter((target) => target.startsWith('node:'))
      .filter((target) => {
        if (source.path.endsWith('.test.ts')) return false
        if (target === 'node:child_process')
          return !SPAWN_ALLOWED.some((home) => isUnder(source.path, home))
        return !NODE_MODULES_ALLOWED.some((home) => isUnder(source.path, home))
      })
      .map((target) => `${source.path} may not import ${target}`),
  )
}

function purityErrors(sources: readonly Source[]): readonly string[] {
  return sources
    .filter((source) => PURE.some((folder) => isUnder(source.path, folder)))
    .filter((source) => !IMPURE.some((place) => isUnder(source.path, place)))
    .filter((source) => !source.path.endsWith('.test.ts'))
    .flatMap((source) => {
      const code = withoutCommentsAndTexts(source.text)
      return BANNED_IN_PURE.filter(([pattern]) => pattern.test(code)).map(
        ([, name]) => `${source.path} names ${name}, which is banned in pure folders`,
      )
    })
}

function withoutCommentsAndTexts(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(^|[^:'"`])\/\/.*$/gm, '$1')
    .replaceAll(/(?<!from )'(?:[^'\\\n]|\\.)*'/g, "''")
    .replaceAll(/`(?:[^`\\$]|\\.|\$(?!\{))*`/g, '``')
}

function headErrors(sources: readonly Source[]): readonly string[] {
  return sources
    .filter((source) => !/^(?:#!.*\n)?\/\*\*[\s\S]{20,}?\*\//.test(source.text))
    .map((source) => `${source.path} has no head: one /** */ block that says what it is`)
}

function nameErrors(sources: readonly Source[]): readonly string[] {
  return sources
    .filter((source) => NAMES_FORBIDDEN.test(posix.basename(source.path)))
    .map((source) => `${source.path}: name a file after the one thing in it`)
}

function deadErrors(sources: readonly Source[]): readonly string[] {
  const imported = new Set(sources.flatMap((source) => importsOf(source)))
  return sources
    .filter((source) => !ENTRY.test(source.path) && !imported.has(source.path))
    .map((source) => `${source.path} is imported by nobody`)
}

function linkErrors(path: string, text: string): readonly string[] {
  return [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
    .map(([, target = '']) => posix.join(posix.dirname(path), target))
    .filter((target) => !existsSync(join(ROOT, target)))
    .map((target) => `${path} links to ${target}, which is not there`)
}

function leftoverErrors(sources: readonly Source[]): readonly string[] {
  return sources
    .filter((source) => source.path !== 'test/tidy.test.ts' || source.text.length < 100)
    .flatMap((source) =>
      [
        [/\b(?:TODO|FIXME|XXX|HACK)\b/, 'a note of something left to do'],
        [/\b(?:test|describe|it)\.(?:skip|only|todo|fails)\b/, 'a test that is switched off'],
        [/@ts-ignore|@ts-expect-error|@ts-nocheck/, 'a type check that is switched off'],
      ].flatMap(([pattern, what]) =>
        pattern instanceof RegExp && pattern.test(source.text)
          ? [`${source.path} holds ${String(what)}`]
          : [],
      ),
    )
}
