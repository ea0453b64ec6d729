/**
 * The form of `inspect --pretty`: a field on a line, its value after a tab stop, indented below its
 * heading. Fields without a value are left out.
 */

/** A field, a value alone where it has no name, or a heading with fields below. */
export type Line = readonly [string, string | readonly Line[]]

/** The lines as text, without those that say nothing. */
export function formatLines(lines: readonly Line[], indent = ''): string {
  const width = Math.max(
    0,
    ...lines.map(([name, value]) => (typeof value === 'string' && value !== '' ? name.length : 0)),
  )
  return lines
    .map(([name, value]) => {
      if (typeof value !== 'string') {
        const below = formatLines(value, `${indent} `)
        return below === '' ? '' : `${indent}${name}:\n${below}`
      }
      if (value === '' || name === '') return value === '' ? '' : indent + value
      return `${indent}${`${name}:`.padEnd(width + 2)}${value}`
    })
    .filter((text) => text !== '')
    .join('\n')
}

/** `key=value`, each on a line of its own below the heading. */
export function labelLines(labels: ReadonlyMap<string, string>): readonly Line[] {
  return [...labels]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, value || '""'])
}
