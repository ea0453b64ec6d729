/**
 * Writes `gen/NAME.ts` for every `NAME.proto` of a tree: interfaces, empty values, encoders and
 * decoders on `wire.ts`, string unions for enums, and service descriptors. It decides how protobuf
 * looks in TypeScript (STYLE section 17) and refuses every feature outside of it: proto3 only, no
 * groups, extensions or options but a method's `(roles)`. What is allowed on the wire is left to
 * `wire.ts`. Output depends on the .proto files alone; files whose text did not change are not
 * touched, files of a .proto that is gone are removed. A message field given twice keeps the last.
 * Run: `node proto/generate.ts [source folder, output folder]`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import protobuf from 'protobufjs'

/** How a scalar is written: its wire type, its TypeScript type, its default, what is not its default. */
interface Scalar {
  readonly wire: number
  readonly type: string
  readonly empty: string
  readonly isSet: (value: string) => string
}

/** One .proto file with what it declares, nested declarations included. */
interface Source {
  /** Relative to the tree's folder, with forward slashes: as in an import. */
  readonly path: string
  readonly imports: readonly string[]
  readonly messages: readonly protobuf.Type[]
  readonly enums: readonly protobuf.Enum[]
  readonly services: readonly protobuf.Service[]
}

/** How one value of a field is typed, written after its tag, and read. */
interface Element {
  readonly wire: number
  readonly type: string
  readonly empty: string
  readonly isSet: (value: string) => string
  /** The Writer's method that writes it, or undefined for a message. */
  readonly write: ((value: string) => string) | undefined
  readonly put: (tag: number, value: string) => readonly string[]
  readonly read: string
}

/** The pieces of one field, which `emitMessage` puts together. */
interface FieldText {
  readonly number: number
  readonly comment: string | null
  /** The property, its type, its value in an empty message. */
  readonly member: string
  readonly type: string
  readonly empty: string
  /** Statements: the local variable, writing the property, a case that reads into the variable. */
  readonly declare: string
  readonly write: string
  readonly read: string
  /** The property out of the local variable. */
  readonly result: string
}

/** How a declaration is called in TypeScript; the file being written remembers whom it named. */
type NameOf = (declared: protobuf.ReflectionObject) => string

const integer = (wire: number): Scalar => ({
  wire,
  type: 'number',
  empty: '0',
  isSet: (value) => `${value} !== 0`,
})
// Negative zero and NaN are not the default.
const real = (wire: number): Scalar => ({ ...integer(wire), isSet: (v) => `!Object.is(${v}, 0)` })

const SCALARS: ReadonlyMap<string, Scalar> = new Map<string, Scalar>([
  ['int32', integer(0)],
  ['uint32', integer(0)],
  ['int64', integer(0)],
  ['uint64', integer(0)],
  ['fixed32', integer(5)],
  ['float', real(5)],
  ['double', real(1)],
  ['bool', { wire: 0, type: 'boolean', empty: 'false', isSet: (value) => value }],
  ['string', { wire: 2, type: 'string', empty: "''", isSet: (value) => `${value} !== ''` }],
  [
    'bytes',
    { wire: 2, type: 'Uint8Array', empty: 'EMPTY_BYTES', isSet: (value) => `${value}.length > 0` },
  ],
])
const MAP_KEYS: readonly string[] = ['string', 'int32', 'uint32', 'int64', 'uint64']
const LENGTH_DELIMITED = 2
const KEY_TAG = 1 << 3
const VALUE_TAG = 2 << 3
const SKIPPED_FOLDERS: ReadonlySet<string> = new Set(['gen', 'testdata'])
const WIRE_PATH = join(import.meta.dirname, 'wire.ts')

const WIRE_VALUES: readonly string[] =
  'EMPTY_BYTES EMPTY_LIST EMPTY_MAP Reader Writer decode encode refuseEnumValue sortedEntries'.split(
    ' ',
  )
const TAKEN_TYPES: ReadonlySet<string> = new Set(
  'Map Method Object Reader ReadonlyMap Readonly Record Uint8Array Writer'.split(' '),
)
/** What a local variable cannot be called: words of the language, and what generated code uses. */
const TAKEN_LOCALS: ReadonlySet<string> = new Set(
  (
    'arguments await break case catch class const continue debugger default delete do else enum ' +
    'eval export extends false finally for function if implements import in instanceof interface ' +
    'let new null package private protected public return static super switch this throw true try ' +
    'typeof undefined var void while with yield decode end item key message reader stop unknown'
  ).split(' '),
)

/** Makes `outDir` hold what the .proto files below `protoDir` say; Error names what it cannot do. */
export function generate(
  protoDir: string,
  outDir: string,
): { readonly written: readonly string[]; readonly removed: readonly string[] } {
  const { sources } = readTree(protoDir)
  const names = nameDeclarations(sources)
  const expected = new Map(
    sources.map((source) => {
      const path = join(outDir, outputName(source.path))
      return [path, emitFile(source, names, importPath(path, WIRE_PATH))] as const
    }),
  )
  const written = [...expected].filter(
    ([path, text]) => !(existsSync(path) && readFileSync(path, 'utf8') === text),
  )
  for (const [path, text] of written) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const removed = listFiles(outDir, '.ts').filter((path) => !expected.has(path))
  for (const path of removed) rmSync(path)
  return { written: written.map(([path]) => path), removed }
}

/** The files of a tree, and protobufjs' reflection of all of them with every type resolved. */
export function readTree(protoDir: string): {
  readonly root: protobuf.Root
  readonly sources: readonly Source[]
} {
  const root = new protobuf.Root()
  const imports = new Map(
    listFiles(protoDir, '.proto').map((file) => {
      const path = relative(protoDir, file).replaceAll(sep, '/')
      return [path, parseFile(file, path, root)] as const
    }),
  )
  root.resolveAll()
  const sources = [...imports].map(([path, imported]) => {
    const missing = imported.find((name) => !imports.has(name))
    if (missing !== undefined) throw new Error(`${path}: imported file ${missing} does not exist`)
    return { path, imports: imported, ...declarationsOf(root, path) }
  })
  return { root, sources }
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

/** The simple name, or for nested ones that are not alone in their file, with the outer's before it. */
function nameDeclarations(
  sources: readonly Source[],
): ReadonlyMap<protobuf.ReflectionObject, string> {
  const names = new Map<protobuf.ReflectionObject, string>()
  for (const { messages, enums, path } of sources) {
    const declared = [...messages, ...enums]
    const nameOf = (one: protobuf.ReflectionObject): string => {
      const alone = declared.filter((other) => other.name === one.name).length === 1
      return alone || !(one.parent instanceof protobuf.Type)
        ? one.name
        : nameOf(one.parent) + one.name
    }
    const used = new Set(TAKEN_TYPES)
    for (const one of declared) {
      const name = nameOf(one)
      if (used.has(name)) throw new Error(`${path}: the name ${name} of ${one.fullName} is taken`)
      used.add(name)
      names.set(one, name)
    }
  }
  return names
}

function emitFile(
  source: Source,
  names: ReadonlyMap<protobuf.ReflectionObject, string>,
  wirePath: string,
): string {
  const foreign = new Map<string, Set<string>>()
  const nameOf: NameOf = (declared) => {
    const name = names.get(declared)
    if (name === undefined)
      throw new Error(`${source.path}: ${declared.fullName} is not in the tree`)
    const home = declared.filename ?? ''
    if (home !== source.path) foreign.set(home, (foreign.get(home) ?? new Set()).add(name))
    return name
  }
  const body = [
    ...source.enums.map((one) => emitEnum(one, nameOf)),
    ...source.messages.map((one) => emitMessage(one, nameOf)),
    ...source.services.map((one) => emitService(one, nameOf)),
  ].join('\n')
  const code = body.replaceAll(/^(\/\*\*| \*).*$/gm, '')
  const has = (word: string): boolean => new RegExp(`\\b${word}\\b`).test(code)
  const wire = [...WIRE_VALUES.filter(has), ...(has('Method') ? ['type Method'] : [])]
  const lines = [importLine(wire, wirePath)]
  const local = new Set([...source.messages, ...source.enums].map((one) => names.get(one)))
  for (const [home, used] of [...foreign].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!source.imports.includes(home)) throw new Error(`${source.path}: must import ${home}`)
    for (const name of used) {
      if (local.has(name)) throw new Error(`${source.path}: ${name} is also declared in ${home}`)
      local.add(name)
    }
    const wanted = [...used]
      .sort()
      .flatMap((name) => [
        ...(has(name) ? [`type ${name}`] : []),
        ...['decode', 'empty', 'encode', 'read', 'write'].map((verb) => verb + name).filter(has),
        ...[`${name}Number`].filter(has),
      ])
    lines.push(importLine(wanted, importPath(source.path, outputName(home))))
  }
  const head = `/** Made from ${source.path} by proto/generate.ts: change that file, not this one. */\n`
  return indent(`${head}${lines.join('')}${body}`)
}

function emitEnum(declared: protobuf.Enum, nameOf: NameOf): string {
  refuseOptions(declared, [])
  const name = nameOf(declared)
  const values = valuesOf(declared)
  if (values[0]?.number !== 0) throw unsupported(declared, 'a first value other than 0')
  for (const part of ['number', 'text'] as const) {
    const distinct = new Set(values.map((value) => value[part]))
    if (distinct.size < values.length) throw unsupported(declared, `two values of one ${part}`)
  }
  return `
${docOf(declared)}export type ${name} = ${values.map(({ text }) => `'${text}'`).join(' | ')}

export const ${name}Number: Readonly<Record<${name}, number>> = {
${values.map((value) => `${docOf(value)}'${value.text}': ${value.number},`).join('\n')}
}

export function read${name}(reader: Reader): ${name} {
const value = reader.int32()
switch (value) {
${values.map(({ text, number }) => `case ${number}: return '${text}'`).join('\n')}
default: return refuseEnumValue('${name}', value)
}
}
`
}

/** The enum's name is no part of its values': `TASK_STATE_NEW` is `new`. */
function valuesOf(
  declared: protobuf.Enum,
): readonly { readonly text: string; readonly number: number; readonly comment: string | null }[] {
  const prefix = `${screaming(declared.name)}_`
  return Object.entries(declared.values).map(([key, number]) => ({
    text: (key.startsWith(prefix) ? key.slice(prefix.length) : key)
      .toLowerCase()
      .replaceAll('_', '-'),
    number,
    comment: declared.comments[key] ?? null,
  }))
}

function emitMessage(type: protobuf.Type, nameOf: NameOf): string {
  refuseOptions(type, [])
  type.oneofsArray.forEach((oneof) => {
    refuseOptions(oneof, [])
  })
  const name = nameOf(type)
  const fields = type.fieldsArray.map((field) => emitField(field, nameOf))
  const byNumber = fields.toSorted((a, b) => a.number - b.number)
  // A oneof is one member, at the place of its first field.
  const members = [...new Map(fields.map((field) => [field.member, field])).values()]
  const inMembers = (text: (field: FieldText) => string): string => members.map(text).join('\n')
  return `
${docOf(type)}export interface ${name} {
${inMembers((field) => `${docOf(field)}readonly ${field.member}: ${field.type}`.replace(': \n', ':\n'))}
/** Fields of a newer version, as they came; written back after the others. */
readonly $unknown?: Uint8Array
}

export const empty${name}: ${name} = {
${inMembers((field) => `${field.member}: ${field.empty},`)}
}

export function encode${name}(value: ${name}): Uint8Array {
return encode(value, write${name})
}

export function decode${name}(bytes: Uint8Array): ${name} {
return decode(bytes, '${type.fullName.slice(1)}', read${name})
}

export function write${name}(value: ${name}, writer: Writer): void {
${byNumber.map((field) => field.write).join('\n')}
if (value.$unknown !== undefined) writer.raw(value.$unknown)
}

export function read${name}(reader: Reader, end: number): ${name} {
${inMembers((field) => field.declare)}
let unknown: Writer | undefined
while (reader.position < end) {
switch (reader.tag()) {
${byNumber.map((field) => field.read).join('\n')}
default: unknown = reader.keep(unknown)
}
}
reader.close(end)
const message: ${name} = {
${inMembers(({ member, result }) => (member === result ? `${member},` : `${member}: ${result},`))}
}
return unknown === undefined ? message : { ...message, $unknown: unknown.finish() }
}
`
}

function emitField(field: protobuf.Field, nameOf: NameOf): FieldText {
  refuseOptions(field, ['proto3_optional'])
  if (field.name === '__proto__') throw unsupported(field, 'this name')
  const { partOf: oneof } = field
  if (oneof !== null && !oneof.isProto3Optional) return emitChoice(field, oneof, nameOf)
  const element = elementOf(field, nameOf)
  if (field instanceof protobuf.MapField) return emitMap(field, element)
  return field.repeated ? emitList(field, element) : emitSingle(field, element)
}

function emitSingle(field: protobuf.FieldBase, element: Element): FieldText {
  const optional = field.partOf !== null || element.write === undefined
  const type = optional ? `${element.type} | undefined` : element.type
  const local = localOf(field.name)
  const value = `value.${field.name}`
  const tag = tagOf(field, element.wire)
  return {
    number: field.id,
    comment: field.comment,
    member: field.name,
    type,
    empty: optional ? 'undefined' : element.empty,
    declare: `let ${local}: ${type}${optional ? '' : ` = ${element.empty}`}`,
    write: guard(
      `if (${optional ? `${value} !== undefined` : element.isSet(value)})`,
      element.put(tag, value),
    ),
    read: caseOf(tag, [`${local} = ${element.read}`]),
    result: local,
  }
}

/** A field of a oneof: all of them share one property and one local variable. */
function emitChoice(field: protobuf.Field, oneof: protobuf.OneOf, nameOf: NameOf): FieldText {
  if (field.name === 'kind') throw unsupported(field, 'this name in a oneof')
  const element = elementOf(field, nameOf)
  const member = protobuf.util.camelCase(oneof.name)
  const local = localOf(member)
  const tag = tagOf(field, element.wire)
  const choices = oneof.fieldsArray.map((choice) => {
    const { type } = elementOf(choice, nameOf)
    return `| { readonly kind: '${choice.name}'; readonly ${choice.name}: ${type} }`
  })
  const type = ['', ...choices, '| undefined'].join('\n')
  return {
    number: field.id,
    comment: oneof.comment,
    member,
    type,
    empty: 'undefined',
    declare: `let ${local}:${type}`,
    write: guard(
      `if (value.${member}?.kind === '${field.name}')`,
      element.put(tag, `value.${member}.${field.name}`),
    ),
    read: caseOf(tag, [`${local} = { kind: '${field.name}', ${field.name}: ${element.read} }`]),
    result: local,
  }
}

/** Scalars but strings and bytes are written packed, and read either way. */
function emitList(field: protobuf.FieldBase, element: Element): FieldText {
  const local = localOf(field.name)
  const value = `value.${field.name}`
  const tag = tagOf(field, LENGTH_DELIMITED)
  const packed = element.wire !== LENGTH_DELIMITED ? element.write : undefined
  const push = `(${local} ??= []).push(${element.read})`
  const readPacked = [
    'const stop = reader.open()',
    `while (reader.position < stop) ${push}`,
    'reader.close(stop)',
  ]
  return {
    number: field.id,
    comment: field.comment,
    member: field.name,
    type: `readonly ${element.type}[]`,
    empty: 'EMPTY_LIST',
    declare: `let ${local}: ${element.type}[] | undefined`,
    write:
      packed === undefined
        ? guard(`for (const item of ${value})`, element.put(tag, 'item'))
        : guard(`if (${value}.length > 0)`, [
            `writer.tag(${tag}).open()`,
            `for (const item of ${value}) writer.${packed('item')}`,
            'writer.close()',
          ]),
    read:
      packed === undefined
        ? caseOf(tag, [push])
        : [caseOf(tagOf(field, element.wire), [push]), caseOf(tag, readPacked)].join('\n'),
    result: `${local} ?? EMPTY_LIST`,
  }
}

/** On the wire a list of pairs, key 1 and value 2. */
function emitMap(field: protobuf.MapField, element: Element): FieldText {
  if (!MAP_KEYS.includes(field.keyType)) throw unsupported(field, `a map key of ${field.keyType}`)
  const key = scalarElement(field.keyType, field)
  const local = localOf(field.name)
  const tag = tagOf(field, LENGTH_DELIMITED)
  const types = `<${key.type}, ${element.type}>`
  return {
    number: field.id,
    comment: field.comment,
    member: field.name,
    type: `ReadonlyMap${types}`,
    empty: 'EMPTY_MAP',
    declare: `let ${local}: Map${types} | undefined`,
    write: guard(`for (const [key, item] of sortedEntries(value.${field.name}))`, [
      `writer.tag(${tag}).open()`,
      ...key.put(KEY_TAG | key.wire, 'key'),
      ...element.put(VALUE_TAG | element.wire, 'item'),
      'writer.close()',
    ]),
    read: caseOf(tag, [
      'const stop = reader.open()',
      `let key: ${key.type} = ${key.empty}`,
      `let item: ${element.type} = ${element.empty}`,
      'while (reader.position < stop) {',
      'switch (reader.tag()) {',
      caseOf(KEY_TAG | key.wire, [`key = ${key.read}`]),
      caseOf(VALUE_TAG | element.wire, [`item = ${element.read}`]),
      'default: reader.skip()',
      '}',
      '}',
      'reader.close(stop)',
      `${local} = (${local} ?? new Map()).set(key, item)`,
    ]),
    result: `${local} ?? EMPTY_MAP`,
  }
}

function elementOf(field: protobuf.Field, nameOf: NameOf): Element {
  const { resolvedType } = field.resolve()
  if (resolvedType === null) return scalarElement(field.type, field)
  const type = nameOf(resolvedType)
  if (resolvedType instanceof protobuf.Type) {
    return {
      wire: LENGTH_DELIMITED,
      type,
      empty: `empty${type}`,
      isSet: (value) => `${value} !== undefined`,
      write: undefined,
      put: (tag, value) => [
        `writer.tag(${tag}).open()`,
        `write${type}(${value}, writer)`,
        'writer.close()',
      ],
      read: `read${type}(reader, reader.open())`,
    }
  }
  const zero = valuesOf(resolvedType)[0]?.text
  const write = (value: string): string => `int32(${type}Number[${value}])`
  return {
    wire: 0,
    type,
    empty: `'${zero}'`,
    isSet: (value) => `${value} !== '${zero}'`,
    write,
    put: (tag, value) => [`writer.tag(${tag}).${write(value)}`],
    read: `read${type}(reader)`,
  }
}

function scalarElement(name: string, field: protobuf.FieldBase): Element {
  const scalar = SCALARS.get(name)
  if (scalar === undefined) throw unsupported(field, `type ${name}`)
  const write = (value: string): string => `${name}(${value})`
  return {
    ...scalar,
    write,
    put: (tag, value) => [`writer.tag(${tag}).${write(value)}`],
    read: `reader.${name}()`,
  }
}

function emitService(service: protobuf.Service, nameOf: NameOf): string {
  refuseOptions(service, [])
  const path = service.fullName.slice(1)
  const methods = service.methodsArray.map((method) => emitMethod(method, path, nameOf))
  return `
${docOf(service)}export const ${lowerFirst(service.name)}Service: {
readonly name: '${path}'
readonly methods: {
${methods.map(({ type }) => type).join('\n')}
}
} = {
name: '${path}',
methods: {
${methods.map(({ value }) => value).join('\n')}
},
}
`
}

function emitMethod(
  method: protobuf.Method,
  servicePath: string,
  nameOf: NameOf,
): { readonly type: string; readonly value: string } {
  refuseOptions(method, ['(roles)'])
  method.resolve()
  const { resolvedRequestType, resolvedResponseType } = method
  if (resolvedRequestType === null || resolvedResponseType === null) {
    throw unsupported(method, 'a request or response that is not a message')
  }
  const name = lowerFirst(method.name)
  const request = nameOf(resolvedRequestType)
  const response = nameOf(resolvedResponseType)
  const requestStream = method.requestStream === true
  const responseStream = method.responseStream === true
  const option: unknown = method.options?.['(roles)'] ?? ''
  const roles = String(option)
    .split(',')
    .filter((role) => role !== '')
  return {
    type: `${docOf(method)}readonly ${name}: Method<${request}, ${response}, ${requestStream}, ${responseStream}>`,
    value: `${name}: {
path: '/${servicePath}/${method.name}',
requestStream: ${requestStream},
responseStream: ${responseStream},
roles: [${roles.map((role) => `'${role}'`).join(', ')}],
encodeRequest: encode${request},
decodeRequest: decode${request},
encodeResponse: encode${response},
decodeResponse: decode${response},
},`,
  }
}

function caseOf(tag: number, statements: readonly string[]): string {
  return [`case ${tag}: {`, ...statements, 'break', '}'].join('\n')
}

function guard(condition: string, statements: readonly string[]): string {
  return statements.length === 1
    ? `${condition} ${statements[0]}`
    : [`${condition} {`, ...statements, '}'].join('\n')
}

function tagOf(field: protobuf.FieldBase, wire: number): number {
  return ((field.id << 3) | wire) >>> 0
}

function localOf(name: string): string {
  return TAKEN_LOCALS.has(name) ? `${name}_` : name
}

function lowerFirst(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1)
}

/** `TaskState` as `TASK_STATE`. */
function screaming(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
}

function docOf({ comment }: { readonly comment: string | null }): string {
  if (comment === null) return ''
  const lines = comment.replaceAll('*/', '* /').split('\n')
  return lines.length === 1
    ? `/** ${comment} */\n`
    : `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join('\n')}\n */\n`
}

/** Two spaces for each brace that is open, and for a line of a union. */
function indent(text: string): string {
  let depth = 0
  const lines = text.split('\n').map((line) => {
    const code = !/^(\/\*\*| \*)/.test(line)
    if (code && line.startsWith('}')) depth -= 1
    const more = line.startsWith('|') ? 1 : 0
    const indented = line === '' ? '' : '  '.repeat(depth + more) + line
    if (code && line.endsWith('{')) depth += 1
    return indented
  })
  return lines.join('\n').replace(/\n{3,}/g, '\n\n')
}

function importLine(names: readonly string[], from: string): string {
  return names.length === 0 ? '' : `import { ${names.join(', ')} } from '${from}'\n`
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
