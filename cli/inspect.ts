/**
 * What every `inspect` does: one object for each reference, as JSON, by a template, or in words
 * (`--pretty`). References that lead nowhere are reported after what was found, with exit code 1.
 */
import { type FlagSpec, type Flags, forEachArgument, type World } from './command.ts'
import type { Json } from './json.ts'
import { expandEscapes } from './text/list.ts'
import { compileTemplate } from './text/template.ts'
import { usageError } from './usage-error.ts'

export const INSPECT_FLAGS: readonly FlagSpec[] = [
  { flags: '-f, --format <TEMPLATE>', help: 'Print by a Go template, or json' },
  { flags: '--pretty', help: 'Print for people' },
]

export type Inspection = {
  readonly refs: readonly string[]
  readonly find: (ref: string) => Promise<Json>
  readonly formatPretty: (object: Json) => string
}

/** The objects stand on stdout; throws for what was not found. */
export async function inspect(
  world: World,
  flags: Flags,
  { refs, find, formatPretty }: Inspection,
): Promise<void> {
  const format = flags.text('format')
  if (flags.has('pretty') && format !== undefined)
    throw usageError('--format is incompatible with human friendly format: leave out --pretty')
  const template =
    format === undefined || format === 'json'
      ? undefined
      : compileTemplate(expandEscapes(format), { isStrict: false })
  const found: Json[] = []
  try {
    await forEachArgument(refs, async (ref) => {
      found.push(await find(ref))
    })
  } finally {
    if (flags.has('pretty')) world.print(found.map(formatPretty).join('\n\n'))
    else if (template !== undefined) for (const object of found) world.print(template(object))
    else if (format === 'json') for (const object of found) world.print(JSON.stringify(object))
    else world.print(JSON.stringify(found, undefined, 4))
  }
}
