/**
 * The bench runner: `npm run bench -- NAME [arguments]` runs `bench/NAME.ts`, which exports
 * `run(args)`. Each prints its figures by `report.ts`; what they mean stands in `docs/`.
 */
import { readdirSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const OWN = new Set(['main', 'report'])

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
  .map((file) => file.slice(0, -3))
  .filter((name) => !OWN.has(name))
  .sort()

const [name, ...args] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  process.stderr.write(
    `usage: npm run bench -- NAME [arguments]\nNAME is one of: ${names.join(', ')}\n`,
  )
  process.exitCode = 2
} else {
  const bench: { run?: (args: readonly string[]) => unknown } = await import(
    pathToFileURL(`${import.meta.dirname}/${name}.ts`).href
  )
  if (bench.run === undefined) throw new Error(`bench/${name}.ts exports no run()`)
  await bench.run(args)
}
