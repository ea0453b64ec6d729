/**
 * The keeper: one small process a host that outlives the daemon and decides nothing. It keeps the
 * private containerd alive, reads containers' output, holds published ports, holds the processes of
 * the process runtime, and runs host commands for the daemon. What it has to go on with after its
 * own death stands in files (`docs/keeper.md`). Started by `launch.ts`, or by systemd.
 */
import { rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { newFineWallClock } from '../io/clock.ts'
import { enterCgroup, leaveCgroup, removeCgroup } from './cgroup.ts'
import { CommandRunner } from './command-runner.ts'
import { Containerd } from './containerd.ts'
import { type HostPaths, openHostPaths } from './host-paths.ts'
import { newKeeperLog } from './keeper-log.ts'
import { LogCollector } from './log-collector.ts'
import { PortHolder } from './port-holder.ts'
import { type ProbeResult, probeHost } from './probe.ts'
import { ProcessProbes } from './process-probes.ts'
import { ProcessTable } from './process-table.ts'
import { type KeeperRequest, PROTOCOL_VERSION } from './protocol.ts'
import { KeeperServer } from './server.ts'
import { writeSysctl } from './sysctl.ts'
import { tryConnect } from './try-connect.ts'

const OOM_SCORE_ADJ = -500
/** For `launch.ts`: nothing is wrong, and nothing is to be started again. */
const LOCKED_STATUS = 75

const { values } = parseArgs({
  options: {
    'state-dir': { type: 'string' },
    'run-dir': { type: 'string' },
    // The parent is the shell of `launch.ts`, which belongs where the keeper is.
    supervised: { type: 'boolean', default: false },
  },
})
const ownPids: readonly number[] =
  values.supervised && process.ppid > 1 ? [process.pid, process.ppid] : [process.pid]

const stateDirectory = values['state-dir']
if (stateDirectory === undefined) throw new Error('option --state-dir is missing')
await keep(openHostPaths(stateDirectory, values['run-dir']))

async function keep(paths: HostPaths): Promise<void> {
  const log = newKeeperLog(paths.keeperLog)
  await endWhereAnotherLives(paths)
  setApart(paths)
  const containerd = new Containerd(paths, log)
  const collector = new LogCollector({
    logDirectory: paths.logDirectory,
    pipeDirectory: paths.pipeDirectory,
    journalPath: join(paths.runDirectory, 'log-journal'),
    now: newFineWallClock(),
    log,
  })
  const server = new KeeperServer(handle, log)
  const probes = new ProcessProbes()
  const processes = new ProcessTable(paths.processDirectory, (process) => {
    // Before anybody is told, so that who is told finds every line.
    collector.close(process.taskId)
    probes.end(process.taskId)
    server.send({ kind: 'process-exited', process })
  })
  const ports = new PortHolder(join(paths.runDirectory, 'ports'), log)
  const commands = new CommandRunner()
  let probe: Promise<ProbeResult> | undefined
  process.on('SIGTERM', () => void end(false))
  await server.listen(paths.keeperSocket)
  await ports.reopen()
  if (containerd.isWanted()) containerd.keep()
  log.info({ hash: paths.hash, protocol: PROTOCOL_VERSION }, 'keeper started')

  async function handle(request: KeeperRequest): Promise<object> {
    switch (request.kind) {
      case 'hello':
        return { protocol: PROTOCOL_VERSION, pid: process.pid }
      case 'probe':
        probe ??= probeHost(paths)
        return probe
      case 'containerd':
        await containerd.ensure()
        return {}
      case 'run':
        return commands.run(request)
      case 'sysctl':
        writeSysctl(request.path, request.value)
        return {}
      case 'open-logs':
        return collector.open(request.taskId)
      case 'close-logs':
        collector.close(request.taskId)
        return {}
      case 'open-ports':
        return { ports: await ports.open(request) }
      case 'close-ports':
        await ports.close(request.taskId)
        return {}
      case 'list-ports':
        return { tasks: ports.list() }
      case 'start-process':
        return processes.start(request, await collector.open(request.taskId))
      case 'signal-process':
        processes.signal(request.taskId, request.signal)
        return {}
      case 'remove-process':
        processes.remove(request.taskId)
        return {}
      case 'probe-process':
        return probes.run(request)
      case 'end-probe':
        probes.end(request.taskId)
        return {}
      case 'list-processes':
        return { processes: processes.list() }
      case 'end':
        setImmediate(() => void end(request.forget))
        return {}
      default:
        return request satisfies never
    }
  }

  async function end(forget: boolean): Promise<void> {
    server.close()
    collector.end()
    ports.end()
    probes.endAll()
    if (forget) {
      processes.killAll()
      await containerd.stop()
      removeRunFiles(paths)
      for (const pid of ownPids) leaveCgroup(pid)
      for (const name of ['containerd', 'keeper']) removeCgroup(`tsswarm/${name}-${paths.hash}`)
    } else {
      processes.end()
      containerd.end()
    }
    log.info({ forget }, 'keeper ended')
    process.exit(0)
  }
}

/** Where there is no flock to do it: a living keeper's socket answers. */
async function endWhereAnotherLives(paths: HostPaths): Promise<void> {
  const socket = await tryConnect(paths.keeperSocket)
  if (socket !== undefined) process.exit(LOCKED_STATUS)
}

/** What ends the daemon's control group, or a lack of memory, takes others first. */
function setApart(paths: HostPaths): void {
  if (process.getuid?.() !== 0) return
  for (const pid of ownPids) enterCgroup(`tsswarm/keeper-${paths.hash}`, pid)
  try {
    writeFileSync('/proc/self/oom_score_adj', String(OOM_SCORE_ADJ))
  } catch {
    // In a container without the capability it stays as it is.
  }
}

/** One by one: below the run directory there may be mounts of others, with their users' files. */
function removeRunFiles(paths: HostPaths): void {
  const names = ['keeper.sock', 'keeper.lock', 'log-journal', 'ports', 'pipes', 'containerd.toml']
  for (const name of names) {
    rmSync(join(paths.runDirectory, name), { recursive: true, force: true })
  }
  try {
    rmdirSync(paths.runDirectory)
  } catch {
    // Something else is in it.
  }
}
