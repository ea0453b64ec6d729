/**
 * The lists that flags like `--mount` take: fields with commas between them, of which one with a
 * comma in it stands in double quotes, as in CSV; and `KEY=VALUE` within. Also words as a shell
 * splits them, for `--entrypoint` and `--args`.
 */
import { usageError } from '../usage-error.ts'
import { splitPair } from './label.ts'

/** The fields in their order as key and value; a key alone has no value. */
export function parseFields(
  text: string,
  flag: string,
): readonly (readonly [string, string | undefined])[] {
  const fields: string[] = []
  const field = /\s*(?:"((?:[^"]|"")*)"|([^,"]*))\s*(,|$)/y
  for (let isMore = true; isMore; ) {
    const match = field.exec(text)
    if (match === null) throw usageError(`invalid argument "${text}" for "--${flag}": bad quotes`)
    fields.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
    isMore = match[3] === ','
  }
  return fields.map((entry) => {
    const [key, value] = splitPair(entry)
    if (key === '') throw usageError(`invalid field "${entry}" in "--${flag} ${text}"`)
    return [key.trim().toLowerCase(), value]
  })
}

/** Words as a POSIX shell takes them apart, without expanding anything. */
export function splitWords(text: string, flag: string): readonly string[] {
  const words: string[] = []
  let word: string | undefined
  const part = /(\s+)|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)/y
  while (part.lastIndex < text.length) {
    const match = part.exec(text)
    if (match === null)
      throw usageError(`invalid argument "${text}" for "--${flag}": a quote is not closed`)
    const [, space, single, double, escaped, plain] = match
    if (space === undefined)
      word = `${word ?? ''}${single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? escaped ?? plain}`
    else if (word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  return word === undefined ? words : [...words, word]
}
