/**
 * Of all events before a violation those that matter: what names the objects and nodes of the
 * violation, faults, who leads, and the last few whatever they are. The rest is in the trace of the
 * replay.
 */

/** So many of the last events are shown whatever they are about. */
const LAST = 8
const OBJECT = /\b[0-9a-z]{25}\b/g
const NODE = /\b[mwr]\d+\b/g
/** Faults and changes of leaders concern everybody. */
const ALWAYS = /^[\d.]+ (?:fault |healed|VIOLATION|\S+ leader term )/

/** At most `count` of the lines, in their order; `…` stands for those left out. */
export function selectRelevant(
  lines: readonly string[],
  violations: readonly string[],
  count: number,
): readonly string[] {
  const text = violations.join('\n')
  // Objects say more than the nodes they are on.
  const objects = new Set(text.match(OBJECT) ?? [])
  const names = objects.size > 0 ? objects : new Set(text.match(NODE) ?? [])
  const isRelevant = (line: string, at: number): boolean =>
    at >= lines.length - LAST || ALWAYS.test(line) || namesAny(line, names)
  const chosen = lines.flatMap((line, at) => (isRelevant(line, at) ? [at] : [])).slice(-count)
  return chosen.flatMap((at, order) => {
    const line = lines[at] ?? ''
    return order > 0 && at - (chosen[order - 1] ?? at) > 1 ? ['…', line] : [line]
  })
}

function namesAny(line: string, names: ReadonlySet<string>): boolean {
  for (const pattern of [OBJECT, NODE])
    for (const [name] of line.matchAll(pattern)) if (names.has(name)) return true
  return false
}
