/**
 * Figures of a benchmark as an aligned table: the least, the median and the greatest of the samples
 * and, where there is something to compare with, how many times better the median is. It measures
 * time for the benches too; what is measured, and how often, they decide.
 */

export type Figure = {
  readonly name: string
  readonly unit: string
  readonly samples: readonly number[]
  /** What is compared with, in the same unit, where less is better. */
  readonly reference?: number | undefined
}

/** The median of at least one sample; of an even number of them the mean of the middle two. */
export function medianOf(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** The figures as a table of plain text, one line each, under a title and a line of headings. */
export function formatFigures(title: string, figures: readonly Figure[]): string {
  const rows = [['', 'min', 'median', 'max', 'unit', 'reference', 'ratio'], ...figures.map(cells)]
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? []
  const lines = rows.map((row) =>
    row
      .map((cell, i) =>
        i === 0 || i === 4 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
  return `${title}\n${lines.join('\n')}\n`
}

/** Prints the table, followed by an empty line. */
export function printFigures(title: string, figures: readonly Figure[]): void {
  process.stdout.write(`${formatFigures(title, figures)}\n`)
}

/** How long `work` takes, in ms, `times` times after one run that is not counted. */
export function timesOf(times: number, work: () => void): readonly number[] {
  work()
  return Array.from({ length: times }, () => elapsedMs(work))
}

/** How long `work` takes this once, in ms. */
export function elapsedMs(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/**
 * How much of the processor this thread takes for `work`, in ms: other than elapsed time it hardly
 * depends on who else is at work on the machine.
 */
export function cpuMs(work: () => void): number {
  const start = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(start)
  return (user + system) / 1000
}

function cells(figure: Figure): string[] {
  const median = medianOf(figure.samples)
  const { reference } = figure
  return [
    figure.name,
    formatNumber(Math.min(...figure.samples)),
    formatNumber(median),
    formatNumber(Math.max(...figure.samples)),
    figure.unit,
    reference === undefined ? '' : formatNumber(reference),
    reference === undefined ? '' : `${formatNumber(reference / median)}×`,
  ]
}

/** Three significant digits. */
function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 100) return value.toFixed(0)
  if (Math.abs(value) >= 10) return value.toFixed(1)
  return value.toFixed(value < 0.1 ? 3 : 2)
}
