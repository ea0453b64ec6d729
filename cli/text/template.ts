/**
 * `--format` templates, carried out: Go's text/template over plain values, with Docker's functions
 * (`json`, `split`, `join`, `title`, `lower`, `upper`, `pad`, `truncate`, `println`) and Go's own
 * (`eq`, `len`, `index`, `printf`, …). Values print as Go prints them: `true`, `[a b]`,
 * `map[k:v]`, and `<no value>` for what is absent. The grammar is `template-parser.ts`'s.
 */
import type { Json } from '../json.ts'
import { usageError } from '../usage-error.ts'
import {
  type Call,
  type Operand,
  type Pipe,
  parseTemplate,
  type TemplateNode,
} from './template-parser.ts'

/** What a row offers: values, and methods such as `.Label "key"`. */
export type TemplateValue = Json | Method | readonly TemplateValue[] | TemplateObject
export type TemplateObject = { readonly [name: string]: TemplateValue }
export type Method = (...args: readonly TemplateValue[]) => TemplateValue

export type Template = (value: TemplateValue) => string

type Scope = {
  readonly dot: TemplateValue
  readonly variables: ReadonlyMap<string, TemplateValue>
  /** Whether an unknown field is the user's mistake, or just absent in this object. */
  readonly isStrict: boolean
}

/**
 * The template as a function. `isStrict`: a field that the value does not have is a usage error
 * that lists those it has, else it prints as `<no value>`.
 */
export function compileTemplate(source: string, options: { readonly isStrict: boolean }): Template {
  const nodes = parseTemplate(source)
  checkFunctions(nodes)
  return (value) =>
    render(nodes, { dot: value, variables: new Map([['$', value]]), isStrict: options.isStrict })
}

function render(nodes: readonly TemplateNode[], outer: Scope): string {
  let scope = outer
  let output = ''
  for (const node of nodes) {
    if (node.kind === 'text') output += node.text
    else if (node.kind === 'output') output += formatValue(evaluate(node.pipe, scope))
    else if (node.kind === 'assign') scope = bind(scope, [[node.name, evaluate(node.pipe, scope)]])
    else if (node.kind === 'range') output += renderRange(node, scope)
    else output += renderChoice(node, scope)
  }
  return output
}

type Block = Extract<TemplateNode, { readonly body: unknown }>

function renderChoice(node: Block, scope: Scope): string {
  const value = evaluate(node.pipe, scope)
  if (!isTruthy(value)) return render(node.otherwise, scope)
  const [name] = node.names
  const inner = name === undefined ? scope : bind(scope, [[name, value]])
  return render(node.body, node.kind === 'with' ? { ...inner, dot: value } : inner)
}

function renderRange(node: Block, scope: Scope): string {
  const value = evaluate(node.pipe, scope)
  const entries: readonly (readonly [TemplateValue, TemplateValue])[] = isList(value)
    ? value.map((item, at) => [at, item] as const)
    : Object.entries(isMembers(value) ? value : {}).sort(([a], [b]) => (a < b ? -1 : 1))
  if (entries.length === 0) return render(node.otherwise, scope)
  const [first, second] = node.names
  return entries
    .map(([key, item]) => {
      const bound: (readonly [string, TemplateValue])[] = []
      if (first !== undefined) bound.push([first, second === undefined ? item : key])
      if (second !== undefined) bound.push([second, item])
      return render(node.body, { ...bind(scope, bound), dot: item })
    })
    .join('')
}

function bind(scope: Scope, values: readonly (readonly [string, TemplateValue])[]): Scope {
  return { ...scope, variables: new Map([...scope.variables, ...values]) }
}

function evaluate(pipe: Pipe, scope: Scope): TemplateValue {
  let piped: readonly TemplateValue[] = []
  for (const call of pipe) piped = [evaluateCall(call, piped, scope)]
  return piped[0]
}

function evaluateCall(
  [first, ...rest]: Call,
  piped: readonly TemplateValue[],
  scope: Scope,
): TemplateValue {
  if (first === undefined) return undefined
  const args = [...rest.map((operand) => evaluateOperand(operand, scope)), ...piped]
  if (first.kind === 'function') return functionNamed(first.name)(...args)
  const value = evaluateOperand(first, scope)
  if (typeof value === 'function') return value(...args)
  if (args.length > 0) throw usageError('template parsing error: a value was given arguments')
  return value
}

function evaluateOperand(operand: Operand, scope: Scope): TemplateValue {
  switch (operand.kind) {
    case 'literal':
      return operand.value
    case 'function':
      return functionNamed(operand.name)()
    case 'dot':
      return followFields(scope.dot, operand.fields, scope)
    case 'variable':
      if (!scope.variables.has(operand.name))
        throw usageError(`template parsing error: undefined variable "${operand.name}"`)
      return followFields(scope.variables.get(operand.name), operand.fields, scope)
    case 'group':
      return followFields(evaluate(operand.pipe, scope), operand.fields, scope)
    default:
      return operand satisfies never
  }
}

function followFields(from: TemplateValue, fields: readonly string[], scope: Scope): TemplateValue {
  let value = from
  for (const name of fields) {
    if (isMembers(value) && Object.hasOwn(value, name)) value = value[name]
    else if (scope.isStrict && isMembers(value))
      throw usageError(
        `template parsing error: there is no field ".${name}", use one of ${Object.keys(value)
          .map((known) => `.${known}`)
          .join(' ')}`,
      )
    else return undefined
  }
  return value
}

const FUNCTIONS: Readonly<Record<string, Method>> = {
  json: (value) => JSON.stringify(value) ?? 'null',
  split: (text, separator) => formatValue(text).split(formatValue(separator)),
  join: (list, separator) => itemsOf(list).map(formatValue).join(formatValue(separator)),
  title: (text) => formatValue(text).replaceAll(/(^|\s)\S/g, (letter) => letter.toUpperCase()),
  lower: (text) => formatValue(text).toLowerCase(),
  upper: (text) => formatValue(text).toUpperCase(),
  pad: (text, before, after) =>
    formatValue(text) === ''
      ? ''
      : ' '.repeat(Number(before)) + formatValue(text) + ' '.repeat(Number(after)),
  truncate: (text, length) => [...formatValue(text)].slice(0, Number(length)).join(''),
  print: (...values) => values.map(formatValue).join(' '),
  println: (...values) => `${values.map(formatValue).join(' ')}\n`,
  printf: (format, ...values) => printf(formatValue(format), values),
  len: (value) => (typeof value === 'string' ? value.length : itemsOf(value).length),
  index: (value, ...keys) => keys.reduce(memberOf, value),
  eq: (left, ...rights) => rights.some((right) => isSame(left, right)),
  ne: (left, right) => !isSame(left, right),
  lt: (left, right) => compare(left, right) < 0,
  le: (left, right) => compare(left, right) <= 0,
  gt: (left, right) => compare(left, right) > 0,
  ge: (left, right) => compare(left, right) >= 0,
  not: (value) => !isTruthy(value),
  and: (...values) => values.find((value) => !isTruthy(value)) ?? values.at(-1),
  or: (...values) => values.find(isTruthy) ?? values.at(-1),
}

function functionNamed(name: string): Method {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (found === undefined)
    throw usageError(`template parsing error: function "${name}" not defined`)
  return found
}

/** So that a misspelt function is refused also where the list is empty. */
function checkFunctions(nodes: readonly TemplateNode[]): void {
  const checkPipe = (pipe: Pipe): void => {
    for (const operand of pipe.flat()) {
      if (operand.kind === 'function') functionNamed(operand.name)
      if (operand.kind === 'group') checkPipe(operand.pipe)
    }
  }
  for (const node of nodes) {
    if (node.kind === 'text') continue
    checkPipe(node.pipe)
    if ('body' in node) checkFunctions([...node.body, ...node.otherwise])
  }
}

/** As Go's `fmt` prints a value. */
export function formatValue(value: TemplateValue): string {
  if (value === undefined || value === null) return '<no value>'
  if (isList(value)) return `[${value.map(formatValue).join(' ')}]`
  if (!isMembers(value)) return String(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `map[${members.map(([key, member]) => `${key}:${formatValue(member)}`).join(' ')}]`
}

function printf(format: string, values: readonly TemplateValue[]): string {
  let next = 0
  return format.replaceAll(
    /%(-?)(\d*)(?:\.(\d+))?([%svdqt])/g,
    (_, left: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%'
      const value = formatValue(values[next])
      next += 1
      const cut = precision === undefined ? value : value.slice(0, Number(precision))
      const text = verb === 'q' ? JSON.stringify(cut) : cut
      return left === '-' ? text.padEnd(Number(width)) : text.padStart(Number(width))
    },
  )
}

function isTruthy(value: TemplateValue): boolean {
  if (isList(value)) return value.length > 0
  if (isMembers(value)) return Object.keys(value).length > 0
  return Boolean(value)
}

function isSame(left: TemplateValue, right: TemplateValue): boolean {
  return left === right || (left === undefined && right === null)
}

function compare(left: TemplateValue, right: TemplateValue): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right
  const [a, b] = [formatValue(left), formatValue(right)]
  return a < b ? -1 : a > b ? 1 : 0
}

function memberOf(value: TemplateValue, key: TemplateValue): TemplateValue {
  if (isList(value)) return value[Number(key)]
  return isMembers(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined
}

function itemsOf(value: TemplateValue): readonly TemplateValue[] {
  if (isList(value)) return value
  return isMembers(value) ? Object.values(value) : []
}

function isList(value: TemplateValue): value is readonly TemplateValue[] {
  return Array.isArray(value)
}

function isMembers(value: TemplateValue): value is TemplateObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
