/**
 * One run of the command line: finds the command, loads its module and no other, runs it, and turns
 * whatever happens into an exit code: 0 done, 1 refused or failed, 125 not understood. It owns the
 * list of commands and the flags that stand before them.
 */
import { Command, CommanderError, Option } from 'commander'
import manifest from '../package.json' with { type: 'json' }
import { Client, findEndpoint, parseConsistency } from './client.ts'
import {
  addCommand,
  type CommandSpec,
  type Given,
  messageOf,
  spellSwitches,
  type World,
} from './command.ts'
import { exitCodeOf, USAGE_EXIT_CODE } from './usage-error.ts'

type Entry = {
  readonly name: string
  readonly summary: string
  /** One command, or the commands of a group. */
  readonly load: () => Promise<CommandSpec | readonly CommandSpec[]>
}

const ENTRIES: readonly Entry[] = [
  {
    name: 'daemon',
    summary: 'Run this node: an agent, and a manager if it has that role',
    load: async () => (await import('./command/daemon.ts')).daemonCommand,
  },
  {
    name: 'init',
    summary: 'Start a swarm with this node as its manager',
    load: async () => (await import('./command/swarm.ts')).initCommand,
  },
  {
    name: 'join',
    summary: 'Join a swarm as a worker or manager',
    load: async () => (await import('./command/swarm.ts')).joinCommand,
  },
  {
    name: 'leave',
    summary: 'Leave the swarm',
    load: async () => (await import('./command/swarm.ts')).leaveCommand,
  },
  {
    name: 'join-token',
    summary: 'Show or rotate the token that nodes join with',
    load: async () => (await import('./command/swarm.ts')).joinTokenCommand,
  },
  {
    name: 'info',
    summary: 'Show this node and its swarm',
    load: async () => (await import('./command/info.ts')).infoCommand,
  },
  {
    name: 'version',
    summary: 'Show the versions of command line and daemon',
    load: async () => (await import('./command/version.ts')).versionCommand,
  },
  {
    name: 'swarm',
    summary: 'Manage the swarm',
    load: async () => (await import('./command/swarm.ts')).swarmCommands,
  },
  {
    name: 'node',
    summary: 'Manage the nodes of the swarm',
    load: async () => (await import('./command/node.ts')).nodeCommands,
  },
  {
    name: 'service',
    summary: 'Manage services',
    load: async () => (await import('./command/service.ts')).serviceCommands,
  },
  {
    name: 'config',
    summary: 'Manage configs',
    load: async () => (await import('./command/secret.ts')).configCommands,
  },
  {
    name: 'secret',
    summary: 'Manage secrets',
    load: async () => (await import('./command/secret.ts')).secretCommands,
  },
]

/** Flags before the command; all of them take a value. */
const HOST_OPTIONS = [
  [
    '-H, --host <ADDRESS>',
    'The daemon: unix:///PATH or tcp://HOST:PORT (env TSSWARM_HOST, DOCKER_HOST)',
  ],
  ['--tlscacert <FILE>', 'Certificates that the daemon of tcp:// is trusted by'],
  ['--tlscert <FILE>', 'Certificate to show to it'],
  ['--tlskey <FILE>', 'Key of that certificate'],
  [
    '--consistency <KIND>',
    'stale: show what the asked manager has, also without a leader; or linearizable (env TSSWARM_CONSISTENCY)',
  ],
] as const

type Found = {
  readonly entry: Entry
  readonly commands: readonly CommandSpec[]
  readonly isGroup: boolean
}

/** The exit code; output and errors stand in the world. Never throws. */
export async function run(args: readonly string[], world: World): Promise<number> {
  const asked = spellHelp(args)
  let path = 'tsswarm'
  let spec: CommandSpec | undefined
  try {
    const found = await loadCommands(asked)
    spec = found && findSpec(found, asked)
    if (found !== undefined)
      path = ['tsswarm', found.entry.name, ...(found.isGroup && spec ? [spec.name] : [])].join(' ')
    const program = newProgram(found, world)
    await program.parseAsync([...spellSwitches(program, asked)], { from: 'user' })
    return 0
  } catch (error) {
    return report(error, { world, path, spec, isJson: asked.includes('--json') })
  }
}

/** `help service create` and nothing at all are other words for `--help`. */
function spellHelp(args: readonly string[]): readonly string[] {
  if (args.length === 0) return ['--help']
  return args[0] === 'help' ? [...args.slice(1), '--help'] : args
}

async function loadCommands(args: readonly string[]): Promise<Found | undefined> {
  const name = args[findOperand(args, 0)]
  const entry = ENTRIES.find((candidate) => candidate.name === name)
  if (entry === undefined) return undefined
  const loaded = await entry.load()
  return 'run' in loaded
    ? { entry, commands: [loaded], isGroup: false }
    : { entry, commands: loaded, isGroup: true }
}

function findSpec(found: Found, args: readonly string[]): CommandSpec | undefined {
  if (!found.isGroup) return found.commands[0]
  const name = args[findOperand(args, findOperand(args, 0) + 1)] ?? ''
  return found.commands.find((spec) => spec.name === name || spec.aliases?.includes(name))
}

/** Position of the first argument from there on that is no flag before the command. */
function findOperand(args: readonly string[], from: number): number {
  const takesNext = HOST_OPTIONS.flatMap(([flags]) => flags.match(/-[\w-]+/g) ?? [])
  let position = from
  while (args[position]?.startsWith('-'))
    position += takesNext.includes(args[position] ?? '') ? 2 : 1
  return position
}

function newProgram(found: Found | undefined, world: World): Command {
  const program = new Command('tsswarm')
    .description('A swarm of container hosts: services, their tasks, and the nodes they run on')
    .version(`tsswarm version ${manifest.version}`, '-v, --version', 'Show the version')
    .helpOption('-h, --help', 'Show help')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: world.write,
      writeErr: (text) => world.warn(text.trimEnd()),
      outputError: () => undefined,
    })
  for (const [flags, help] of HOST_OPTIONS) program.addOption(new Option(flags, help))
  program.addHelpText(
    'after',
    "\nRun 'tsswarm COMMAND --help' for more on a command; its flags stand after it.",
  )
  for (const entry of ENTRIES) addEntry(program, entry, entry === found?.entry ? found : undefined)
  return program

  function addEntry(parent: Command, entry: Entry, loaded: Found | undefined): void {
    const [only] = loaded?.commands ?? []
    if (loaded !== undefined && !loaded.isGroup && only !== undefined) {
      addCommand(parent, only, start)
      return
    }
    const group = parent.command(entry.name).helpCommand(false)
    group.summary(entry.summary).description(entry.summary)
    for (const spec of loaded?.commands ?? []) addCommand(group, spec, start)
  }

  async function start(spec: CommandSpec, given: Given): Promise<void> {
    const client = new Client(
      findEndpoint(
        {
          host: textOf(program, 'host'),
          tlscacert: textOf(program, 'tlscacert'),
          tlscert: textOf(program, 'tlscert'),
          tlskey: textOf(program, 'tlskey'),
        },
        world.env,
      ),
      parseConsistency(textOf(program, 'consistency') ?? world.env['TSSWARM_CONSISTENCY']),
    )
    await spec.run({ ...given, world, client })
  }
}

function textOf(program: Command, name: string): string | undefined {
  const value: unknown = program.getOptionValue(name)
  return typeof value === 'string' ? value : undefined
}

/** The failure stands on stderr, as one JSON object where that was asked for; the exit code. */
function report(
  error: unknown,
  run: {
    readonly world: World
    readonly path: string
    readonly spec: CommandSpec | undefined
    readonly isJson: boolean
  },
): number {
  if (error instanceof CommanderError && /^commander\.(?:helpDisplayed|version)$/.test(error.code))
    return 0
  // A group without its command: its help has been printed.
  if (error instanceof CommanderError && error.code === 'commander.help') return USAGE_EXIT_CODE
  const exitCode = error instanceof CommanderError ? USAGE_EXIT_CODE : exitCodeOf(error)
  const message = error instanceof CommanderError ? explainUsage(error, run.spec) : messageOf(error)
  if (run.isJson) run.world.warn(JSON.stringify({ message }))
  else if (exitCode === USAGE_EXIT_CODE)
    run.world.warn(`${run.path}: ${message}\nSee '${run.path} --help'.`)
  else run.world.warn(message)
  return exitCode
}

function explainUsage(error: CommanderError, spec: CommandSpec | undefined): string {
  const flag = /unknown option '(--?[^'=]+)/.exec(error.message)?.[1] ?? ''
  if (spec?.refused?.includes(flag.replace(/^--/, '')))
    return `${flag} is a flag of Docker's that is not supported yet`
  if (/^(?:-H|--host|--tls\w+|--consistency)$/.test(flag))
    return `${flag} stands before the command`
  return error.message.replace(/^error: /, '').replace('unknown option', 'unknown flag')
}
