/**
 * StateFile: where the agent keeps what it knows: one file, sealed, replaced as a whole. Simulated agents
 * of benches keep nothing, since their disks are other machines' (`bench/load/agents.ts`).
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeFileSafely } from './safe-file.ts'
import type { StateSeal } from './state-seal.ts'

export type StateFile = {
  readonly path: string
  /** What was saved last; undefined when nothing was. `data-loss` naming the file when it is damaged. */
  load(): Uint8Array | undefined
  /** Afterwards `state` is there after a power cut too. Throws the system's error, ENOSPC on a full disk. */
  save(state: Uint8Array): void
}

/** The file at `path`; its folder, mode 0700, is made when it is not there. */
export function newStateFile(path: string, seal: StateSeal): StateFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return {
    path,
    load: () => (existsSync(path) ? seal.open(readFileSync(path), path) : undefined),
    save: (state) => writeFileSafely(path, seal.seal(state)),
  }
}
