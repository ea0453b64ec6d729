/**
 * `tsswarm version`: the command line's own version and the daemon's (GET /version). Without a
 * daemon it prints the first and fails, as Docker does; `tsswarm --version` asks nobody.
 */
import manifest from '../../package.json' with { type: 'json' }
import type { CommandSpec } from '../command.ts'
import { type Json, textAt } from '../json.ts'
import { compileTemplate } from '../text/template.ts'

export const versionCommand: CommandSpec = {
  name: 'version',
  summary: 'Show the versions of command line and daemon',
  args: '',
  flags: [{ flags: '-f, --format <TEMPLATE>', help: 'Print by a Go template, or json' }],
  examples: ['tsswarm version', "tsswarm version --format '{{.Server.Version}}'"],
  run: async ({ flags, world, client }) => {
    const own = {
      Version: manifest.version,
      Runtime: `node ${process.version}`,
      Os: process.platform,
      Arch: process.arch,
    }
    const format = flags.text('format')
    const isJson = flags.has('json') || format === 'json'
    if (isJson || format !== undefined) {
      const both = { Client: own, Server: await client.get('/version') }
      world.print(
        isJson ? JSON.stringify(both) : compileTemplate(format ?? '', { isStrict: false })(both),
      )
      return
    }
    world.print(
      [
        'Client: tsswarm',
        ` Version:     ${own.Version}`,
        ` Node.js:     ${process.version}`,
        ` OS/Arch:     ${own.Os}/${own.Arch}`,
      ].join('\n'),
    )
    world.print(formatServer(await client.get('/version')))
  },
}

function formatServer(server: Json): string {
  return [
    '\nServer:',
    ` Version:     ${textAt(server, 'Version')}`,
    ` API version: ${textAt(server, 'ApiVersion')} (minimum version ${textAt(server, 'MinAPIVersion')})`,
    ` OS/Arch:     ${textAt(server, 'Os')}/${textAt(server, 'Arch')}`,
    ` Kernel:      ${textAt(server, 'KernelVersion')}`,
  ].join('\n')
}
