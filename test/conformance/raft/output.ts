/**
 * What one command writes: text and log lines of the chosen level, indented where sections nest.
 * At the level `none` everything is silent but errors, as in etcd's interaction tests.
 */
import type { LogLine } from './log-lines.ts'

const LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL', 'NONE'] as const

export type OutputLevel = (typeof LEVELS)[number]

/** A level by its name in any case; undefined for another word. */
export function findLevel(name: string): OutputLevel | undefined {
  return LEVELS.find((level) => level === name.toUpperCase())
}

export const levelNames: string = LEVELS.join(' ')

export class Output {
  level: OutputLevel = 'DEBUG'
  #text = ''

  write(text: string): void {
    if (this.level !== 'NONE') this.#text += text
  }

  log(line: LogLine): void {
    if (LEVELS.indexOf(line.level) >= LEVELS.indexOf(this.level)) {
      this.write(`${line.level} ${line.text}\n`)
    }
  }

  /** What `body` writes appears indented by two. */
  indent(body: () => void): void {
    const before = this.#text
    this.#text = ''
    body()
    const lines = this.#text.replace(/\n$/, '').split('\n')
    const inner = this.#text === '' ? '' : lines.map((line) => `  ${line}\n`).join('')
    this.#text = before + inner
  }

  /** All that was written since the last call; `ok` if nothing was. An error is never silent. */
  take(error: string | undefined): string {
    const text = this.#text
    this.#text = ''
    if (error !== undefined && this.level === 'NONE') return error
    return text + (error ?? '') || 'ok'
  }
}
