/**
 * Generated code against protobufjs' reflection, for every message of the tree and of
 * `testdata/tree`: random values, both ways, byte for byte. And what random values do not show:
 * newer fields, names, services, files kept and removed, and every feature that is refused.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { assert, defined } from '../lib/assert.ts'
import { generate, readTree } from './generate.ts'
import type { Field, MessageType, ProtoFile, ScalarName, ValueType } from './proto-file.ts'

type Plain = Readonly<Record<string, unknown>>
type Module = ReadonlyMap<string, unknown>

const scratchDir = mkdtempSync(join(tmpdir(), 'tsswarm-generate-'))
afterAll(() => rmSync(scratchDir, { recursive: true }))

const PROTO_DIR = import.meta.dirname
const TESTDATA_DIR = join(PROTO_DIR, 'testdata', 'tree')
const TESTDATA_OUT = join(scratchDir, 'testdata')
generate(TESTDATA_DIR, TESTDATA_OUT)
generate(PROTO_DIR, join(scratchDir, 'gen'))

for (const [protoDir, outDir] of [
  [TESTDATA_DIR, TESTDATA_OUT],
  [PROTO_DIR, join(scratchDir, 'gen')],
] as const) {
  const { root, files } = readTree(protoDir)
  for (const file of files.filter(({ messages }) => messages.length > 0)) {
    describe(`messages of ${file.path}`, async () => {
      const module = await load(join(outDir, file.path.replace(/\.proto$/, '.ts')))

      test.each([...file.messages])(
        '$name is on the wire what protobufjs makes of it',
        (message) => {
          const oracle = root.lookupType(message.fullName)

          const property = fc.property(anyMessage(message, files, 3), (value) => {
            const ours = call(module, `encode${message.name}`, value)
            const theirs = oracle.encode(toReflection(message, files, value)).finish()
            assert(ours instanceof Uint8Array, 'encoded')
            expect(hex(ours)).toBe(hex(theirs))
            expect(call(module, `decode${message.name}`, theirs)).toStrictEqual(value)
            expect(hex(oracle.encode(oracle.decode(ours)).finish())).toBe(hex(ours))
          })
          fc.assert(property, { numRuns: 30, seed: 42 })
        },
      )
    })
  }
}

describe('features', async () => {
  const features = await load(join(TESTDATA_OUT, 'features.ts'))
  const versions = await load(join(TESTDATA_OUT, 'versions.ts'))

  test('decode() keeps the fields of a newer version, and encode() writes them back', () => {
    const child = { ...empty(versions, 'New'), id: 'child', names: ['a', 'b'], ratio: -0 }
    const newest = {
      ...child,
      id: 'parent',
      added: 7,
      child,
      blobs: new Map([['k', Uint8Array.of(1, 2)]]),
    }

    const old = call(versions, 'decodeOld', call(versions, 'encodeNew', newest))
    const again = call(versions, 'decodeNew', call(versions, 'encodeOld', old))

    expect(old).toMatchObject({ id: 'parent', child: { id: 'child' } })
    expect(again).toStrictEqual(newest)
  })

  test('an older version drops nothing when it changes what it knows', () => {
    const newest = { ...empty(versions, 'New'), id: 'before', names: ['kept'] }
    const old = call(versions, 'decodeOld', call(versions, 'encodeNew', newest))
    assert(typeof old === 'object', 'an object')

    const changed = call(versions, 'encodeOld', { ...old, id: 'after' })

    expect(call(versions, 'decodeNew', changed)).toStrictEqual({ ...newest, id: 'after' })
  })

  test('a value that knows no newer fields has no $unknown', () => {
    const value = call(versions, 'decodeOld', call(versions, 'encodeOld', empty(versions, 'Old')))

    expect(Object.keys(value as object)).toEqual(['id', 'child'])
  })

  // Tags: field number shifted by three, or wire type.
  test.each([
    ['cut short in a varint', 'Scalars', '1880', 'invalid-argument', /^malformed testdata/],
    ['cut short in a 64-bit varint', 'Scalars', '2880', 'invalid-argument', /cut short/],
    ['cut short in a string', 'Scalars', '4a05616263', 'invalid-argument', /testdata.features.Sca/],
    ['cut short in a double', 'Scalars', '0900000000', 'invalid-argument', /malformed/],
    ['cut short in a child', 'Recursive', '0a05', 'invalid-argument', /cut short/],
    ['a child that goes past its end', 'Recursive', '0a010a00', 'invalid-argument', /past the end/],
    ['a packed list past its end', 'Lists', '22018001', 'invalid-argument', /past the end/],
    ['text that is not UTF-8', 'Scalars', '4a02c328', 'invalid-argument', /malformed/],
    ['field number 0', 'Scalars', '0000', 'invalid-argument', /malformed/],
    ['the end of a group', 'Scalars', '0c', 'invalid-argument', /malformed/],
    ['2^53', 'Scalars', '308080808080808010', 'invalid-argument', /2\^53/],
    ['2^64-1', 'Scalars', '30ffffffffffffffffff01', 'invalid-argument', /2\^53/],
    ['-2^53', 'Scalars', '2880808080808080f0ff01', 'invalid-argument', /2\^53/],
    ['eleven bytes of varint', 'Scalars', '30ffffffffffffffffffff01', 'invalid-argument', /ten/],
    [
      'an enum value of later',
      'Scalars',
      '580d',
      'unimplemented',
      /unknown value 13 of Colour: upg/,
    ],
    ['one in a list', 'Lists', '5a020102', 'unimplemented', /unknown value 2 of Colour/],
  ])('decode() refuses %s', (_, name, input, code, message) => {
    const act = (): unknown => call(features, `decode${name}`, Buffer.from(input, 'hex'))

    expect(act).toThrow(expect.objectContaining({ name: 'SwarmError', code }))
    expect(act).toThrow(message)
  })

  test.each([
    ['a number twice', 'Scalars', '18011802', { anInt32: 2 }],
    ['-1 in ten bytes', 'Scalars', '18ffffffffffffffffff01', { anInt32: -1 }],
    ['the largest safe number', 'Scalars', '30ffffffffffffff0f', { anUint64: 2 ** 53 - 1 }],
    [
      'a list that is not packed',
      'Lists',
      '1801180218ffffffffffffffffff01',
      { int32s: [1, 2, -1] },
    ],
    ['a list in two packs', 'Lists', '1a0101180218031a0104', { int32s: [1, 2, 3, 4] }],
    ['a map entry without value', 'Maps', '0a030a0161', { strings: new Map([['a', '']]) }],
    ['a map entry without key', 'Maps', '0a03120162', { strings: new Map([['', 'b']]) }],
    [
      'a map key twice',
      'Maps',
      '0a060a01611201620a060a0161120163',
      { strings: new Map([['a', 'c']]) },
    ],
    ['two members of a oneof', 'Choice', '1201613005', { theBody: { kind: 'number', number: 5 } }],
    ['a member that is its default', 'Choice', '1200', { theBody: { kind: 'text', text: '' } }],
    ['a present zero', 'Optionals', '1000', { anInt32: 0 }],
  ])('decode() reads %s', (_, name, input, expected) => {
    const value = call(features, `decode${name}`, Buffer.from(input, 'hex'))

    expect(value).toStrictEqual({ ...empty(features, name), ...expected })
  })

  test('a field of another wire type is kept as unknown', () => {
    const input = Buffer.from('1a0161', 'hex')

    const value = call(features, 'decodeScalars', input)

    expect(value).toStrictEqual({ ...empty(features, 'Scalars'), $unknown: new Uint8Array(input) })
    expect(call(features, 'encodeScalars', value)).toStrictEqual(new Uint8Array(input))
  })

  test('a million unknown fields take time in proportion', () => {
    const input = new Uint8Array(2_000_000)
    for (let at = 0; at < input.length; at += 2) input[at] = 5 << 3

    const value = call(features, 'decodeChoice', input)

    expect(call(features, 'encodeChoice', value)).toStrictEqual(input)
  })

  test.each([
    ['child', 'child', (inner: Plain) => inner],
    ['a list', 'children', (inner: Plain) => [inner]],
  ])('nesting through %s is limited, the same for encode() and decode()', (_, member, wrap) => {
    const nest = (depth: number): Plain =>
      depth === 0
        ? empty(features, 'Recursive')
        : { ...empty(features, 'Recursive'), [member]: wrap(nest(depth - 1)) }
    const tag = member === 'child' ? 0x0a : 0x12
    let deep = new Uint8Array(0)
    for (let depth = 0; depth < 65; depth++) {
      const { length } = deep
      const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
      deep = Uint8Array.of(tag, ...size, ...deep)
    }

    const deepest = nest(64)
    const bytes = call(features, 'encodeRecursive', deepest)

    expect(call(features, 'decodeRecursive', bytes)).toStrictEqual(deepest)
    expect(() => call(features, 'encodeRecursive', nest(65))).toThrow(/deeper than 64/)
    expect(() => call(features, 'decodeRecursive', deep)).toThrow(/deeper than 64/)
  })

  test.each([
    ['uint64', { anUint64: 2 ** 53 }],
    ['uint64', { anUint64: -1 }],
    ['int64', { anInt64: -(2 ** 53) }],
    ['int64', { anInt64: 1.5 }],
    ['int32', { anInt32: 2 ** 31 }],
    ['uint32', { anUint32: -1 }],
    ['fixed32', { aFixed32: Number.NaN }],
  ])('encode() refuses a number out of the range of %s', (type, change) => {
    const value = { ...empty(features, 'Scalars'), ...change }

    expect(() => call(features, 'encodeScalars', value)).toThrow(
      expect.objectContaining({ code: 'out-of-range', message: expect.stringContaining(type) }),
    )
  })

  test('encode() refuses half a surrogate pair', () => {
    const value = { ...empty(features, 'Scalars'), aString: 'a\ud800' }

    expect(() => call(features, 'encodeScalars', value)).toThrow(/not Unicode/)
  })

  test('encode() after a refusal starts afresh', () => {
    const child = { ...empty(features, 'Scalars'), aString: '\udc00' }
    const value = { ...empty(features, 'Optionals'), message: child }

    expect(() => call(features, 'encodeOptionals', value)).toThrow()
    expect(call(features, 'encodeNothing', {})).toStrictEqual(new Uint8Array(0))
  })

  test.each([10, 64, 65, 5000])('%d bytes read do not change with the input', (length) => {
    const value = { ...empty(features, 'Scalars'), someBytes: new Uint8Array(length).fill(7) }
    const encoded = call(features, 'encodeScalars', value)
    assert(encoded instanceof Uint8Array, 'bytes')
    const pooled = Buffer.concat([Buffer.alloc(3), encoded])

    const decoded = call(features, 'decodeScalars', pooled.subarray(3))
    pooled.fill(0)

    expect(decoded).toStrictEqual(value)
  })

  test('enums are unions without their prefix, with their numbers', () => {
    expect(features.get('ColourNumber')).toStrictEqual({
      none: 0,
      'dark-red': 1,
      below: -3,
      far: 512,
    })
    expect(features.get('LeftKindNumber')).toStrictEqual({ a: 0, b: 1 })
    expect(features.get('RightKindNumber')).toStrictEqual({ z: 0, b: 1 })
  })

  test('nested messages of one name are called after their outer ones', () => {
    expect([...features.keys()]).toEqual(
      expect.arrayContaining(['encodeLeftInner', 'encodeRightInner', 'encodeDeep']),
    )
  })

  test('a service says path, directions, roles and codecs of its methods', () => {
    expect(features.get('bothService')).toStrictEqual({
      name: 'testdata.features.Both',
      methods: {
        echo: method('Echo', 'Scalars', 'Lists', false, false, []),
        watchAll: method('WatchAll', 'Scalars', 'Imported', false, true, ['manager']),
        upload: method('Upload', 'Imported', 'Nothing', true, false, ['worker', 'manager']),
        talk: method('Talk', 'Scalars', 'Scalars', true, true, []),
      },
    })
  })
})

describe('generate()', () => {
  const head = 'syntax = "proto3"; package p; '
  const files: Readonly<Record<string, string>> = {
    'a.proto': `${head} import "sub/b.proto"; message A { B b = 1; }`,
    'sub/b.proto': `${head} message B {}`,
  }

  test('writes what changed, and removes what has no source any more', () => {
    const { protoDir, outDir } = tree('changes', files)

    const first = generate(protoDir, outDir)
    const second = generate(protoDir, outDir)
    writeFileSync(join(protoDir, 'sub/b.proto'), `${head} message B { string name = 1; }`)
    const third = generate(protoDir, outDir)
    rmSync(join(protoDir, 'a.proto'))
    const fourth = generate(protoDir, outDir)

    expect(first).toEqual({
      written: [join(outDir, 'a.ts'), join(outDir, 'sub/b.ts')],
      removed: [],
    })
    expect(second).toEqual({ written: [], removed: [] })
    expect(third).toEqual({ written: [join(outDir, 'sub/b.ts')], removed: [] })
    expect(fourth).toEqual({ written: [], removed: [join(outDir, 'a.ts')] })
    expect(existsSync(join(outDir, 'a.ts'))).toBe(false)
  })

  test('imports relative to the file', () => {
    const { protoDir, outDir } = tree('imports', files)

    generate(protoDir, outDir)

    expect(readFileSync(join(outDir, 'a.ts'), 'utf8')).toContain(
      "import { type B, readB, writeB } from './sub/b.ts'",
    )
  })

  test('writes nothing when one file is refused', () => {
    const { protoDir, outDir } = tree('refused', { ...files, 'c.proto': 'syntax = "proto2";' })

    expect(() => generate(protoDir, outDir)).toThrow('c.proto: not proto3')
    expect(existsSync(outDir)).toBe(false)
  })

  test.each([
    ['a file without syntax', 'package p;', /^a.proto: not proto3$/],
    ['a file without package', 'syntax = "proto3"; message A {}', /^a.proto: no package/],
    ['an edition', 'edition = "2023"; package p;', /^a.proto: not proto3/],
    ['a file option', `${head} option java_package = "x";`, /^a.proto: option java_package/],
    ['a missing import', `${head} import "b.proto";`, /^a.proto: no file b.proto to import/],
    ['an unknown type', `${head} message A { B b = 1; }`, /no such Type or Enum 'B' in Type .p.A/],
    ['sint32', `${head} message A { sint32 x = 1; }`, /^a.proto: p.A.x: type sint32 is not supp/],
    ['fixed64', `${head} message A { fixed64 x = 1; }`, /^a.proto: p.A.x: type fixed64/],
    ['a bool map key', `${head} message A { map<bool, bool> x = 1; }`, /p.A.x: a map key of bool/],
    ['a field option', `${head} message A { repeated int32 x = 1 [packed = false]; }`, /packed/],
    ['a default', `${head} message A { int32 x = 1 [default = 3]; }`, /default/],
    [
      'a message option',
      `${head} message A { option deprecated = true; }`,
      /p.A: option deprecated/,
    ],
    [
      'a method option',
      `${head} message A {} service S { rpc M(A) returns (A) { option (x) = 1; } }`,
      /p.S.M: option \(x\)/,
    ],
    [
      'a shared field that is no message',
      `${head} message A { string x = 1 [(shared) = true]; }`,
      /p.A.x: option \(shared\) but for a single message/,
    ],
    ['a service option', `${head} service S { option (x) = 1; }`, /p.S: option \(x\)/],
    ['extend', `${head} message A {} extend A { int32 x = 1; }`, /p.x: extend is not supported/],
    ['a required field', `${head} message A { required int32 x = 1; }`, /required/],
    ['a group', `${head} message A { repeated group G = 1 {} }`, /a group is not supported/],
    ['an enum without zero', `${head} enum E { E_A = 1; }`, /p.E: a first value other than 0/],
    ['an enum alias', `${head} enum E { option allow_alias = true; A = 0; B = 0; }`, /p.E: option/],
    ['two values of one text', `${head} enum E { E_A = 0; A = 1; }`, /p.E: two values of one text/],
    ['a name that is taken', `${head} message Reader {}`, /the name Reader of .p.Reader is taken/],
    [
      'two types of one name',
      `${head} message A { message B {} message C { message B {} } } message AB {}`,
      /the name AB/,
    ],
    [
      'kind in a oneof',
      `${head} message A { oneof x { string kind = 1; } }`,
      /p.A.kind: this name/,
    ],
  ])('refuses %s', (name, text, message) => {
    const { protoDir, outDir } = tree(`refuses ${name.replaceAll(/\W/g, '-')}`, { 'a.proto': text })

    expect(() => generate(protoDir, outDir)).toThrow(message)
  })

  test('refuses a type of a file that is not imported', () => {
    const { protoDir, outDir } = tree('unimported', {
      'a.proto': `${head} message A { B b = 1; }`,
      'b.proto': `${head} message B {}`,
    })

    expect(() => generate(protoDir, outDir)).toThrow('a.proto: must import b.proto')
  })

  test('refuses two types of one name in one file', () => {
    const { protoDir, outDir } = tree('ambiguous', {
      'a.proto': 'syntax = "proto3"; package q; import "b.proto"; message B { p.B b = 1; }',
      'b.proto': `${head} message B {}`,
    })

    expect(() => generate(protoDir, outDir)).toThrow('a.proto: B is also declared in b.proto')
  })

  test('leaves nothing but TypeScript', () => {
    expect(readdirSync(TESTDATA_OUT).sort()).toEqual(['features.ts', 'nested', 'versions.ts'])
  })

  function tree(
    name: string,
    texts: Readonly<Record<string, string>>,
  ): { readonly protoDir: string; readonly outDir: string } {
    const protoDir = join(scratchDir, 'trees', name)
    for (const [path, text] of Object.entries(texts)) {
      mkdirSync(dirname(join(protoDir, path)), { recursive: true })
      writeFileSync(join(protoDir, path), text)
    }
    return { protoDir, outDir: join(protoDir, 'gen') }
  }
})

async function load(path: string): Promise<Module> {
  return new Map(Object.entries(await import(path)))
}

function call(module: Module, name: string, argument: unknown): unknown {
  const exported = module.get(name)
  assert(typeof exported === 'function', `function ${name}`)
  return exported(argument)
}

function empty(module: Module, message: string): Plain {
  const value = module.get(`empty${message}`)
  assert(typeof value === 'object' && value !== null, `value empty${message}`)
  return { ...value }
}

function method(
  name: string,
  request: string,
  response: string,
  requestStream: boolean,
  responseStream: boolean,
  roles: readonly string[],
): Plain {
  const codec = (text: string): unknown =>
    expect.toSatisfy((value: unknown) => typeof value === 'function' && value.name === text)
  return {
    path: `/testdata.features.Both/${name}`,
    requestStream,
    responseStream,
    roles,
    encodeRequest: codec(`encode${request}`),
    decodeRequest: codec(`decode${request}`),
    encodeResponse: codec(`encode${response}`),
    decodeResponse: codec(`decode${response}`),
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Values of the message's type; below `depth` there are no more messages in it. */
function anyMessage(
  message: MessageType,
  files: readonly ProtoFile[],
  depth: number,
): fc.Arbitrary<Plain> {
  const members = new Map<string, fc.Arbitrary<unknown>>()
  for (const { name, shape, type } of message.fields) {
    if (shape.kind === 'choice') members.set(shape.oneof.name, anyChoice(shape.oneof, files, depth))
    else members.set(name, anyField(shape, type, files, depth))
  }
  const names = [...members.keys()]
  return fc
    .tuple(...members.values())
    .map((values) => Object.fromEntries(values.map((value, i) => [names[i], value])))
}

function anyField(
  shape: Exclude<Field['shape'], { kind: 'choice' }>,
  type: ValueType,
  files: readonly ProtoFile[],
  depth: number,
): fc.Arbitrary<unknown> {
  const value = anyValue(type, files, depth)
  switch (shape.kind) {
    case 'single':
      return type.kind === 'message' ? orAbsent(value) : (value ?? fc.constant(undefined))
    case 'optional':
      return orAbsent(value)
    case 'list':
      return value === undefined ? fc.constant([]) : fc.array(value, { maxLength: 3 })
    case 'map':
      return value === undefined
        ? fc.constant(new Map())
        : fc
            .uniqueArray(fc.tuple(anyKey(shape.key), value), {
              selector: ([key]) => key,
              maxLength: 3,
            })
            .map((entries) => new Map(entries))
    default:
      return shape satisfies never
  }
}

function orAbsent(value: fc.Arbitrary<unknown> | undefined): fc.Arbitrary<unknown> {
  return value === undefined ? fc.constant(undefined) : fc.option(value, { nil: undefined })
}

function anyChoice(
  oneof: { readonly choices: readonly { readonly name: string; readonly type: ValueType }[] },
  files: readonly ProtoFile[],
  depth: number,
): fc.Arbitrary<unknown> {
  const choices = oneof.choices.flatMap(({ name, type }) => {
    const value = anyValue(type, files, depth)
    return value === undefined ? [] : [value.map((member) => ({ kind: name, [name]: member }))]
  })
  return fc.oneof(fc.constant(undefined), ...choices)
}

/** Undefined for a message at depth 0. */
function anyValue(
  type: ValueType,
  files: readonly ProtoFile[],
  depth: number,
): fc.Arbitrary<unknown> | undefined {
  switch (type.kind) {
    case 'scalar':
      return anyScalar(type.name)
    case 'enum':
      return fc.constantFrom(...enumValues(type, files).map(({ text }) => text))
    case 'message':
      return depth === 0 ? undefined : anyMessage(messageOf(type, files), files, depth - 1)
    default:
      return type satisfies never
  }
}

function anyScalar(name: ScalarName): fc.Arbitrary<unknown> {
  switch (name) {
    case 'int32':
      return fc.integer()
    case 'uint32':
    case 'fixed32':
      return fc.nat({ max: 2 ** 32 - 1 })
    case 'int64':
      return fc.maxSafeInteger()
    case 'uint64':
      return fc.maxSafeNat()
    case 'float':
      return fc.float()
    case 'double':
      return fc.double()
    case 'bool':
      return fc.boolean()
    case 'string':
      return fc.string({ unit: 'binary', maxLength: 200, size: '+1' })
    case 'bytes':
      return fc.uint8Array({ maxLength: 100 })
    default:
      return name satisfies never
  }
}

// protobufjs keeps maps as objects, whose keys come in another order when they look like numbers.
function anyKey(name: ScalarName): fc.Arbitrary<string | number> {
  return name === 'string' ? fc.stringMatching(/^[a-zé/.]{0,8}$/) : fc.nat({ max: 1_000_000 })
}

/** The value as protobufjs' reflection wants it. */
function toReflection(message: MessageType, files: readonly ProtoFile[], value: Plain): Plain {
  const convert = (type: ValueType, one: unknown): unknown => {
    if (type.kind === 'message') return toReflection(messageOf(type, files), files, one as Plain)
    if (type.kind === 'scalar') return one
    return enumValues(type, files).find(({ text }) => text === one)?.number
  }
  const entries = message.fields.flatMap(({ name, shape, type }): [string, unknown][] => {
    if (shape.kind === 'choice') {
      const chosen = value[shape.oneof.name] as Plain | undefined
      const { kind } = chosen ?? {}
      return kind === name ? [[name, convert(type, chosen?.[name])]] : []
    }
    const member = value[name]
    if (member === undefined) return []
    if (Array.isArray(member)) return [[name, member.map((one) => convert(type, one))]]
    if (!(member instanceof Map)) return [[name, convert(type, member)]]
    const sorted = [...member].sort(([a], [b]) => (a < b ? -1 : 1))
    return [[name, Object.fromEntries(sorted.map(([key, one]) => [key, convert(type, one)]))]]
  })
  return Object.fromEntries(entries)
}

function messageOf(
  { name, file }: { readonly name: string; readonly file: string },
  files: readonly ProtoFile[],
): MessageType {
  const home = files.find(({ path }) => path === file)
  return defined(
    home?.messages.find((one) => one.name === name),
    `message ${name}`,
  )
}

function enumValues(
  { name, file }: { readonly name: string; readonly file: string },
  files: readonly ProtoFile[],
): readonly { readonly text: string; readonly number: number }[] {
  const home = files.find(({ path }) => path === file)
  return defined(
    home?.enums.find((one) => one.name === name),
    `enum ${name}`,
  ).values
}
