/**
 * `--mount type=bind,source=/a,target=/b,readonly` → a Mount of the API (swarm-mode.md 5.3), and
 * edits of a list of them by target. Keys of Docker's that services here cannot have are refused by
 * their name; whether source and target will do is the server's to say.
 */
import { compact, type Json, type JsonObject, textAt } from '../json.ts'
import { parseBytes, parseChoice } from '../text/units.ts'
import { usageError } from '../usage-error.ts'
import { parseFields } from './csv.ts'

const TYPES = ['bind', 'volume', 'tmpfs']
const KEYS: Readonly<Record<string, string>> = {
  type: 'type',
  source: 'source',
  src: 'source',
  target: 'target',
  dst: 'target',
  destination: 'target',
  readonly: 'readonly',
  ro: 'readonly',
  'bind-propagation': 'bind-propagation',
  'volume-nocopy': 'volume-nocopy',
  'tmpfs-size': 'tmpfs-size',
  'tmpfs-mode': 'tmpfs-mode',
}
const REFUSED = [
  'consistency',
  'bind-recursive',
  'bind-nonrecursive',
  'bind-create-src',
  'volume-driver',
  'volume-label',
  'volume-opt',
  'volume-subpath',
  'image-subpath',
]
const PROPAGATIONS = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave']

/** The Mount in the API's form; a usage error names the key. */
export function parseMount(text: string, flag: string): JsonObject {
  const values = readValues(text, flag)
  const type = parseChoice(values.get('type') ?? 'volume', `${flag} type`, TYPES)
  for (const key of values.keys()) {
    const prefix = TYPES.find((candidate) => key.startsWith(`${candidate}-`))
    if (prefix !== undefined && prefix !== type)
      throw usageError(`cannot mix '${key}' with mount type '${type}' in "--${flag} ${text}"`)
  }
  const target = values.get('target')
  if (!target) throw usageError(`target is required in "--${flag} ${text}"`)
  const source = values.get('source')
  return compact({
    Type: type,
    Source: source === '' ? undefined : source,
    Target: target,
    ReadOnly: readSwitch(values, 'readonly') || undefined,
    ...typeOptions(values, flag),
  })
}

/** Added mounts replace those at their target; then those to remove go. */
export function editMounts(
  mounts: readonly Json[],
  edit: { readonly add: readonly string[]; readonly remove: readonly string[] },
): readonly Json[] {
  const added = edit.add.map((text) => parseMount(text, 'mount-add'))
  const byTarget = new Map(mounts.map((mount) => [textAt(mount, 'Target'), mount]))
  const targets = new Set<string>()
  for (const mount of added) {
    const target = textAt(mount, 'Target')
    if (targets.has(target)) throw usageError(`duplicate mount target "${target}" in --mount-add`)
    targets.add(target)
    byTarget.set(target, mount)
  }
  for (const target of edit.remove) byTarget.delete(target)
  return [...byTarget.values()]
}

function readValues(text: string, flag: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const [name, value] of parseFields(text, flag)) {
    if (REFUSED.includes(name))
      throw usageError(`'${name}' is not supported yet in "--${flag} ${text}"`)
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined
    if (key === undefined) throw usageError(`unexpected key '${name}' in "--${flag} ${text}"`)
    if (value === undefined && key !== 'readonly' && key !== 'volume-nocopy')
      throw usageError(`invalid field '${name}' must be a key=value pair in "--${flag} ${text}"`)
    values.set(key, value ?? 'true')
  }
  return values
}

function typeOptions(values: ReadonlyMap<string, string>, flag: string): JsonObject {
  const propagation = values.get('bind-propagation')
  const size = values.get('tmpfs-size')
  const mode = values.get('tmpfs-mode')
  return compact({
    BindOptions:
      propagation === undefined
        ? undefined
        : { Propagation: parseChoice(propagation, `${flag} bind-propagation`, PROPAGATIONS) },
    VolumeOptions: readSwitch(values, 'volume-nocopy') ? { NoCopy: true } : undefined,
    TmpfsOptions:
      size === undefined && mode === undefined
        ? undefined
        : compact({
            SizeBytes: size === undefined ? undefined : parseBytes(size, `${flag} tmpfs-size`),
            Mode: mode === undefined ? undefined : parseMode(mode),
          }),
  })
}

function readSwitch(values: ReadonlyMap<string, string>, key: string): boolean {
  const value = values.get(key)
  if (value === undefined || /^(?:false|0)$/i.test(value)) return false
  if (/^(?:true|1)$/i.test(value)) return true
  throw usageError(`invalid value for ${key}: ${value}, use true or false`)
}

function parseMode(text: string): number {
  if (!/^[0-7]{1,5}$/.test(text))
    throw usageError(`invalid value for tmpfs-mode: ${text}, use an octal mode like 1777`)
  return Number.parseInt(text, 8)
}
