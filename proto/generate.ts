/**
 * Writes `gen/NAME.ts` for every `NAME.proto` of a tree. It reads the files with protobufjs' parser
 * and refuses, naming file and declaration, what has no form in TypeScript here: proto3 only, no
 * groups, extensions or options but a method's `(roles)` and a field's `(shared)`, the types that
 * `emit.ts` knows (which also decides what the output looks like). The output depends on the .proto
 * files alone; a file whose text stays the same is not touched, one whose .proto is gone is removed.
 * From STYLE section 17.
 * Run: `node proto/generate.ts [source folder, output folder]`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import protobuf from 'protobufjs'
import { emitFile, foreignTypes, SCALARS, TAKEN_TYPES } from './emit.ts'
import type {
  EnumType,
  Field,
  MessageRef,
  MessageType,
  MethodType,
  ProtoFile,
  ScalarName,
  ServiceType,
  ValueType,
} from './proto-file.ts'

/** A file as parsed, before its declarations have names in TypeScript. */
interface Source {
  readonly path: string
  readonly imports: readonly string[]
  readonly messages: readonly protobuf.Type[]
  readonly enums: readonly protobuf.Enum[]
  readonly services: readonly protobuf.Service[]
}

type Names = ReadonlyMap<protobuf.ReflectionObject, string>

const MAP_KEYS: readonly string[] = ['string', 'int32', 'uint32', 'int64', 'uint64']
const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(['gen', 'testdata'])
const WIRE_PATH = join(import.meta.dirname, 'wire.ts')

/** Makes `outDir` hold what the .proto files below `protoDir` say; Error names what it cannot do. */
export function generate(
  protoDir: string,
  outDir: string,
): { readonly written: readonly string[]; readonly removed: readonly string[] } {
  const texts = readTree(protoDir).files.map((file) => {
    const path = join(outDir, outputName(file.path))
    const text = emitFile(file, importPath(path, WIRE_PATH), (home) =>
      importPath(file.path, outputName(home)),
    )
    return [path, text] as const
  })
  const changed = texts.filter(
    ([path, text]) => !(existsSync(path) && readFileSync(path, 'utf8') === text),
  )
  for (const [path, text] of changed) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const expected = new Set(texts.map(([path]) => path))
  const removed = listFiles(outDir, '.ts').filter((path) => !expected.has(path))
  for (const path of removed) rmSync(path)
  return { written: changed.map(([path]) => path), removed }
}

/** The files of a tree, and protobufjs' own reflection of them: the oracle of the tests. */
export function readTree(protoDir: string): {
  readonly root: protobuf.Root
  readonly files: readonly ProtoFile[]
} {
  const root = new protobuf.Root()
  const parsed = listFiles(protoDir, '.proto').map((file) => {
    const path = relative(protoDir, file).replaceAll(sep, '/')
    return { path, imports: parseFile(file, path, root) }
  })
  root.resolveAll()
  const sources = parsed.map((file) => ({ ...file, ...declarationsOf(root, file.path) }))
  const names: Names = new Map(sources.flatMap((source) => [...nameDeclarations(source)]))
  const files = sources.map((source) => {
    const file = modelOf(source, names)
    checkImports(source, file, new Set(parsed.map(({ path }) => path)))
    return file
  })
  return { root, files }
}

/** Adds the file to `root`; gives its imports. */
function parseFile(file: string, path: string, root: protobuf.Root): readonly string[] {
  const text = readFileSync(file, 'utf8')
  if (!/^\s*syntax\s*=\s*"proto3"\s*;/m.test(text)) throw new Error(`${path}: not proto3`)
  Object.assign(protobuf.parse, { filename: path })
  const parsed = protobuf.parse(text, root, { alternateCommentMode: true })
  if (parsed.package === undefined) throw new Error(`${path}: no package`)
  if (parsed.weakImports !== undefined) throw new Error(`${path}: weak imports are not supported`)
  const [option] = Object.keys(root.lookup(parsed.package)?.options ?? {})
  if (option !== undefined) throw new Error(`${path}: option ${option} is not supported`)
  return parsed.imports ?? []
}

function declarationsOf(root: protobuf.Root, path: string): Omit<Source, 'path' | 'imports'> {
  const messages: protobuf.Type[] = []
  const enums: protobuf.Enum[] = []
  const services: protobuf.Service[] = []
  const visit = (declared: protobuf.ReflectionObject): void => {
    if (declared.filename === path) {
      if (declared instanceof protobuf.Type) messages.push(declared)
      else if (declared instanceof protobuf.Enum) enums.push(declared)
      else if (declared instanceof protobuf.Service) services.push(declared)
      else if (declared instanceof protobuf.Field) throw unsupported(declared, 'extend')
    }
    if (declared instanceof protobuf.Namespace) declared.nestedArray.forEach(visit)
  }
  visit(root)
  return { messages, enums, services }
}

/** The simple name, or for a nested one that is not alone in its file, with the outer's before it. */
function nameDeclarations({ path, messages, enums }: Source): Names {
  const declared = [...messages, ...enums]
  const nameOf = (one: protobuf.ReflectionObject): string => {
    const alone = declared.filter((other) => other.name === one.name).length === 1
    const { parent } = one
    return alone || !(parent instanceof protobuf.Type) ? one.name : nameOf(parent) + one.name
  }
  const names = new Map<protobuf.ReflectionObject, string>()
  const used = new Set(TAKEN_TYPES)
  for (const one of declared) {
    const name = nameOf(one)
    if (used.has(name)) throw new Error(`${path}: the name ${name} of ${one.fullName} is taken`)
    used.add(name)
    names.set(one, name)
  }
  return names
}

/** Every foreign type comes from an imported file, and no two types in one file have one name. */
function checkImports(source: Source, file: ProtoFile, paths: ReadonlySet<string>): void {
  for (const imported of source.imports) {
    if (!paths.has(imported)) throw new Error(`${file.path}: no file ${imported} to import`)
  }
  const local = new Set([...file.messages, ...file.enums].map(({ name }) => name))
  for (const [home, types] of foreignTypes(file)) {
    if (!source.imports.includes(home)) throw new Error(`${file.path}: must import ${home}`)
    for (const name of types) {
      if (local.has(name)) throw new Error(`${file.path}: ${name} is also declared in ${home}`)
      local.add(name)
    }
  }
}

function modelOf({ path, enums, messages, services }: Source, names: Names): ProtoFile {
  return {
    path,
    enums: enums.map((one) => enumOf(one, names)),
    messages: messages.map((one) => messageOf(one, names)),
    services: services.map((one) => serviceOf(one, names)),
  }
}

/** The enum's name is no part of its values': `TASK_STATE_NEW` is `new`. */
function enumOf(declared: protobuf.Enum, names: Names): EnumType {
  refuseOptions(declared, [])
  const prefix = `${screaming(declared.name)}_`
  const values = Object.entries(declared.values).map(([key, number]) => ({
    text: (key.startsWith(prefix) ? key.slice(prefix.length) : key)
      .toLowerCase()
      .replaceAll('_', '-'),
    number,
    comment: declared.comments[key] ?? undefined,
  }))
  if (values[0]?.number !== 0) throw unsupported(declared, 'a first value other than 0')
  for (const part of ['number', 'text'] as const) {
    const distinct = new Set(values.map((value) => value[part]))
    if (distinct.size < values.length) throw unsupported(declared, `two values of one ${part}`)
  }
  return { name: nameOf(declared, names), comment: declared.comment ?? undefined, values }
}

function messageOf(type: protobuf.Type, names: Names): MessageType {
  refuseOptions(type, [])
  return {
    name: nameOf(type, names),
    fullName: type.fullName.slice(1),
    comment: type.comment ?? undefined,
    fields: type.fieldsArray.map((field) => fieldOf(field, names)),
  }
}

function fieldOf(field: protobuf.Field, names: Names): Field {
  refuseOptions(field, ['proto3_optional', '(shared)'])
  if (field.delimited) throw unsupported(field, 'a group')
  const type = valueTypeOf(field, names)
  const shape = shapeOf(field, names)
  const isShared = field.options?.['(shared)'] === true
  if (isShared && (type.kind !== 'message' || shape.kind !== 'single'))
    throw unsupported(field, 'option (shared) but for a single message')
  return {
    name: field.name,
    number: field.id,
    comment: field.comment ?? undefined,
    ...{ type, isShared, shape },
  }
}

function shapeOf(field: protobuf.Field, names: Names): Field['shape'] {
  const { partOf: oneof } = field
  if (oneof?.isProto3Optional) return { kind: 'optional' }
  if (oneof) {
    refuseOptions(oneof, [])
    if (field.name === 'kind') throw unsupported(field, 'this name in a oneof')
    const choices = oneof.fieldsArray.map((choice) => ({
      name: choice.name,
      type: valueTypeOf(choice, names),
    }))
    const name = protobuf.util.camelCase(oneof.name)
    return { kind: 'choice', oneof: { name, comment: oneof.comment ?? undefined, choices } }
  }
  if (field instanceof protobuf.MapField) {
    const { keyType } = field
    if (!isScalar(keyType) || !MAP_KEYS.includes(keyType)) {
      throw unsupported(field, `a map key of ${keyType}`)
    }
    return { kind: 'map', key: keyType }
  }
  return { kind: field.repeated ? 'list' : 'single' }
}

function valueTypeOf(field: protobuf.Field, names: Names): ValueType {
  const { resolvedType } = field.resolve()
  if (resolvedType instanceof protobuf.Type) return messageRef(resolvedType, names)
  if (resolvedType instanceof protobuf.Enum) {
    const { name, values } = enumOf(resolvedType, names)
    return { kind: 'enum', name, file: resolvedType.filename ?? '', zero: values[0]?.text ?? '' }
  }
  if (!isScalar(field.type)) throw unsupported(field, `type ${field.type}`)
  return { kind: 'scalar', name: field.type }
}

function messageRef(type: protobuf.Type, names: Names): MessageRef {
  return { kind: 'message', name: nameOf(type, names), file: type.filename ?? '' }
}

function isScalar(name: string): name is ScalarName {
  return Object.hasOwn(SCALARS, name)
}

function serviceOf(service: protobuf.Service, names: Names): ServiceType {
  refuseOptions(service, [])
  return {
    name: service.name,
    fullName: service.fullName.slice(1),
    comment: service.comment ?? undefined,
    methods: service.methodsArray.map((method) => methodOf(method, names)),
  }
}

function methodOf(method: protobuf.Method, names: Names): MethodType {
  refuseOptions(method, ['(roles)'])
  method.resolve()
  const { resolvedRequestType, resolvedResponseType } = method
  if (resolvedRequestType === null || resolvedResponseType === null) {
    throw unsupported(method, 'a request or response that is not a message')
  }
  const roles: unknown = method.options?.['(roles)'] ?? ''
  return {
    name: method.name,
    comment: method.comment ?? undefined,
    request: messageRef(resolvedRequestType, names),
    response: messageRef(resolvedResponseType, names),
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    roles: String(roles)
      .split(',')
      .filter((role) => role !== ''),
  }
}

function nameOf(declared: protobuf.ReflectionObject, names: Names): string {
  const name = names.get(declared)
  if (name === undefined) throw unsupported(declared, 'a type from outside of the tree')
  return name
}

/** `TaskState` as `TASK_STATE`. */
function screaming(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
}

function outputName(protoPath: string): string {
  return protoPath.replace(/\.proto$/, '.ts')
}

function importPath(from: string, to: string): string {
  const path = relative(dirname(from), to).replaceAll(sep, '/')
  return path.startsWith('.') ? path : `./${path}`
}

/** The files below `dir` whose name ends so, sorted; what is generated and test data left out. */
function listFiles(dir: string, ending: string): readonly string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => !(entry.isDirectory() && SKIPPED_FOLDERS.has(entry.name)))
    .flatMap((entry) => {
      const path = join(dir, entry.name)
      if (entry.isDirectory()) return listFiles(path, ending)
      return entry.name.endsWith(ending) ? [path] : []
    })
    .sort()
}

function refuseOptions(declared: protobuf.ReflectionObject, allowed: readonly string[]): void {
  const option = Object.keys(declared.options ?? {}).find((name) => !allowed.includes(name))
  if (option !== undefined) throw unsupported(declared, `option ${option}`)
}

function unsupported(declared: protobuf.ReflectionObject, what: string): Error {
  const file = declared.filename ?? declared.parent?.filename
  return new Error(`${file}: ${declared.fullName.slice(1)}: ${what} is not supported`)
}

if (import.meta.main) {
  const [protoDir, outDir] = process.argv.slice(2)
  generate(
    resolve(protoDir ?? import.meta.dirname),
    resolve(outDir ?? join(import.meta.dirname, 'gen')),
  )
}
