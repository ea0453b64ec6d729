/**
 * The form of `inspect --pretty`: a field on a line, its value after a tab stop, indented below its
 * heading. Fields without a value are left out.
 */

/** A field, or a heading with fields below. */
export type Line = readonly [string, string | readonly Line[]]

/** The lines as text, without those that say nothing. */
export function formatLines(lines: readonly Line[], indent = ''): string {
  const shown = lines.filter(([, value]) => value.length > 0)
  const width = Math.max(
    0,
    ...shown.map(([name, value]) => (typeof value === 'string' ? name.length : 0)),
  )
  return shown
    .map(([name, value]) =>
      typeof value === 'string'
        ? `${indent}${`${name}:`.padEnd(width + 2)}${value}`
        : `${indent}${name}:\n${formatLines(value, `${indent} `)}`,
    )
    .filter((text) => text.trim() !== '')
    .join('\n')
}

/** `key=value`, each on a line of its own below the heading. */
export function labelLines(labels: ReadonlyMap<string, string>): readonly Line[] {
  return [...labels]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, value || '""'])
}
