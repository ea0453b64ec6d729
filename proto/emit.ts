/**
 * The TypeScript of one .proto file, as text: interfaces, empty values, encoders and decoders on
 * `wire.ts`, string unions for enums, service descriptors. It decides how protobuf looks in
 * TypeScript (STYLE section 17); reading .proto files and refusing what has no such form is left to
 * `generate.ts`, what is allowed on the wire to `wire.ts`. Fields are written in the order of their
 * numbers, maps in that of their keys, so one value has one encoding; a field that comes twice keeps
 * the last.
 */

import type {
  EnumType,
  Field,
  MessageType,
  MethodType,
  Oneof,
  ProtoFile,
  ScalarName,
  ServiceType,
  ValueType,
} from './proto-file.ts'

interface Scalar {
  readonly wire: number
  readonly type: string
  readonly empty: string
  /** The expression that says whether a value is not the default. */
  readonly isSet: (value: string) => string
}

/** How one value of a field is typed, written after its tag, and read. */
interface Element extends Scalar {
  /** The Writer's call that writes it; undefined for a message, which takes several. */
  readonly write: ((value: string) => string) | undefined
  /** Statements that write it with its tag. */
  readonly put: (tag: number, value: string) => readonly string[]
  readonly read: string
}

/** The pieces of one field, which `emitMessage` puts together. */
interface FieldText {
  readonly number: number
  readonly comment: string | undefined
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

const LENGTH_DELIMITED = 2
const KEY_TAG = 1 << 3
const VALUE_TAG = 2 << 3
/** Of what `docOf` made. */
const COMMENT_LINE = /^(?:\/\*\*| \*).*$/gm

const integer = (wire: number): Scalar => ({
  wire,
  type: 'number',
  empty: '0',
  isSet: (value) => `${value} !== 0`,
})
// Negative zero and NaN are not the default.
const real = (wire: number): Scalar => ({ ...integer(wire), isSet: (v) => `!Object.is(${v}, 0)` })

export const SCALARS: Readonly<Record<ScalarName, Scalar>> = {
  int32: integer(0),
  uint32: integer(0),
  int64: integer(0),
  uint64: integer(0),
  fixed32: integer(5),
  float: real(5),
  double: real(1),
  bool: { wire: 0, type: 'boolean', empty: 'false', isSet: (value) => value },
  string: { wire: 2, type: 'string', empty: "''", isSet: (value) => `${value} !== ''` },
  bytes: { wire: 2, type: 'Uint8Array', empty: 'EMPTY_BYTES', isSet: (v) => `${v}.length > 0` },
}

/** What generated files may import from wire.ts; `type` goes with those that are only types. */
const WIRE_EXPORTS: ReadonlyMap<string, string> = new Map([
  ...['EMPTY_BYTES', 'EMPTY_LIST', 'EMPTY_MAP', 'decode', 'encode'].map(same),
  ...['Shared', 'refuseEnumValue', 'sortedEntries'].map(same),
  ...['Method', 'Reader', 'Writer'].map((name) => [name, `type ${name}`] as const),
])

/** Names that no message and no enum may have, for generated code needs them. */
export const TAKEN_TYPES: ReadonlySet<string> = new Set(
  'Map Method Object Reader ReadonlyMap Readonly Record Shared Uint8Array Writer'.split(' '),
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

/** The text of the file's TypeScript; `importPath` gives the path to import a .proto's from. */
export function emitFile(
  file: ProtoFile,
  wirePath: string,
  importPath: (protoPath: string) => string,
): string {
  const body = [
    ...file.enums.map(emitEnum),
    ...file.messages.map(emitMessage),
    ...file.services.map(emitService),
  ].join('\n')
  const words = new Set(body.replaceAll(COMMENT_LINE, '').match(/\w+/g))
  const wire = [...WIRE_EXPORTS].filter(([name]) => words.has(name)).map(([, text]) => text)
  const imports = [importLine(wire, wirePath)]
  for (const [home, types] of foreignTypes(file)) {
    const wanted = [...types]
      .sort()
      .flatMap((name) => namesOf(name).filter(([word]) => words.has(word)))
    imports.push(
      importLine(
        wanted.map(([, text]) => text),
        importPath(home),
      ),
    )
  }
  const head = `/** Made from ${file.path} by proto/generate.ts: change that file, not this one. */\n`
  return indent(`${head}${imports.join('')}${body}`)
}

/** The types that the file uses of others, by the .proto that declares them, in order. */
export function foreignTypes(file: ProtoFile): ReadonlyMap<string, ReadonlySet<string>> {
  const used = [
    ...file.messages.flatMap((message) => message.fields.map((field) => field.type)),
    ...file.services.flatMap(({ methods }) => methods.flatMap((m) => [m.request, m.response])),
  ]
  const homes = new Map<string, Set<string>>()
  for (const type of used) {
    if (type.kind === 'scalar' || type.file === file.path) continue
    homes.set(type.file, (homes.get(type.file) ?? new Set()).add(type.name))
  }
  return new Map([...homes].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** All that a type's own file exports for it: the word, and how it is imported. */
function namesOf(type: string): readonly (readonly [string, string])[] {
  return [
    [type, `type ${type}`],
    ...['decode', 'empty', 'encode', 'read', 'write'].map((verb) => same(verb + type)),
    same(`${type}Number`),
  ]
}

function same(name: string): readonly [string, string] {
  return [name, name]
}

function emitEnum({ name, comment, values }: EnumType): string {
  const names = values.map(({ text }) => `'${text}'`)
  const numbers = values.map((value) => `${docOf(value.comment)}'${value.text}': ${value.number},`)
  const cases = values.map(({ text, number }) => `case ${number}: return '${text}'`)
  return `
${docOf(comment)}export type ${name} = ${names.join(' | ')}

export const ${name}Number: Readonly<Record<${name}, number>> = {
${numbers.join('\n')}
}

export function read${name}(reader: Reader): ${name} {
const value = reader.int32()
switch (value) {
${cases.join('\n')}
default: return refuseEnumValue('${name}', value)
}
}
`
}

function emitMessage({ name, fullName, comment, fields }: MessageType): string {
  const texts = fields.map((field) => emitField(field, name))
  const byNumber = texts.toSorted((a, b) => a.number - b.number)
  // A oneof is one member, at the place of its first field.
  const members = [...new Map(texts.map((text) => [text.member, text])).values()]
  const inMembers = (line: (text: FieldText) => string): string => members.map(line).join('\n')
  const shared = fields
    .filter(({ isShared }) => isShared)
    .map(
      (field) => `const ${sharedName(field, name)} = new Shared<${elementOf(field.type).type}>()\n`,
    )
  return `
${shared.join('')}${shared.length > 0 ? '\n' : ''}${docOf(comment)}export interface ${name} {
${inMembers((text) => `${docOf(text.comment)}readonly ${text.member}: ${text.type}`)}
/** Fields of a newer version, as they came; written back after the others. */
readonly $unknown?: Uint8Array
}

export const empty${name}: ${name} = {
${inMembers((text) => `${text.member}: ${text.empty},`)}
}

export function encode${name}(value: ${name}): Uint8Array {
return encode(value, write${name})
}

export function decode${name}(bytes: Uint8Array): ${name} {
return decode(bytes, '${fullName}', read${name})
}

export function write${name}(value: ${name}, writer: Writer): void {
${byNumber.map((text) => text.write).join('\n')}
if (value.$unknown !== undefined) writer.raw(value.$unknown)
}

export function read${name}(reader: Reader, end: number): ${name} {
${inMembers((text) => text.declare)}
let unknown: Writer | undefined
while (reader.position < end) {
switch (reader.tag()) {
${byNumber.map((text) => text.read).join('\n')}
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

function emitField(field: Field, message: string): FieldText {
  const element = field.isShared ? sharedElement(field, message) : elementOf(field.type)
  switch (field.shape.kind) {
    case 'single':
      return emitSingle(field, element, element.write === undefined)
    case 'optional':
      return emitSingle(field, element, true)
    case 'list':
      return emitList(field, element)
    case 'map':
      return emitMap(field, scalarElement(field.shape.key), element)
    case 'choice':
      return emitChoice(field, field.shape.oneof, element)
    default:
      return field.shape satisfies never
  }
}

function emitSingle(field: Field, element: Element, optional: boolean): FieldText {
  const type = optional ? `${element.type} | undefined` : element.type
  const local = localOf(field.name)
  const value = `value.${field.name}`
  const tag = tagOf(field, element.wire)
  return {
    number: field.number,
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
function emitChoice(field: Field, oneof: Oneof, element: Element): FieldText {
  const { name: member, comment, choices } = oneof
  const local = localOf(member)
  const tag = tagOf(field, element.wire)
  const types = choices.map(
    ({ name, type }) => `| { readonly kind: '${name}'; readonly ${name}: ${elementOf(type).type} }`,
  )
  const type = ['', ...types, '| undefined'].join('\n')
  return {
    number: field.number,
    comment,
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
function emitList(field: Field, element: Element): FieldText {
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
    number: field.number,
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
function emitMap(field: Field, key: Element, element: Element): FieldText {
  const local = localOf(field.name)
  const tag = tagOf(field, LENGTH_DELIMITED)
  const types = `<${key.type}, ${element.type}>`
  return {
    number: field.number,
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

function elementOf(type: ValueType): Element {
  switch (type.kind) {
    case 'scalar':
      return scalarElement(type.name)
    case 'enum':
      return calledElement((value) => `int32(${type.name}Number[${value}])`, {
        wire: SCALARS.int32.wire,
        type: type.name,
        empty: `'${type.zero}'`,
        isSet: (value) => `${value} !== '${type.zero}'`,
        read: `read${type.name}(reader)`,
      })
    case 'message':
      return messageElement(type.name)
    default:
      return type satisfies never
  }
}

function scalarElement(name: ScalarName): Element {
  const write = (value: string): string => `${name}(${value})`
  return calledElement(write, { ...SCALARS[name], read: `reader.${name}()` })
}

/** Of something that one call of the Writer writes. */
function calledElement(
  write: (value: string) => string,
  rest: Scalar & Pick<Element, 'read'>,
): Element {
  return { ...rest, write, put: (tag, value) => [`writer.tag(${tag}).${write(value)}`] }
}

function messageElement(name: string): Element {
  return {
    wire: LENGTH_DELIMITED,
    type: name,
    empty: `empty${name}`,
    isSet: (value) => `${value} !== undefined`,
    write: undefined,
    put: (tag, value) => [
      `writer.tag(${tag}).open()`,
      `write${name}(${value}, writer)`,
      'writer.close()',
    ],
    read: `read${name}(reader, reader.open())`,
  }
}

/** Of a field whose messages often are equal. */
function sharedElement(field: Field, message: string): Element {
  const element = elementOf(field.type)
  const shared = sharedName(field, message)
  return {
    ...element,
    put: (tag, value) => [`writer.tag(${tag}).shared(${shared}, ${value}, write${element.type})`],
    read: `reader.shared(${shared}, read${element.type})`,
  }
}

/** What is remembered of the field. */
function sharedName({ name }: Field, message: string): string {
  return `shared${message}${name.charAt(0).toUpperCase()}${name.slice(1)}`
}

function emitService({ name, fullName, comment, methods }: ServiceType): string {
  return `
${docOf(comment)}export const ${lowerFirst(name)}Service: {
readonly name: '${fullName}'
readonly methods: {
${methods.map(emitMethodType).join('\n')}
}
} = {
name: '${fullName}',
methods: {
${methods.map((method) => emitMethod(method, fullName)).join('\n')}
},
}
`
}

function emitMethodType(method: MethodType): string {
  const { request, response, requestStream, responseStream } = method
  const types = [request.name, response.name, requestStream, responseStream].join(', ')
  return `${docOf(method.comment)}readonly ${lowerFirst(method.name)}: Method<${types}>`
}

function emitMethod(method: MethodType, service: string): string {
  const { name, request, response, requestStream, responseStream, roles } = method
  return `${lowerFirst(name)}: {
path: '/${service}/${name}',
requestStream: ${requestStream},
responseStream: ${responseStream},
roles: [${roles.map((role) => `'${role}'`).join(', ')}],
encodeRequest: encode${request.name},
decodeRequest: decode${request.name},
encodeResponse: encode${response.name},
decodeResponse: decode${response.name},
},`
}

function caseOf(tag: number, statements: readonly string[]): string {
  return [`case ${tag}: {`, ...statements, 'break', '}'].join('\n')
}

function guard(condition: string, statements: readonly string[]): string {
  return statements.length === 1
    ? `${condition} ${statements[0]}`
    : [`${condition} {`, ...statements, '}'].join('\n')
}

function tagOf(field: Field, wire: number): number {
  return ((field.number << 3) | wire) >>> 0
}

function localOf(name: string): string {
  return TAKEN_LOCALS.has(name) ? `${name}_` : name
}

function lowerFirst(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1)
}

function docOf(comment: string | undefined): string {
  if (comment === undefined) return ''
  const lines = comment.replaceAll('*/', '* /').split('\n')
  return lines.length === 1
    ? `/** ${lines[0]} */\n`
    : `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join('\n')}\n */\n`
}

/** Two spaces for each brace that is open, and for a line of a union; blank lines one at a time. */
function indent(text: string): string {
  let depth = 0
  const lines = text.split('\n').map((line) => {
    const code = line.replace(COMMENT_LINE, '')
    if (code.startsWith('}')) depth -= 1
    const spaces = '  '.repeat(depth + (code.startsWith('|') ? 1 : 0))
    if (code.endsWith('{')) depth += 1
    return line === '' ? '' : spaces + line
  })
  return lines.join('\n').replace(/\n{3,}/g, '\n\n')
}

function importLine(names: readonly string[], from: string): string {
  return names.length === 0 ? '' : `import { ${names.join(', ')} } from '${from}'\n`
}
