/**
 * Differences of two texts for people to read, line by line, by their longest common subsequence.
 * Small texts only: it takes memory for the product of their lengths.
 */

/** All lines, the common ones bare, those only expected after `-`, those only there after `+`. */
export function diffLines(expected: string, actual: string): string {
  const a = expected.replace(/\n$/, '').split('\n')
  const b = actual.replace(/\n$/, '').split('\n')
  const common = longestCommon(a, b)
  let text = ''
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const isCommon = i < a.length && j < b.length && a[i] === b[j]
    if (isCommon) {
      text += `   ${a[i]}\n`
      i++
      j++
    } else if (i < a.length && (j >= b.length || common(i + 1, j) >= common(i, j + 1))) {
      text += ` - ${a[i++]}\n`
    } else {
      text += ` + ${b[j++]}\n`
    }
  }
  return text
}

/** How many lines the ends of both texts, from line i and line j on, have in common in order. */
function longestCommon(
  a: readonly string[],
  b: readonly string[],
): (i: number, j: number) => number {
  const width = b.length + 1
  const lengths = new Uint32Array((a.length + 1) * width)
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  return at
}
