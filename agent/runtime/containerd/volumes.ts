/**
 * Volumes of this node: folders below `volumes/`. A named one stays until somebody removes it, an
 * anonymous one goes with its container. A new or empty volume starts as a copy of what the image has
 * at its target, made aside and moved into place at once, so that no running container can reach into
 * the copying.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import type { Host } from './host.ts'
import { findInRoot, type Rootfs } from './rootfs.ts'
import { newOciMount, type PlannedMount } from './spec/mounts.ts'
import type { OciMount } from './spec/oci.ts'

export type VolumesOptions = {
  readonly directory: string
  /** Whether a started container mounts the named volume. */
  readonly isInUse: (name: string) => Promise<boolean>
}

const COPY_MS: number = 3_600_000

type VolumeMount = Extract<PlannedMount, { readonly kind: 'volume' }>

export class Volumes {
  readonly #host: Host
  readonly #rootfs: Rootfs
  readonly #options: VolumesOptions
  /** The last work on each folder: two tasks of one volume take turns. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(host: Host, rootfs: Rootfs, options: VolumesOptions) {
    this.#host = host
    this.#rootfs = rootfs
    this.#options = options
  }

  /** Everything that the mounts need is there. Refused in Docker's words where it cannot be. */
  async prepare(
    taskId: string,
    mounts: readonly PlannedMount[],
    chainId: string,
  ): Promise<readonly OciMount[]> {
    const prepared: OciMount[] = []
    for (const [at, mount] of mounts.entries()) {
      switch (mount.kind) {
        case 'bind':
          await requireBindSource(mount.source)
          prepared.push(newOciMount(mount, mount.source))
          break
        case 'volume':
          prepared.push(newOciMount(mount, await this.#prepareVolume(taskId, at, mount, chainId)))
          break
        case 'tmpfs':
          prepared.push(newOciMount(mount, ''))
          break
        default:
          mount satisfies never
      }
    }
    return prepared
  }

  /** The task's anonymous volumes are gone. */
  async removeAnonymous(taskId: string): Promise<void> {
    await rm(join(this.#options.directory, 'anonymous', taskId), { recursive: true, force: true })
  }

  async #prepareVolume(
    taskId: string,
    at: number,
    mount: VolumeMount,
    chainId: string,
  ): Promise<string> {
    const { directory } = this.#options
    const folder =
      mount.name === undefined
        ? join(directory, 'anonymous', taskId, String(at))
        : join(directory, 'named', mount.name)
    return this.#inTurn(folder, async () => {
      const data = join(folder, '_data')
      await mkdir(data, { recursive: true })
      if (mount.copyUp && chainId !== '' && (await this.#mayFill(mount.name, data))) {
        await this.#copyUp(chainId, mount.target, folder)
      }
      return data
    })
  }

  async #mayFill(name: string | undefined, data: string): Promise<boolean> {
    if ((await readdir(data)).length > 0) return false
    return name === undefined || !(await this.#options.isInUse(name))
  }

  async #copyUp(chainId: string, target: string, folder: string): Promise<void> {
    const staged = join(folder, '_copy')
    await rm(staged, { recursive: true, force: true })
    await this.#rootfs.look(chainId, async (root) => {
      const source = await findInRoot(root, target)
      if (source === undefined || !(await stat(source)).isDirectory()) return
      const { exitCode, stderr } = await this.#host.run(['cp', '-a', '-T', source, staged], {
        timeoutMs: COPY_MS,
      })
      if (exitCode !== 0) {
        throw new SwarmError('internal', `cannot fill the volume at ${target}: ${stderr.trim()}`)
      }
      // The folder in place is empty, and a rename replaces an empty folder in one step.
      await rename(staged, join(folder, '_data'))
    })
  }

  async #inTurn<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(folder) ?? Promise.resolve()
    const turn = before.catch(() => undefined).then(work)
    this.#turns.set(folder, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(folder) === turn) this.#turns.delete(folder)
    }
  }
}

async function requireBindSource(source: string): Promise<void> {
  try {
    await stat(source)
  } catch (cause) {
    throw new SwarmError(
      'invalid-argument',
      `invalid mount config for type "bind": bind source path does not exist: ${source}`,
      { cause, facts: { source } },
    )
  }
}
