/**
 * Mutant: a bug that is planted on purpose, to prove that the simulator finds it. It is a textual
 * replacement in one source file, made while the file is loaded (`hook.ts`); production code has no
 * switch for it and does not know of it. A search text that does not match exactly once is refused:
 * the code has moved on, and the mutant must follow.
 */
import { assert } from '../../../lib/assert.ts'

export type Edit = {
  /** Occurs exactly once in the file. */
  readonly search: string
  readonly replacement: string
}

export type Mutant = Edit & {
  readonly name: string
  /** From the root of the tree. */
  readonly file: string
  /** More of the same bug, in the same file. */
  readonly also?: readonly Edit[]
  /** What should catch it: an invariant of peers.md 3.4, or an assertion of production code. */
  readonly caughtBy: string
  /** What goes wrong in a cluster that has it. */
  readonly why: string
}

/** The source with the bug in it; throws where a search text does not match exactly once. */
export function plant(mutant: Mutant, source: string): string {
  return [mutant, ...(mutant.also ?? [])].reduce((text, { search, replacement }) => {
    const count = text.split(search).length - 1
    assert(count === 1, `the search text of mutant ${mutant.name} matches once`, {
      file: mutant.file,
      search,
      count,
    })
    return text.replace(search, () => replacement)
  }, source)
}
