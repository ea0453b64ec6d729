/**
 * The official definition of the Docker Engine API (Swagger 2), as far as replies are checked against
 * it: which paths there are, and whether a JSON value is what a path's reply must be. A member that
 * the definition does not know is a problem too, for a client would never see it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { assert } from '../lib/assert.ts'

const FILE = join(import.meta.dirname, '../../shared/peers/docker-api/engine-v1.50.yaml')

type Json = Readonly<Record<string, unknown>>

export class EngineDefinition {
  readonly #root: Json

  /** Undefined where the file is not there: it is no part of the repository. */
  static find(): EngineDefinition | undefined {
    return existsSync(FILE) ? new EngineDefinition(readFileSync(FILE, 'utf8')) : undefined
  }

  constructor(yaml: string) {
    this.#root = objectOf(parse(yaml))
  }

  /** `GET /services/{id}` and so on. */
  listOperations(): readonly string[] {
    return Object.entries(objectOf(this.#root['paths'])).flatMap(([path, methods]) =>
      Object.keys(objectOf(methods))
        .filter((method) => ['get', 'head', 'post', 'put', 'delete'].includes(method))
        .map((method) => `${method.toUpperCase()} ${path}`),
    )
  }

  /** What is wrong with a JSON reply; none for an operation whose reply has no schema. */
  checkReply(
    operation: string,
    reply: { readonly status: number; readonly body: unknown },
  ): readonly string[] {
    const [method = '', path = ''] = operation.split(' ')
    const responses = objectOf(
      objectOf(objectOf(objectOf(this.#root['paths'])[path])[method.toLowerCase()])['responses'],
    )
    const response = responses[String(reply.status)]
    if (response === undefined) return [`${operation}: status ${reply.status} is not defined`]
    const { schema } = objectOf(response)
    return schema === undefined ? [] : this.#check(objectOf(schema), reply.body, operation)
  }

  /** What is wrong with a value as one of the named definitions. */
  checkDefinition(name: string, value: unknown): readonly string[] {
    return this.#check({ $ref: `#/definitions/${name}` }, value, name)
  }

  #check(schema: Json, value: unknown, path: string): readonly string[] {
    const resolved = this.#resolve(schema)
    if (value === null || value === undefined)
      return resolved['x-nullable'] === true ||
        schema['x-nullable'] === true ||
        isOptional(resolved)
        ? []
        : [`${path}: is null`]
    const { enum: words } = resolved
    if (Array.isArray(words) && !words.includes(value))
      return [`${path}: ${JSON.stringify(value)} is none of ${words.join(', ')}`]
    switch (resolved['type'] ?? (resolved['properties'] ? 'object' : undefined)) {
      case 'object':
        return this.#checkObject(resolved, value, path)
      case 'array':
        return Array.isArray(value)
          ? value.flatMap((item, at) =>
              this.#check(objectOf(resolved['items']), item, `${path}[${at}]`),
            )
          : [`${path}: is no array`]
      case 'string':
        return typeof value === 'string' ? [] : [`${path}: is no string`]
      case 'boolean':
        return typeof value === 'boolean' ? [] : [`${path}: is no boolean`]
      case 'integer':
        return Number.isInteger(value) ? [] : [`${path}: is no integer`]
      case 'number':
        return typeof value === 'number' ? [] : [`${path}: is no number`]
      default:
        return []
    }
  }

  #checkObject(schema: Json, value: unknown, path: string): readonly string[] {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return [`${path}: is no object`]
    const members: Json = { ...value }
    const properties = objectOf(schema['properties'] ?? {})
    const { additionalProperties: additional } = schema
    const isOpen = additional !== undefined || Object.keys(properties).length === 0
    const required = Array.isArray(schema['required']) ? schema['required'] : []
    return [
      ...required
        .filter((name) => !(String(name) in members))
        .map((name) => `${path}.${name}: is missing`),
      ...Object.entries(members).flatMap(([name, member]) => {
        const property = properties[name]
        if (property !== undefined)
          return this.#check(objectOf(property), member, `${path}.${name}`)
        if (!isOpen) return [`${path}.${name}: is not defined`]
        return typeof additional === 'object' && additional !== null
          ? this.#check({ ...additional }, member, `${path}.${name}`)
          : []
      }),
    ]
  }

  /** The schema with its references followed and its parts (allOf) put together. */
  #resolve(schema: Json): Json {
    const reference = schema['$ref']
    if (typeof reference === 'string') {
      let found: unknown = this.#root
      for (const part of reference.replace('#/', '').split('/')) found = objectOf(found)[part]
      return this.#resolve(objectOf(found))
    }
    const parts = schema['allOf']
    if (!Array.isArray(parts)) return schema
    const resolved = parts.map((part) => this.#resolve(objectOf(part)))
    return {
      ...schema,
      ...Object.assign({}, ...resolved),
      properties: Object.assign({}, ...resolved.map(({ properties }) => properties ?? {})),
      required: resolved.flatMap(({ required }) => (Array.isArray(required) ? required : [])),
    }
  }
}

/** Go leaves lists, maps and pointers null; the definition seldom says so. */
function isOptional(schema: Json): boolean {
  return schema['type'] === 'array' || schema['type'] === 'object'
}

function objectOf(value: unknown): Json {
  assert(typeof value === 'object' && value !== null, 'a part of the definition is an object')
  return { ...value }
}
