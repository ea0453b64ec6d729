/**
 * The load hook of the mutants, for `--import`: plants the one that the environment names in its
 * file as the program loads it, before types are stripped. A thread without it runs the tree as it
 * is, so that a run with a bug and one without can be compared in one process.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { getMutant } from './list.ts'
import { plant } from './mutant.ts'
import { MUTANT_VARIABLE, urlOf } from './place.ts'

const name = process.env[MUTANT_VARIABLE]
if (name === undefined) throw new Error(`no mutant is named in ${MUTANT_VARIABLE}`)
const mutant = getMutant(name)
const url = urlOf(mutant)
// At once, so that a mutant that does not fit ends the run also where its file is never loaded.
const source = plant(mutant, readFileSync(new URL(url), 'utf8'))

registerHooks({
  load: (loadedUrl, context, next) => {
    const loaded = next(loadedUrl, context)
    return loadedUrl === url ? { ...loaded, source } : loaded
  },
})
