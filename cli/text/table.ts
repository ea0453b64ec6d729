/**
 * Columns as Docker prints them: a column is as wide as its widest cell and three spaces, at least
 * ten; the last cell of a line has no padding. Cells are separated by tabs, lines by newlines.
 */

const CELL_WIDTH_MIN = 10
const PADDING = 3

/** The lines with their columns aligned, as one text without a newline at the end. */
export function alignColumns(lines: readonly string[]): string {
  const rows = lines.map((line) => line.split('\t'))
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.slice(0, -1).entries())
      widths[column] = Math.max(widths[column] ?? CELL_WIDTH_MIN, widthOf(cell) + PADDING)
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1
            ? cell
            : cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell))),
        )
        .join(''),
    )
    .join('\n')
}

/** In the order in which people count: `web.2` before `web.10`. */
export function compareNatural(left: string, right: string): number {
  const a = left.split(/(\d+)/)
  const b = right.split(/(\d+)/)
  for (const [at, part] of a.entries()) {
    const other = b[at]
    if (other === undefined) return 1
    if (part === other) continue
    const isNumber = at % 2 === 1
    if (isNumber && Number(part) !== Number(other)) return Number(part) - Number(other)
    return part < other ? -1 : 1
  }
  return a.length - b.length
}

/** The first 12 letters of an id. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}

/** At most `max` letters, the last of them an ellipsis where something was cut. */
export function ellipsis(text: string, max: number): string {
  const letters = [...text]
  return letters.length <= max ? text : `${letters.slice(0, max - 1).join('')}…`
}

function widthOf(text: string): number {
  return [...text].length
}
