/**
 * Labels and environment entries: `KEY=VALUE` texts, lists of them from flags and files, and edits
 * by key. In edits removal goes first, so that removing and adding a key changes it.
 */
import { readFileSync } from 'node:fs'
import { type Json, type JsonObject, labelsAt } from '../json.ts'
import { usageError } from '../usage-error.ts'

/** `key=value`; a key alone has the empty value, as with Docker. */
export function parseLabels(texts: readonly string[], flag: string): JsonObject {
  return Object.fromEntries(
    texts.map((text) => {
      const [key, value] = splitPair(text)
      if (key === '') throw usageError(`invalid argument "${text}" for "--${flag}": it has no key`)
      return [key, value ?? '']
    }),
  )
}

/** The labels after an edit. */
export function editLabels(
  labels: Json,
  edit: { readonly add: readonly string[]; readonly remove: readonly string[] },
): JsonObject {
  const kept = [...labelsAt(labels)].filter(([key]) => !edit.remove.includes(key))
  return { ...Object.fromEntries(kept), ...parseLabels(edit.add, 'label-add') }
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Entries of `--env-file` files, then of `--env`; for a key that comes again the last one counts. A
 * key alone takes its value from the environment, and is left out where that has none.
 */
export function readEnv(given: {
  readonly files: readonly string[]
  readonly entries: readonly string[]
  readonly environment: Environment
}): readonly string[] {
  const lines = [...given.files.flatMap(readEnvFile), ...given.entries]
  return mergeEnv(
    [],
    lines.flatMap((line) => resolveEntry(line, given.environment)),
  )
}

/** The entries of a file: a line each, without blank lines and those that start with `#`. */
export function readEnvFile(path: string): readonly string[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw usageError(
      `--env-file ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    )
  }
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [key] = splitPair(line)
      if (key === '' || /\s/.test(key))
        throw usageError(`--env-file ${path}: variable "${key}" has no name or one with a space`)
      return line
    })
}

/** The entries after an edit; those that stay keep their place, so that nothing restarts for it. */
export function editEnv(
  entries: readonly string[],
  edit: { readonly add: readonly string[]; readonly remove: readonly string[] },
  environment: Environment,
): readonly string[] {
  const kept = entries.filter((entry) => !edit.remove.includes(splitPair(entry)[0]))
  return mergeEnv(
    kept,
    edit.add.flatMap((entry) => resolveEntry(entry, environment)),
  )
}

function mergeEnv(before: readonly string[], added: readonly string[]): readonly string[] {
  const byKey = new Map([...before, ...added].map((entry) => [splitPair(entry)[0], entry]))
  return [...byKey.values()]
}

function resolveEntry(entry: string, environment: Environment): readonly string[] {
  const [key, value] = splitPair(entry)
  if (key === '') throw usageError(`invalid environment variable: "${entry}"`)
  if (value !== undefined) return [entry]
  const inherited = environment[key]
  return inherited === undefined ? [] : [`${key}=${inherited}`]
}

/** Key and value at the first `=`; the value is undefined where there is none. */
export function splitPair(text: string): readonly [string, string | undefined] {
  const at = text.indexOf('=')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
