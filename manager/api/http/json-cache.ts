/**
 * Objects as JSON text, written once for each version of an object: every waiting client asks for
 * the same services, tasks and nodes five times a second (host.md 30). Objects of the store are
 * frozen and new with each version, so the object itself is the key, and what nobody holds is freed.
 */
import type { JsonObject } from './shape/objects.ts'

export class JsonCache<T extends object> {
  readonly #toJson: (object: T) => JsonObject
  readonly #texts = new WeakMap<T, string>()

  constructor(toJson: (object: T) => JsonObject) {
    this.#toJson = toJson
  }

  /** The object, with `members` that are not a part of it behind its own. */
  text(object: T, members: JsonObject = {}): string {
    let text = this.#texts.get(object)
    if (text === undefined) {
      text = JSON.stringify(this.#toJson(object))
      this.#texts.set(object, text)
    }
    const added = JSON.stringify(members)
    return added === '{}' ? text : `${text.slice(0, -1)},${added.slice(1)}`
  }

  /** A list of objects. */
  list(objects: readonly T[], membersOf: (object: T) => JsonObject = () => ({})): string {
    return `[${objects.map((object) => this.text(object, membersOf(object))).join(',')}]`
  }
}
