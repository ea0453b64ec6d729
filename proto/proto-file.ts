/**
 * A .proto file as plain data: what `generate.ts` reads out of protobufjs' reflection and `emit.ts`
 * turns into TypeScript. It has no form for what the project does not use (groups, extensions,
 * options, `fixed64`), so `generate.ts` must refuse it. Names are those that TypeScript will see.
 */

/** What a .proto file declares, nested declarations beside the others. */
export interface ProtoFile {
  /** Relative to the tree's folder, with forward slashes: as in an import. */
  readonly path: string
  readonly enums: readonly EnumType[]
  readonly messages: readonly MessageType[]
  readonly services: readonly ServiceType[]
}

export interface EnumType {
  readonly name: string
  readonly comment: string | undefined
  /** The first is 0, the default. */
  readonly values: readonly EnumValue[]
}

export interface EnumValue {
  readonly text: string
  readonly number: number
  readonly comment: string | undefined
}

export interface MessageType {
  readonly name: string
  /** With its package, as in protobuf. */
  readonly fullName: string
  readonly comment: string | undefined
  readonly fields: readonly Field[]
}

export interface Field {
  readonly name: string
  readonly number: number
  readonly comment: string | undefined
  readonly type: ValueType
  /** Equal messages of it are one object, as far as they come soon enough after one another. */
  readonly isShared: boolean
  /** `optional`: absence is not the same as the default. */
  readonly shape:
    | { readonly kind: 'single' | 'optional' | 'list' }
    | { readonly kind: 'map'; readonly key: ScalarName }
    | { readonly kind: 'choice'; readonly oneof: Oneof }
}

export interface Oneof {
  readonly name: string
  readonly comment: string | undefined
  readonly choices: readonly { readonly name: string; readonly type: ValueType }[]
}

/** `file` is the .proto that declares it; `zero` the text of an enum's default. */
export type ValueType =
  | { readonly kind: 'scalar'; readonly name: ScalarName }
  | MessageRef
  | { readonly kind: 'enum'; readonly name: string; readonly file: string; readonly zero: string }

export interface MessageRef {
  readonly kind: 'message'
  readonly name: string
  readonly file: string
}

export interface ServiceType {
  readonly name: string
  readonly fullName: string
  readonly comment: string | undefined
  readonly methods: readonly MethodType[]
}

export interface MethodType {
  readonly name: string
  readonly comment: string | undefined
  readonly request: MessageRef
  readonly response: MessageRef
  readonly requestStream: boolean
  readonly responseStream: boolean
  readonly roles: readonly string[]
}

/** The scalars that the project uses. */
export type ScalarName =
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'fixed32'
  | 'float'
  | 'double'
  | 'bool'
  | 'string'
  | 'bytes'
