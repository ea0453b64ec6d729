/**
 * The grammar of Go's text/template as `--format` needs it: text, fields, pipelines, calls of
 * functions, `if`, `range`, `with`, variables and trimming. What is outside of it (`define`,
 * `template`, `block`, `break`) is refused. `template.ts` says what the tree means.
 */
import { usageError } from '../usage-error.ts'

export type Operand =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | undefined }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'dot'; readonly fields: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly fields: readonly string[] }
  | { readonly kind: 'group'; readonly pipe: Pipe; readonly fields: readonly string[] }

/** Operands of one call: the first is called with the others. */
export type Call = readonly Operand[]
/** Each call gets the result of the one before as its last argument. */
export type Pipe = readonly Call[]

export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly pipe: Pipe }
  | { readonly kind: 'assign'; readonly name: string; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with' | 'range'
      readonly names: readonly string[]
      readonly pipe: Pipe
      readonly body: readonly TemplateNode[]
      readonly otherwise: readonly TemplateNode[]
    }

const ACTION = /\{\{(-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\s-\}\}|\}\})[\s\S])*)(\s-)?\}\}/g
const TOKEN =
  /\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+(?:\.\d+)?)|(:=|[|(),])|(\$\w*)|((?:\.\w+)+|\.)|(\w+))/y

type Token = {
  readonly kind: 'text' | 'number' | 'sign' | 'variable' | 'field' | 'word'
  readonly text: string
}
type Piece = { readonly kind: 'text' | 'action'; readonly text: string }

/** The tree of a template; a usage error that quotes what cannot be understood. */
export function parseTemplate(source: string): readonly TemplateNode[] {
  const pieces = splitPieces(source)
  const { nodes, end, next } = parseNodes(pieces, 0)
  if (end !== undefined || next < pieces.length)
    throw broken(`{{${end ?? ''}}} stands outside of if, range and with`)
  return nodes
}

/** Text and actions in turn, trimmed where `{{-` and `-}}` say so. */
function splitPieces(source: string): readonly Piece[] {
  const pieces: Piece[] = []
  let from = 0
  let isTrimming = false
  const pushText = (text: string): void => {
    const trimmed = isTrimming ? text.trimStart() : text
    if (trimmed !== '') pieces.push({ kind: 'text', text: trimmed })
  }
  for (const match of source.matchAll(ACTION)) {
    const text = source.slice(from, match.index)
    pushText(match[1] === undefined ? text : text.trimEnd())
    const action = (match[2] ?? '').trim()
    if (!action.startsWith('/*')) pieces.push({ kind: 'action', text: action })
    isTrimming = match[3] !== undefined
    from = match.index + match[0].length
  }
  const rest = source.slice(from)
  if (rest.includes('{{')) throw broken(`unclosed action: ${rest.slice(rest.indexOf('{{'))}`)
  pushText(rest)
  return pieces
}

type Parsed = {
  readonly nodes: readonly TemplateNode[]
  /** `end` or `else …` that ended the list, undefined at the end of the source. */
  readonly end: string | undefined
  readonly next: number
}

function parseNodes(pieces: readonly Piece[], from: number): Parsed {
  const nodes: TemplateNode[] = []
  let position = from
  for (let piece = pieces[position]; piece !== undefined; piece = pieces[position]) {
    position += 1
    if (piece.kind === 'text') {
      nodes.push({ kind: 'text', text: piece.text })
      continue
    }
    const word = /^(?:if|with|range|end|else)\b/.exec(piece.text)?.[0]
    if (word === 'end' || word === 'else') return { nodes, end: piece.text, next: position }
    if (word === 'if' || word === 'with' || word === 'range') {
      const block = parseBlock(pieces, {
        position,
        kind: word,
        header: piece.text.slice(word.length),
      })
      nodes.push(block.node)
      position = block.next
    } else nodes.push(parseAction(piece.text))
  }
  return { nodes, end: undefined, next: position }
}

function parseBlock(
  pieces: readonly Piece[],
  block: {
    readonly position: number
    readonly kind: 'if' | 'with' | 'range'
    readonly header: string
  },
): { readonly node: TemplateNode; readonly next: number } {
  const { names, pipe } = parseHeader(block.header)
  const body = parseNodes(pieces, block.position)
  const otherwise = parseElse(pieces, body)
  if (otherwise.end !== 'end') throw broken(`{{${block.kind}${block.header}}} has no {{end}}`)
  const node = { kind: block.kind, names, pipe, body: body.nodes, otherwise: otherwise.nodes }
  return { node, next: otherwise.next }
}

/** What stands between `else` and `end`; `else if` is a block of its own that shares the `end`. */
function parseElse(pieces: readonly Piece[], body: Parsed): Parsed {
  if (body.end === undefined || body.end === 'end') return { ...body, nodes: [] }
  const chained = /^else\s+(if|with)\b(.*)$/s.exec(body.end)
  if (chained === null) {
    if (body.end !== 'else') throw broken(`{{${body.end}}} is not understood`)
    return parseNodes(pieces, body.next)
  }
  const kind = chained[1] === 'if' ? 'if' : 'with'
  const { node, next } = parseBlock(pieces, { position: body.next, kind, header: chained[2] ?? '' })
  return { nodes: [node], end: 'end', next }
}

function parseAction(text: string): TemplateNode {
  const { names, pipe } = parseHeader(text)
  const [name, second] = names
  if (second !== undefined) throw broken(`{{${text}}} sets two variables`)
  return name === undefined ? { kind: 'output', pipe } : { kind: 'assign', name, pipe }
}

/** `$key, $value := PIPE` or just a pipe. */
function parseHeader(text: string): { readonly names: readonly string[]; readonly pipe: Pipe } {
  const tokens = tokenize(text)
  const assign = tokens.findIndex((token) => token.text === ':=' && token.kind === 'sign')
  const names = tokens.slice(0, Math.max(0, assign)).filter(({ text: name }) => name !== ',')
  if (names.some(({ kind }) => kind !== 'variable')) throw broken(`{{${text}}} is not understood`)
  const reader = { tokens: tokens.slice(assign + 1), position: 0, source: text }
  const pipe = readPipe(reader)
  if (reader.position < reader.tokens.length) throw broken(`unexpected ) in {{${text}}}`)
  return { names: names.map(({ text: name }) => name), pipe }
}

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = []
  const kinds = ['text', 'number', 'sign', 'variable', 'field', 'word'] as const
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const from = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    const found = kinds.findIndex((_, group) => match?.[group + 1] !== undefined)
    const kind = kinds[found]
    if (match === null || kind === undefined)
      throw broken(`unexpected "${text.slice(from).trim()}" in {{${text}}}`)
    tokens.push({ kind, text: match[found + 1] ?? '' })
  }
  return tokens
}

type Reader = { readonly tokens: readonly Token[]; position: number; readonly source: string }

function readPipe(reader: Reader): Pipe {
  const calls: Operand[][] = [[]]
  for (
    let token = reader.tokens[reader.position];
    token !== undefined;
    token = reader.tokens[reader.position]
  ) {
    if (token.kind === 'sign' && token.text === ')') break
    reader.position += 1
    if (token.kind === 'sign' && token.text === '|') calls.push([])
    else calls.at(-1)?.push(readOperand(reader, token))
  }
  if (calls.some((call) => call.length === 0)) throw broken(`missing value in {{${reader.source}}}`)
  return calls
}

function readOperand(reader: Reader, token: Token): Operand {
  switch (token.kind) {
    case 'text':
      return { kind: 'literal', value: unquote(token.text) }
    case 'number':
      return { kind: 'literal', value: Number(token.text) }
    case 'field':
      return { kind: 'dot', fields: token.text.split('.').filter((name) => name !== '') }
    case 'variable':
      return { kind: 'variable', name: token.text, fields: readFields(reader) }
    case 'word':
      return readWord(token.text)
    case 'sign': {
      if (token.text !== '(') throw broken(`unexpected ${token.text} in {{${reader.source}}}`)
      const pipe = readPipe(reader)
      if (reader.tokens[reader.position]?.text !== ')')
        throw broken(`missing ) in {{${reader.source}}}`)
      reader.position += 1
      return { kind: 'group', pipe, fields: readFields(reader) }
    }
    default:
      return token.kind satisfies never
  }
}

function readWord(word: string): Operand {
  if (word === 'true' || word === 'false') return { kind: 'literal', value: word === 'true' }
  return word === 'nil' ? { kind: 'literal', value: undefined } : { kind: 'function', name: word }
}

/** Fields that follow a variable or a group, as in `$service.Spec`. */
function readFields(reader: Reader): readonly string[] {
  const token = reader.tokens[reader.position]
  if (token?.kind !== 'field' || token.text === '.') return []
  reader.position += 1
  return token.text.split('.').filter((name) => name !== '')
}

function unquote(text: string): string {
  if (text.startsWith('`')) return text.slice(1, -1)
  return text
    .slice(1, -1)
    .replaceAll(/\\(.)/g, (_, letter: string) => ({ n: '\n', t: '\t', r: '\r' })[letter] ?? letter)
}

function broken(reason: string): Error {
  return usageError(`template parsing error: ${reason}`)
}
