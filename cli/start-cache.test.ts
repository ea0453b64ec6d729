/** The start-up cache: what it leaves of a source, generations, and starts at the same time. */
import { execFileSync, spawn } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { refreshStartCache, stripSource, stripSources } from './start-cache.ts'

const CHECKOUT = join(import.meta.dirname, '..')

describe('start-up cache', () => {
  let root: string
  let cache: string

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tsswarm-start-cache-'))
    cache = join(root, '.cache', 'start')
    for (const folder of ['lib', 'proto', 'manager', 'agent', 'node', 'cli'])
      mkdirSync(join(root, folder))
    mkdirSync(cache, { recursive: true })
    put('package.json', '{"type":"module","version":"1.2.3"}')
    put('lib/greeting.ts', 'export const greeting: string = "hello"')
    put('lib/greeting.test.ts', 'throw new Error("a test is no part of it")')
    put(
      'cli/main.ts',
      "import manifest from '../package.json' with { type: 'json' }\n" +
        "import { greeting } from '../lib/greeting.ts'\n" +
        'console.log(greeting, manifest.version, ...process.argv.slice(2))',
    )
    put('node/main.ts', 'console.log("daemon", ...process.argv.slice(2))')
  })

  afterEach(() => {
    rmSync(root, { recursive: true, force: true })
  })

  function put(path: string, text: string): void {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }

  function generations(): readonly string[] {
    return readdirSync(cache).filter((name) => /^[0-9a-f]{16}$/.test(name))
  }

  function current(): string {
    return readFileSync(join(cache, 'current'), 'utf8').trim()
  }

  test('stripSource() keeps lines and names neighbours by their new ending', () => {
    const text = [
      "import type { A } from './a.ts'",
      "import { b } from '../b.ts'",
      "const url = new URL('./worker.ts', import.meta.url)",
      "const c = await import('./c.ts') as unknown",
      "const name: string = 'x.ts'",
    ].join('\n')

    expect(
      stripSource(text)
        .split('\n')
        .map((line) => line.replaceAll(/ +/g, ' ').trim()),
    ).toEqual([
      '',
      "import { b } from '../b.js'",
      "const url = new URL('./worker.js', import.meta.url)",
      "const c = await import('./c.js')",
      "const name = 'x.ts'",
    ])
  })

  test('stripSources() leaves out tests and takes package.json along', () => {
    expect(stripSources(root).map(({ path }) => path)).toEqual([
      'cli/main.js',
      'lib/greeting.js',
      'node/main.js',
      'package.json',
    ])
  })

  test('refreshStartCache() makes one generation of one content', () => {
    refreshStartCache(root, cache)
    const first = current()
    refreshStartCache(root, cache)
    expect([current(), generations()]).toEqual([first, [first]])

    put('lib/greeting.ts', 'export const greeting: string = "goodbye"')
    refreshStartCache(root, cache)

    expect(current()).not.toBe(first)
    expect(generations()).toHaveLength(2)
    expect(execFileSync(process.execPath, [join(cache, current(), 'cli/main.js')]).toString()).toBe(
      'goodbye 1.2.3\n',
    )
  })

  test('refreshStartCache() removes old generations, but not one that is or was just in use', () => {
    refreshStartCache(root, cache)
    const used = current()
    const script = join(cache, used, 'sleep.js')
    writeFileSync(script, 'setInterval(() => {}, 1000)')
    const child = spawn(process.execPath, [script])
    put('lib/greeting.ts', 'export const greeting = "unused"')
    refreshStartCache(root, cache)
    const unused = current()
    put('lib/greeting.ts', 'export const greeting = "before"')
    refreshStartCache(root, cache)
    const before = current()
    const longAgo = new Date(Date.now() - 7_200_000)
    for (const name of [used, unused, before]) utimesSync(join(cache, name), longAgo, longAgo)

    try {
      put('lib/greeting.ts', 'export const greeting = "newest"')
      refreshStartCache(root, cache)

      expect(new Set(generations())).toEqual(new Set([used, before, current()]))
    } finally {
      child.kill()
    }
  })

  describe('launcher', () => {
    beforeEach(() => {
      writeFileSync(join(root, 'cli/tsswarm'), readFileSync(join(CHECKOUT, 'cli/tsswarm')), {
        mode: 0o755,
      })
      for (const path of ['cli/start-cache.ts', 'proto/generate.ts', 'proto/emit.ts'])
        put(path, readFileSync(join(CHECKOUT, path), 'utf8'))
      put('proto/proto-file.ts', readFileSync(join(CHECKOUT, 'proto/proto-file.ts'), 'utf8'))
      put('proto/wire.ts', 'export {}')
      symlinkSync(join(CHECKOUT, 'node_modules'), join(root, 'node_modules'))
    })

    function run(...args: readonly string[]): string {
      return execFileSync(join(root, 'cli/tsswarm'), args).toString()
    }

    test('starts the command line or the daemon from the cache, through a link too', () => {
      symlinkSync('cli/tsswarm', join(root, 'link'))

      expect(run('node', 'ls')).toBe('hello 1.2.3 node ls\n')
      expect(run('daemon', '--state-dir', '/x y')).toBe('daemon --state-dir /x y\n')
      expect(run('daemon', '--help')).toBe('hello 1.2.3 daemon --help\n')
      expect(execFileSync(join(root, 'link'), ['a']).toString()).toBe('hello 1.2.3 a\n')
      expect(generations()).toHaveLength(1)
    })

    test('sees a source that changed, came or went', () => {
      run()
      put('lib/greeting.ts', 'export const greeting: string = "changed"')
      expect(run()).toBe('changed 1.2.3\n')
      put('lib/name.ts', 'export const name: string = "new"')
      put('lib/greeting.ts', "export { name as greeting } from './name.ts'")
      expect(run()).toBe('new 1.2.3\n')
      rmSync(join(root, 'lib/name.ts'))

      expect(() => execFileSync(join(root, 'cli/tsswarm'), { stdio: 'pipe' })).toThrow(
        /Cannot find module/,
      )
    })

    test('started many times at once with no cache, every start runs', async () => {
      const starts = Array.from(
        { length: 6 },
        () =>
          new Promise<string>((resolve) => {
            const child = spawn(join(root, 'cli/tsswarm'), ['at', 'once'])
            let output = ''
            for (const stream of [child.stdout, child.stderr])
              stream.on('data', (chunk) => {
                output += String(chunk)
              })
            child.on('close', () => resolve(output))
          }),
      )

      expect(new Set(await Promise.all(starts))).toEqual(new Set(['hello 1.2.3 at once\n']))
      expect(generations()).toHaveLength(1)
    })

    test('runs the sources where a source cannot be stripped', () => {
      put('agent/broken.ts', 'enum A { B }')

      expect(run('x')).toBe('hello 1.2.3 x\n')
    })

    test('runs a stripped tree as it is', () => {
      put('cli/main.js', 'console.log("release")')

      expect(run()).toBe('release\n')
      expect(generations()).toEqual([])
    })
  })
})
