/**
 * What every `ls` and `ps` prints: a table with Docker's columns, `--format` as `table`, as `json`
 * (one object a line) or as a template, `--quiet` for ids alone, and `--json` for the API's own
 * objects as one array. A row has a text for each field; a column is a field and its heading.
 */

import type { Flags, World } from '../command.ts'
import type { Json } from '../json.ts'
import { usageError } from '../usage-error.ts'
import { alignColumns } from './table.ts'
import { compileTemplate, type TemplateObject } from './template.ts'

export type Listing = {
  readonly rows: readonly TemplateObject[]
  /** Heading of each field that a table can show. */
  readonly headings: TemplateObject
  /** The table without `--format`. */
  readonly table: string
  /** What `--quiet` prints of each row. */
  readonly quiet: string
  /** What `--json` prints. */
  readonly objects: readonly Json[]
}

/** The listing stands on stdout in the form that the flags ask for. */
export function printListing(world: World, flags: Flags, listing: Listing): void {
  if (flags.has('json')) {
    world.print(JSON.stringify(listing.objects, undefined, 2))
    return
  }
  const format = flags.text('format')
  if (flags.has('quiet') && (format === undefined || format === '' || format === 'table')) {
    printRows(world, listing, listing.quiet)
    return
  }
  if (format === 'json') {
    for (const row of listing.rows) world.print(JSON.stringify(row))
    return
  }
  const table = tableOf(format, listing.table)
  if (table === undefined) printRows(world, listing, expandEscapes(format ?? ''))
  else printTable(world, listing, expandEscapes(table))
}

/** The template of the columns, undefined where the format is no table. */
function tableOf(format: string | undefined, standard: string): string | undefined {
  if (format === undefined || format === '' || format === 'table') return standard
  return format.startsWith('table ') ? format.slice('table '.length).trimStart() : undefined
}

function printRows(world: World, listing: Listing, source: string): void {
  const template = compileTemplate(source, { isStrict: true })
  // A misspelt field is refused also where there are no rows.
  template(listing.headings)
  for (const row of listing.rows) world.print(template(row))
}

function printTable(world: World, listing: Listing, source: string): void {
  const template = compileTemplate(source, { isStrict: true })
  const lines = [template(listing.headings), ...listing.rows.map(template)]
  if (lines.some((line) => line.includes('\n')))
    throw usageError('--format: a table cannot have newlines')
  world.print(alignColumns(lines))
}

/** In a shell's single quotes `\t` arrives as two letters. */
export function expandEscapes(format: string): string {
  return format.replaceAll('\\t', '\t').replaceAll('\\n', '\n')
}
