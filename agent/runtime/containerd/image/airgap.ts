/**
 * The airgap folder: every OCI and docker archive in it (`.tar`, `.tar.gz`, `.tgz`) is an image of this
 * node, without a registry. It is looked through at the start and whenever something in it is new; what
 * was imported once is remembered by size and time. Reading an archive is `archive.ts`' work.
 */
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../../../../lib/log.ts'
import type { ContainerdClient } from '../client.ts'
import { inNamespace } from '../client.ts'
import { importArchive } from './archive.ts'
import { unlessAborted } from './flights.ts'
import { AIRGAP_LABEL, type Images, leaseKey } from './images.ts'
import { objectAt, parseJsonObject, stringAt, stringsAt } from './json.ts'

export type AirgapOptions = {
  readonly folder: string
  readonly stateDirectory: string
  readonly log: Log
}

type Known = { readonly stamp: string; readonly images: readonly string[] }

const LOOK_MS = 2_000
const ARCHIVE = /\.(?:tar|tar\.gz|tgz)$/

export class AirgapFolder {
  readonly #client: ContainerdClient
  readonly #images: Images
  readonly #options: AirgapOptions
  readonly #closed = new AbortController()
  readonly #first: Promise<void>
  /** By file name: what was imported, and of which size and time the file was. */
  #known = new Map<string, Known>()
  /** Stamps of the look before: a file is read once it stays the same. */
  #seen = new Map<string, string>()

  constructor(client: ContainerdClient, images: Images, options: AirgapOptions) {
    this.#client = client
    this.#images = images
    this.#options = options
    this.#first = this.#run()
  }

  /** What was in the folder at the start is imported, or was found to be broken. */
  imported(signal: AbortSignal): Promise<void> {
    return unlessAborted(this.#first, signal)
  }

  close(): void {
    this.#closed.abort()
  }

  async #run(): Promise<void> {
    this.#known = await this.#readKnown()
    await this.#look(true)
    void this.#lookAgainAndAgain()
  }

  async #lookAgainAndAgain(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await this.#look(false)
    }
  }

  /** At the start files are taken as they are; later only when they no longer grow. */
  async #look(isFirst: boolean): Promise<void> {
    const stamps = await this.#listStamps()
    for (const [name, stamp] of stamps) {
      const isStill = isFirst || this.#seen.get(name) === stamp
      if (isStill && !(await this.#isKnown(name, stamp, isFirst))) await this.#import(name, stamp)
    }
    this.#seen = stamps
  }

  async #listStamps(): Promise<Map<string, string>> {
    const { folder } = this.#options
    const stamps = new Map<string, string>()
    const names = await readdir(folder).catch(() => [])
    for (const name of names.sort()) {
      if (!ARCHIVE.test(name)) continue
      const found = await stat(join(folder, name)).catch(() => undefined)
      if (found?.isFile() === true) stamps.set(name, `${found.size} ${found.mtimeMs}`)
    }
    return stamps
  }

  /** At the start also whether its images are still there: containerd's store may be a new one. */
  async #isKnown(name: string, stamp: string, isFirst: boolean): Promise<boolean> {
    const known = this.#known.get(name)
    if (known?.stamp !== stamp) return false
    if (!isFirst) return true
    for (const image of known.images) {
      const found = await this.#client.images.get({ name: image }, inNamespace()).then(
        ({ image: record }) => record?.labels.has(AIRGAP_LABEL) === true,
        () => false,
      )
      if (!found) return false
    }
    return true
  }

  async #import(name: string, stamp: string): Promise<void> {
    const { folder, stateDirectory, log } = this.#options
    const { signal } = this.#closed
    try {
      const leaseId = await this.#images.openLease(leaseKey(name))
      const images = await importArchive(this.#images, join(folder, name), {
        ...{ leaseId, signal, directory: stateDirectory },
        labels: new Map([[AIRGAP_LABEL, name]]),
      })
      await this.#images.closeLease(leaseId)
      this.#known.set(name, { stamp, images })
      log.info({ archive: name, images }, 'images imported')
    } catch (error) {
      if (signal.aborted) return
      // Not again until the file changes: it would fail again.
      this.#known.set(name, { stamp, images: [] })
      log.error({ archive: name, error }, 'archive could not be imported')
      return
    }
    await this.#writeKnown()
  }

  async #readKnown(): Promise<Map<string, Known>> {
    const text = await readFile(this.#file, 'utf8').catch(() => '{}')
    const files = objectAt(parseJsonObject(text, this.#file), 'files')
    return new Map(
      Object.keys(files).map((name) => {
        const file = objectAt(files, name)
        return [name, { stamp: stringAt(file, 'stamp'), images: stringsAt(file, 'images') }]
      }),
    )
  }

  async #writeKnown(): Promise<void> {
    const imported = [...this.#known].filter(([, known]) => known.images.length > 0)
    await writeFile(`${this.#file}.new`, JSON.stringify({ files: Object.fromEntries(imported) }))
    await rename(`${this.#file}.new`, this.#file)
  }

  get #file(): string {
    return join(this.#options.stateDirectory, 'airgap.json')
  }
}
