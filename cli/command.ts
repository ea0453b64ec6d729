/**
 * What a command of the command line is: a name, flags, examples and what to do, as data. It owns
 * the meeting with commander: how such data becomes a command, how Docker's habits are kept
 * (`--detach=false`; flags after IMAGE are the container's), and how values given are read. Every
 * command has `--json`; which commands there are is `run.ts`'s.
 */
import { type Command, Option } from 'commander'
import { assert } from '../lib/assert.ts'
import type { Client } from './client.ts'
import { usageError } from './usage-error.ts'

/** The world of one command: all that is not an argument. */
export type World = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly isStdinTty: boolean
  /** Write without a newline. */
  readonly write: (text: string) => void
  /** A line on stdout. */
  readonly print: (line: string) => void
  /** A line on stderr. */
  readonly warn: (line: string) => void
  /** Width of the terminal on stdout, undefined where it is none. */
  readonly columns: number | undefined
  readonly nowMs: () => number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Calls back at Ctrl-C instead of ending the process; the result undoes that. */
  readonly onInterrupt: (listener: () => void) => () => void
}

export type FlagSpec = {
  /** As commander wants them: `-e, --env <KEY=VALUE>`; without a value it is a switch. */
  readonly flags: string
  readonly help: string
  /** May be given again and again. */
  readonly isList?: boolean
}

export type CommandSpec = {
  readonly name: string
  readonly aliases?: readonly string[]
  readonly summary: string
  /** `<service...>`, empty for none. */
  readonly args: string
  readonly flags: readonly FlagSpec[]
  /** Lines for `--help`, without the prompt. */
  readonly examples: readonly string[]
  /** Whether what follows the first argument is not ours to read. */
  readonly isPassThrough?: boolean
  /** Flags of Docker's that this version does not have. */
  readonly refused?: readonly string[]
  readonly run: (invocation: Invocation) => Promise<void>
}

export type Invocation = {
  readonly args: readonly string[]
  readonly flags: Flags
  readonly world: World
  readonly client: Client
}

/** What stands on the command line itself. */
export type Given = Pick<Invocation, 'args' | 'flags'>

/** The values given to a command's flags, by the long name without its dashes. */
export type Flags = {
  /** Whether it was given, with any value. */
  readonly isGiven: (name: string) => boolean
  /** Whether a switch is on. */
  readonly has: (name: string) => boolean
  /** Given and off is `false`, not given is undefined. */
  readonly choice: (name: string) => boolean | undefined
  readonly text: (name: string) => string | undefined
  readonly list: (name: string) => readonly string[]
}

const JSON_FLAG: FlagSpec = { flags: '--json', help: 'Machine-readable output, errors too' }

/** A flag's long name without dashes. */
export function nameOfFlag(flags: string): string {
  const long = /--([a-z0-9-]+)/.exec(flags)?.[1]
  assert(long !== undefined, `flag "${flags}" has no long name`)
  return long
}

/** The command under its parent; `start` runs it with the values it was given. */
export function addCommand(
  parent: Command,
  spec: CommandSpec,
  start: (spec: CommandSpec, given: Given) => Promise<void>,
): void {
  const command = parent.command(spec.name).summary(spec.summary).description(spec.summary)
  if (spec.args !== '') command.arguments(spec.args)
  command.aliases(spec.aliases ?? [])
  if (spec.isPassThrough) command.passThroughOptions()
  const flags = [...spec.flags, JSON_FLAG]
  for (const flag of flags) addFlag(command, flag)
  if (spec.examples.length > 0)
    command.addHelpText(
      'after',
      `\nExamples:\n${spec.examples.map((line) => `  $ ${line}`).join('\n')}`,
    )
  command.action(() => start(spec, { args: command.args, flags: readFlags(command, flags) }))
}

function addFlag(command: Command, { flags, help, isList }: FlagSpec): void {
  const option = new Option(flags, help)
  if (isList) option.argParser((value: string, before: unknown) => [...asTexts(before), value])
  command.addOption(option)
  // The other side of a switch, for `--detach=false`.
  if (option.isBoolean() && !option.negate)
    command.addOption(new Option(`--no-${nameOfFlag(flags)}`).hideHelp())
}

function readFlags(command: Command, specs: readonly FlagSpec[]): Flags {
  const given = new Map<string, string | boolean | readonly string[]>()
  for (const { flags } of specs) {
    const option = new Option(flags)
    const value: unknown = command.getOptionValue(option.attributeName())
    const name = nameOfFlag(flags)
    if (option.negate) {
      if (value === false) given.set(name, true)
    } else if (typeof value === 'string' || typeof value === 'boolean') given.set(name, value)
    else if (Array.isArray(value)) given.set(name, asTexts(value))
  }
  return flagsOf(new Set(specs.map(({ flags }) => nameOfFlag(flags))), given)
}

/** Values by name; asking for a name that is none of `known` is a bug. */
function flagsOf(
  known: ReadonlySet<string>,
  given: ReadonlyMap<string, string | boolean | readonly string[]>,
): Flags {
  const find = (name: string): string | boolean | readonly string[] | undefined => {
    assert(known.has(name), `the command has no flag --${name}`)
    return given.get(name)
  }
  return {
    isGiven: (name) => find(name) !== undefined,
    has: (name) => find(name) === true,
    choice: (name) => {
      const value = find(name)
      return typeof value === 'boolean' ? value : undefined
    },
    text: (name) => {
      const value = find(name)
      return typeof value === 'string' ? value : undefined
    },
    list: (name) => asTexts(find(name)),
  }
}

function asTexts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

/**
 * The arguments with `--switch=true` and `--switch=false`, as Docker's users write them, in the
 * forms that commander knows. What follows `--` or a pass-through argument is left as it is.
 */
export function spellSwitches(command: Command, args: readonly string[]): readonly string[] {
  const spelt: string[] = []
  for (const [position, arg] of args.entries()) {
    if (arg === '--') return [...spelt, ...args.slice(position)]
    const before = args[position - 1]
    const isValue = before !== undefined && takesNext(command, before) && spelt.length > 0
    if (isValue) {
      spelt.push(arg)
      continue
    }
    if (!arg.startsWith('-')) {
      const child = command.commands.find(
        (sub) => sub.name() === arg || sub.aliases().includes(arg),
      )
      const rest = args.slice(position + 1)
      if (child !== undefined) return [...spelt, arg, ...spellSwitches(child, rest)]
      if (isPassThrough(command)) return [...spelt, arg, ...rest]
    }
    spelt.push(spellSwitch(command, arg))
  }
  return spelt
}

function spellSwitch(command: Command, arg: string): string {
  const match = /^--([a-z0-9-]+)=(.*)$/.exec(arg)
  const [, name, value] = match ?? []
  const option = command.options.find(({ long }) => long === `--${name}`)
  if (name === undefined || option === undefined || !option.isBoolean()) return arg
  if (/^(?:true|t|1)$/i.test(value ?? '')) return `--${name}`
  if (/^(?:false|f|0)$/i.test(value ?? '')) return `--no-${name}`
  throw usageError(`invalid argument "${value}" for "--${name}": use true or false`)
}

function takesNext(command: Command, arg: string): boolean {
  return command.options.some(
    (option) => option.required && (option.long === arg || option.short === arg),
  )
}

function isPassThrough(command: Command): boolean {
  return '_passThroughOptions' in command && command._passThroughOptions === true
}

/** All are done, also after one failed; then one error with every failure, a line each. */
export async function forEachArgument(
  args: readonly string[],
  act: (arg: string) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = []
  for (const arg of args) await act(arg).catch((error: unknown) => failures.push(error))
  if (failures.length === 1) throw failures[0]
  if (failures.length > 0) throw new Error(failures.map(messageOf).join('\n'))
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
