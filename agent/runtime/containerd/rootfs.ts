/**
 * An image's files before any container runs: what USER means in it, and what a new volume starts
 * with. A read-only view of the image's snapshot is looked at, which nobody changes, component by
 * component, so that no link of the image is ever followed on the host (`docs/containers.md`).
 */
import { randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readlink, rmdir } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import type { Mount } from '../../../proto/gen/containerd/types.ts'
import { type ContainerdClient, inNamespace } from './client.ts'
import type { Host } from './host.ts'
import { ignoreNotFound } from './image/content.ts'
import { type ContainerUser, needsUserFiles, resolveUser } from './spec/user.ts'

export type RootfsOptions = {
  readonly snapshotter: string
  /** For mount points. */
  readonly directory: string
}

const LINKS_MAX = 40
const FILE_BYTES_MAX: number = 4 * 1024 * 1024
const USERS_MAX = 1_000

export class Rootfs {
  readonly #client: ContainerdClient
  readonly #host: Host
  readonly #options: RootfsOptions
  /** By snapshot and text: the answer never changes. */
  readonly #users = new Map<string, Promise<ContainerUser>>()

  constructor(client: ContainerdClient, host: Host, options: RootfsOptions) {
    this.#client = client
    this.#host = host
    this.#options = options
  }

  /** Who `user` is in the image; SwarmError 'invalid-argument' where it is nobody. */
  async resolveUser(chainId: string, user: string): Promise<ContainerUser> {
    if (chainId === '' || !needsUserFiles(user)) return resolveUser(user, { passwd: '', group: '' })
    const key = `${chainId} ${user}`
    const known = this.#users.get(key)
    if (known !== undefined) return known
    const answer = this.look(chainId, async (root) => {
      const passwd = await readFileInRoot(root, '/etc/passwd')
      return resolveUser(user, { passwd, group: await readFileInRoot(root, '/etc/group') })
    })
    if (this.#users.size >= USERS_MAX) this.#users.clear()
    this.#users.set(key, answer)
    answer.catch(() => this.#users.delete(key))
    return answer
  }

  /** What `use` makes of a read-only view of the snapshot, which is gone afterwards. */
  async look<T>(chainId: string, use: (root: string) => Promise<T>): Promise<T> {
    const { snapshotter } = this.#options
    const key = `look-${randomUUID()}`
    const labels = new Map([['containerd.io/gc.root', new Date().toISOString()]])
    const request = { snapshotter, key, parent: chainId, labels }
    const { mounts } = await this.#client.snapshots.view(request, inNamespace())
    try {
      return await this.#mounted(mounts, key, use)
    } finally {
      await this.#client.snapshots.remove({ snapshotter, key }, inNamespace()).catch(ignoreNotFound)
    }
  }

  async #mounted<T>(
    mounts: readonly Mount[],
    key: string,
    use: (root: string) => Promise<T>,
  ): Promise<T> {
    const [mount] = mounts
    if (mounts.length !== 1 || mount === undefined) {
      throw new SwarmError('internal', `snapshot ${key} has ${mounts.length} mounts, not one`)
    }
    // One layer alone, or the native snapshotter: a directory that can be read where it is.
    if (mount.type === 'bind') return use(mount.source)
    const target = join(this.#options.directory, key)
    await mkdir(target, { recursive: true, mode: 0o700 })
    try {
      await this.#run(mountCommand(mount, target))
      try {
        return await use(target)
      } finally {
        await this.#run(['umount', target])
      }
    } finally {
      await rmdir(target)
    }
  }

  async #run(argv: readonly string[]): Promise<void> {
    const { exitCode, stderr } = await this.#host.run(argv)
    if (exitCode === 0) return
    throw new SwarmError('internal', `${argv.slice(0, 8).join(' ')} failed: ${stderr.trim()}`)
  }
}

/**
 * The command that mounts an overlay. Its options are one page at most, so the layers are named
 * relative to the folder that they share.
 */
export function mountCommand(mount: Mount, target: string): readonly string[] {
  const lower = mount.options.find((option) => option.startsWith('lowerdir='))
  const layers = lower?.slice('lowerdir='.length).split(':') ?? []
  const shared = sharedFolder(layers)
  const relative = layers.map((layer) => layer.slice(shared.length + 1)).join(':')
  const others = mount.options.filter((option) => option !== lower)
  const options = ['ro', ...others, `lowerdir=${relative}`].join(',')
  return [
    // Newer versions of mount pass each option alone, of which the kernel takes 256 bytes only.
    ...['env', '-C', shared, 'LIBMOUNT_FORCE_MOUNT2=always'],
    ...['mount', '-t', mount.type, '-o', options, 'overlay', target],
  ]
}

/** Where `path` of a container lies on the host, all links resolved within `root`. */
export async function findInRoot(root: string, path: string): Promise<string | undefined> {
  let waiting = path.split('/').filter((name) => name !== '')
  let current = '/'
  for (let links = 0; waiting.length > 0; ) {
    const [name = '', ...rest] = waiting
    waiting = rest
    const next = posix.join(current, name)
    if (name === '.' || name === '..') {
      current = next
      continue
    }
    const target = await readEntry(join(root, next))
    if (target === 'missing') return undefined
    if (target === 'other') {
      current = next
      continue
    }
    links += 1
    if (links > LINKS_MAX) return undefined
    if (posix.isAbsolute(target.link)) current = '/'
    waiting = [...target.link.split('/').filter((part) => part !== ''), ...waiting]
  }
  return join(root, current)
}

async function readFileInRoot(root: string, path: string): Promise<string> {
  const found = await findInRoot(root, path)
  if (found === undefined) return ''
  const stat = await lstat(found)
  if (!stat.isFile() || stat.size > FILE_BYTES_MAX) return ''
  await using file = await open(found, 'r')
  return await file.readFile('utf8')
}

async function readEntry(path: string): Promise<{ readonly link: string } | 'missing' | 'other'> {
  try {
    const stat = await lstat(path)
    return stat.isSymbolicLink() ? { link: await readlink(path) } : 'other'
  } catch {
    // Not there, or below a file: for the image it is the same.
    return 'missing'
  }
}

function sharedFolder(layers: readonly string[]): string {
  let shared = posix.dirname(layers[0] ?? '/')
  while (shared !== '/' && !layers.every((layer) => layer.startsWith(`${shared}/`))) {
    shared = posix.dirname(shared)
  }
  return shared
}
