/**
 * Memory: how far the agent's state is on disk. Each change that must survive a crash gets a
 * version; what depends on it (an operation, a report) waits until that version is durable. One
 * write is under way at a time, and the next one holds all that changed meanwhile.
 */
import { assert } from '../lib/assert.ts'

export class Memory {
  /** Of the last change. */
  #version = 0
  #durableVersion = 0
  #writingVersion: number | undefined

  /** The version of a change that is being made now. */
  touch(): number {
    this.#version += 1
    return this.#version
  }

  isDurable(version: number): boolean {
    return version <= this.#durableVersion
  }

  /** The version to write now; undefined when all is written or a write is under way. */
  take(): number | undefined {
    if (this.#writingVersion !== undefined || this.#version === this.#durableVersion)
      return undefined
    this.#writingVersion = this.#version
    return this.#version
  }

  /** The write under way is on disk. */
  persisted(version: number): void {
    assert(version === this.#writingVersion, 'only what is being written becomes durable', {
      version,
    })
    this.#durableVersion = version
    this.#writingVersion = undefined
  }
}
