/**
 * A copy of this tree that is one version newer, for tests of upgrades until there are releases to
 * test between: it speaks the next cluster version, agents describe one thing more, and configs have
 * a field more, which is written only once all managers are of that version. A change is a text that
 * must stand in its file exactly once.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
const PARTS = ['lib', 'proto', 'manager', 'agent', 'node', 'cli', 'package.json']

type Edit = { readonly path: string; readonly from: string; readonly to: string }

const EDITS: readonly Edit[] = [
  {
    path: 'manager/model/cluster-version.ts',
    from: 'export const CLUSTER_VERSION = 2\n',
    to: 'export const CLUSTER_VERSION = 3\n',
  },
  // Told by agents: not gated, kept by managers that do not know it.
  {
    path: 'proto/objects.proto',
    from: 'message NodeDescription {\n',
    to: 'message NodeDescription {\n  string motd = 90;\n',
  },
  {
    path: 'node/runtime.ts',
    from: '    version: CLUSTER_VERSION,\n',
    to: "    version: CLUSTER_VERSION,\n    motd: 'newer',\n",
  },
  {
    path: 'manager/api/http/shape/objects.ts',
    from: '      Hostname: description?.hostname,\n',
    to: '      Hostname: description?.hostname,\n      Motd: description?.motd,\n',
  },
  // Written by managers: gated by the cluster's version.
  {
    path: 'proto/objects.proto',
    from: 'message Config {\n',
    to: 'message Config {\n  string note = 90;\n',
  },
  {
    path: 'manager/api/secrets.ts',
    from: 'const object: Config = { ...emptyConfig, id: newId(random), spec }\n',
    to:
      'const [cluster] = view.clusters.list()\n' +
      "  const note = (cluster?.clusterVersion ?? 1) >= 3 ? 'newer' : ''\n" +
      '  const object: Config = { ...emptyConfig, id: newId(random), spec, note }\n',
  },
  {
    path: 'manager/api/http/shape/objects.ts',
    from: 'return { ...headOf(config), Spec:',
    to: 'return { ...headOf(config), Note: config.note, Spec:',
  },
]

/** The launcher of a newer tree in `folder`, which is made. */
export function makeNewerTree(folder: string): string {
  mkdirSync(folder)
  for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  for (const { path, from, to } of EDITS) {
    const file = join(folder, path)
    const text = readFileSync(file, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${path} does not hold once: ${from}`)
    writeFileSync(
      file,
      text.replace(from, () => to),
    )
  }
  execFileSync(process.execPath, ['proto/generate.ts'], { cwd: folder })
  return join(folder, 'cli', 'tsswarm')
}
