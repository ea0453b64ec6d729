/**
 * `tsswarm config …` and `tsswarm secret …`, which differ in what the API calls them and in that a
 * secret is never shown again (swarm-mode.md 5.6).
 */
import { readFileSync } from 'node:fs'
import { encodeFilters } from '../client.ts'
import { type CommandSpec, forEachArgument, type World } from '../command.ts'
import { filterFlag, readFilters } from '../filters.ts'
import { INSPECT_FLAGS, inspect } from '../inspect.ts'
import { labelsAt, listAt, textAt, timeAt } from '../json.ts'
import { parseLabels } from '../service/label.ts'
import { formatAgo } from '../text/ago.ts'
import { printListing } from '../text/list.ts'
import { compareNatural } from '../text/table.ts'
import type { TemplateValue } from '../text/template.ts'
import { usageError } from '../usage-error.ts'

type Kind = 'config' | 'secret'

const HEADINGS = {
  ID: 'ID',
  Name: 'NAME',
  CreatedAt: 'CREATED',
  UpdatedAt: 'UPDATED',
  Labels: 'LABELS',
  Label: (key: TemplateValue) => String(key),
}

export const configCommands: readonly CommandSpec[] = commandsOf('config')
export const secretCommands: readonly CommandSpec[] = commandsOf('secret')

function commandsOf(kind: Kind): readonly CommandSpec[] {
  return [createCommand(kind), lsCommand(kind), inspectCommand(kind), rmCommand(kind)]
}

function createCommand(kind: Kind): CommandSpec {
  return {
    name: 'create',
    summary: `Create a ${kind} from a file or standard input`,
    args: kind === 'secret' ? '<name> [file]' : '<name> <file>',
    flags: [{ flags: '-l, --label <KEY=VALUE>', help: `Label of the ${kind}`, isList: true }],
    refused: ['driver', 'template-driver', '-d'],
    examples: [
      `tsswarm ${kind} create app.conf ./app.conf`,
      `printf %s "$VALUE" | tsswarm ${kind} create app.conf -`,
    ],
    run: async ({ args, flags, world, client }) => {
      const [name = '', file = '-'] = args
      const data = await readData(world, file)
      const reply = await client.post(`/${kind}s/create`, {
        body: {
          Name: name,
          Labels: parseLabels(flags.list('label'), 'label'),
          Data: data.toString('base64'),
        },
      })
      world.print(flags.has('json') ? JSON.stringify(reply) : textAt(reply, 'ID'))
    },
  }
}

function lsCommand(kind: Kind): CommandSpec {
  return {
    name: 'ls',
    aliases: ['list'],
    summary: `List ${kind}s`,
    args: '',
    flags: [
      filterFlag('id, label, name'),
      { flags: '--format <FORMAT>', help: 'table, json or a Go template' },
      { flags: '-q, --quiet', help: 'Print ids alone' },
    ],
    examples: [`tsswarm ${kind} ls`, `tsswarm ${kind} ls --filter label=app=web -q`],
    run: async ({ flags, world, client }) => {
      const reply = await client.get(`/${kind}s`, { filters: encodeFilters(readFilters(flags)) })
      const objects = [...listAt(reply)].sort((a, b) =>
        compareNatural(textAt(a, 'Spec', 'Name'), textAt(b, 'Spec', 'Name')),
      )
      const nowMs = world.nowMs()
      printListing(world, flags, {
        rows: objects.map((object) => {
          const labels = labelsAt(object, 'Spec', 'Labels')
          return {
            ID: textAt(object, 'ID'),
            Name: textAt(object, 'Spec', 'Name'),
            CreatedAt: formatAgo(timeAt(object, 'CreatedAt'), nowMs),
            UpdatedAt: formatAgo(timeAt(object, 'UpdatedAt'), nowMs),
            Labels: [...labels].map(([key, value]) => `${key}=${value}`).join(','),
            Label: (key) => labels.get(String(key)) ?? '',
          }
        }),
        headings: HEADINGS,
        table: '{{.ID}}\t{{.Name}}\t{{.CreatedAt}}\t{{.UpdatedAt}}',
        quiet: '{{.ID}}',
        objects,
      })
    },
  }
}

function inspectCommand(kind: Kind): CommandSpec {
  return {
    name: 'inspect',
    summary: `Show ${kind}s in full`,
    args: `<${kind}...>`,
    flags: INSPECT_FLAGS,
    examples: [`tsswarm ${kind} inspect --pretty app.conf`],
    run: async ({ args, flags, world, client }) => {
      const { formatSecret } = await import('../pretty/secret.ts')
      await inspect(world, flags, {
        refs: args,
        find: (ref) => client.get(`/${kind}s/${encodeURIComponent(ref)}`),
        formatPretty: formatSecret,
      })
    },
  }
}

function rmCommand(kind: Kind): CommandSpec {
  return {
    name: 'rm',
    aliases: ['remove'],
    summary: `Remove ${kind}s`,
    args: `<${kind}...>`,
    flags: [],
    examples: [`tsswarm ${kind} rm app.conf`],
    run: ({ args, flags, world, client }) =>
      forEachArgument(args, async (ref) => {
        await client.delete(`/${kind}s/${encodeURIComponent(ref)}`)
        world.print(flags.has('json') ? JSON.stringify({ ID: ref }) : ref)
      }),
  }
}

async function readData(world: World, file: string): Promise<Buffer> {
  if (file !== '-') {
    try {
      return readFileSync(file)
    } catch (cause) {
      throw usageError(
        `file ${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      )
    }
  }
  if (world.isStdinTty)
    throw usageError('standard input is a terminal: name a file, or pipe the data')
  const chunks: Uint8Array[] = []
  for await (const chunk of world.stdin) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
