/**
 * `tsswarm info`: this node and what it knows of its swarm (GET /info), which never waits for a
 * quorum. The form is that of `docker info`'s swarm block.
 */
import { formatDuration } from '../../lib/amount.ts'
import type { CommandSpec } from '../command.ts'
import { at, flagAt, type Json, listAt, numberAt, textAt, textsAt } from '../json.ts'
import { formatLines, type Line } from '../pretty/lines.ts'
import { compileTemplate } from '../text/template.ts'
import { formatBytes } from '../text/units.ts'

export const infoCommand: CommandSpec = {
  name: 'info',
  summary: 'Show this node and its swarm',
  args: '',
  flags: [{ flags: '-f, --format <TEMPLATE>', help: 'Print by a Go template, or json' }],
  examples: ['tsswarm info', "tsswarm info --format '{{.Swarm.LocalNodeState}}'"],
  run: async ({ flags, world, client }) => {
    const info = await client.get('/info')
    const format = flags.text('format')
    if (flags.has('json') || format === 'json') world.print(JSON.stringify(info))
    else if (format !== undefined) world.print(compileTemplate(format, { isStrict: false })(info))
    else {
      world.print(formatInfo(info))
      for (const warning of textsAt(info, 'Warnings')) world.warn(`WARNING: ${warning}`)
    }
  },
}

function formatInfo(info: Json): string {
  const host = formatLines([
    ['Name', textAt(info, 'Name')],
    ['Server Version', textAt(info, 'ServerVersion')],
    [
      'Containers',
      `${numberAt(info, 'Containers')} (${numberAt(info, 'ContainersRunning')} running)`,
    ],
    ['Operating System', textAt(info, 'OperatingSystem')],
    ['Kernel Version', textAt(info, 'KernelVersion')],
    ['OSType', textAt(info, 'OSType')],
    ['Architecture', textAt(info, 'Architecture')],
    ['CPUs', String(numberAt(info, 'NCPU'))],
    ['Total Memory', formatBytes(numberAt(info, 'MemTotal'))],
    ['State Dir', textAt(info, 'DockerRootDir')],
    ['Labels', textsAt(info, 'Labels').join(', ')],
  ])
  const swarm = formatLines(swarmLines(at(info, 'Swarm')), ' ')
  const state = textAt(info, 'Swarm', 'LocalNodeState')
  return `${host}\nSwarm: ${state}${swarm === '' ? '' : `\n${swarm}`}`
}

function swarmLines(swarm: Json): readonly Line[] {
  if (textAt(swarm, 'NodeID') === '') return []
  const isManager = flagAt(swarm, 'ControlAvailable')
  const cluster = at(swarm, 'Cluster')
  const spec = at(cluster, 'Spec')
  const managers = listAt(swarm, 'RemoteManagers').map((manager) => textAt(manager, 'Addr'))
  return [
    ['NodeID', textAt(swarm, 'NodeID')],
    ['Error', textAt(swarm, 'Error')],
    ['Is Manager', String(isManager)],
    ['ClusterID', textAt(cluster, 'ID')],
    ['Managers', isManager ? String(numberAt(swarm, 'Managers')) : ''],
    ['Nodes', isManager ? String(numberAt(swarm, 'Nodes')) : ''],
    [
      'Orchestration',
      cluster === undefined
        ? ''
        : [
            [
              'Task History Retention Limit',
              String(numberAt(spec, 'Orchestration', 'TaskHistoryRetentionLimit')),
            ],
          ],
    ],
    [
      'Raft',
      cluster === undefined
        ? ''
        : [['Snapshot Interval', String(numberAt(spec, 'Raft', 'SnapshotInterval'))]],
    ],
    [
      'Dispatcher',
      cluster === undefined
        ? ''
        : [['Heartbeat Period', formatDuration(numberAt(spec, 'Dispatcher', 'HeartbeatPeriod'))]],
    ],
    [
      'CA Configuration',
      cluster === undefined
        ? ''
        : [['Expiry Duration', formatDuration(numberAt(spec, 'CAConfig', 'NodeCertExpiry'))]],
    ],
    ['Node Address', textAt(swarm, 'NodeAddr')],
    ['Manager Addresses', managers.map((address) => ['', address])],
  ]
}
