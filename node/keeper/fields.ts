/**
 * Reading values out of JSON of unknown shape: each method gives a field with the type that was
 * asked for, or refuses with the field's name. It is what the keeper uses in place of a schema
 * library or a codec, because every megabyte of it counts (`docs/keeper.md`).
 */
import { SwarmError } from '../../lib/errors.ts'

export class Fields {
  readonly #values: Readonly<Record<string, unknown>>

  /** Throws SwarmError 'invalid-argument' unless `value` is a JSON object. */
  constructor(value: unknown) {
    if (!isObject(value)) throw new SwarmError('invalid-argument', 'expected an object')
    this.#values = value
  }

  text(name: string): string {
    const value = this.#values[name]
    if (typeof value !== 'string') throw wrongType(name, 'a text')
    return value
  }

  /** A whole number that a double holds exactly. */
  integer(name: string): number {
    const value = this.#values[name]
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw wrongType(name, 'a whole number')
    }
    return value
  }

  number(name: string): number {
    const value = this.#values[name]
    if (typeof value !== 'number') throw wrongType(name, 'a number')
    return value
  }

  flag(name: string): boolean {
    const value = this.#values[name]
    if (typeof value !== 'boolean') throw wrongType(name, 'true or false')
    return value
  }

  /** The same field as one of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.text(name)
    const found = choices.find((choice) => choice === value)
    if (found === undefined) throw wrongType(name, `one of ${choices.join(', ')}`)
    return found
  }

  texts(name: string): readonly string[] {
    return this.#list(name).map((value) => {
      if (typeof value !== 'string') throw wrongType(name, 'a list of texts')
      return value
    })
  }

  integers(name: string): readonly number[] {
    return this.#list(name).map((value) => new Fields({ [name]: value }).integer(name))
  }

  /** Each object of a list, as `read` gives it. */
  objects<T>(name: string, read: (fields: Fields) => T): readonly T[] {
    return this.#list(name).map((value) => read(new Fields(value)))
  }

  object<T>(name: string, read: (fields: Fields) => T): T {
    const value = this.#values[name]
    if (!isObject(value)) throw wrongType(name, 'an object')
    return read(new Fields(value))
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined
  }

  #list(name: string): readonly unknown[] {
    const value = this.#values[name]
    if (!Array.isArray(value)) throw wrongType(name, 'a list')
    return value
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrongType(name: string, wanted: string): SwarmError {
  return new SwarmError('invalid-argument', `field "${name}" must be ${wanted}`)
}
