/**
 * ManagerRole: what a node runs while it is a manager: the consensus thread, the manager's shell,
 * the control listener with its services, and the broker of logs. It starts and stops them in
 * order and decides nothing else.
 */
import type { Log } from '../lib/log.ts'
import { addBootstrapService, addMemberServices, type RpcHost } from '../manager/api/rpc.ts'
import { findRole } from '../manager/ca/authorize.ts'
import type { Signer } from '../manager/ca/signer.ts'
import type { MemberState } from '../manager/consensus-interface.ts'
import type { Change } from '../manager/store/change.ts'
import type { DataKeys } from '../manager/wal/seal.ts'
import { ConsensusPort } from './consensus-port.ts'
import { serveForwards } from './forwards.ts'
import { readClaims } from './io/certificate.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { systemRandom } from './io/random.ts'
import { Listener } from './listener.ts'
import { LogBroker } from './log-broker.ts'
import type { Loop } from './loop.ts'
import { ManagerShell } from './manager-shell.ts'

/** DESIGN section 5: a snapshot after so many entries or bytes of log. */
const SNAPSHOT_ENTRIES = 10_000
const SNAPSHOT_BYTES: number = 64 * 1024 * 1024
const KEEP_ENTRIES = 500
const POLL_MS = 20

export type ManagerRoleOptions = {
  readonly raftId: number
  readonly nodeId: string
  readonly clusterId: string
  readonly epoch: number
  readonly stateDirectory: string
  readonly listen: string
  readonly raftListen: string
  /** host:port of the control listener as others reach it. */
  readonly advertise: string
  readonly keys: DataKeys
  readonly identity: () => TransportIdentity
  readonly loop: Loop
  readonly log: Log
  readonly signer: Signer
  readonly progress: SharedArrayBuffer
  readonly isDebug: boolean
  readonly onFatal: (error: unknown) => void
  readonly onMembers: (members: readonly MemberState[]) => void
  readonly onShutOut: (epoch: number) => void
}

export class ManagerRole {
  readonly shell: ManagerShell
  readonly logs: LogBroker
  #options: ManagerRoleOptions
  #listener: Listener
  #isClosed = false

  constructor(options: ManagerRoleOptions) {
    this.#options = options
    const log = options.log.child({ component: 'manager' })
    this.shell = new ManagerShell({
      raftId: options.raftId,
      nodeId: options.nodeId,
      loop: options.loop,
      log,
      identity: options.identity,
      onFatal: options.onFatal,
      onMembers: (members) => options.onMembers(members),
    })
    this.logs = new LogBroker({
      addr: options.advertise,
      loop: options.loop,
      view: () => this.shell.view(),
      command: (nodeId, command) => this.shell.command(nodeId, command),
    })
    this.#listener = new Listener({
      listen: options.listen,
      identity: options.identity,
      readClaims,
      findRole: (claims) => findRole(this.shell.view(), claims),
      log,
    })
    const host = this.#rpcHost(log)
    addBootstrapService(this.#listener.strangers, host)
    addMemberServices(this.#listener.members, host)
  }

  async start(): Promise<void> {
    const { options, shell } = { options: this.#options, shell: this.shell }
    const port = new ConsensusPort(
      {
        raftId: options.raftId,
        clusterId: options.clusterId,
        epoch: options.epoch,
        directory: options.stateDirectory,
        listen: options.raftListen,
        identity: options.identity(),
        keys: options.keys,
        snapshotInterval: {
          entries: SNAPSHOT_ENTRIES,
          bytes: SNAPSHOT_BYTES,
          keepEntries: KEEP_ENTRIES,
        },
        progress: options.progress,
        isDebug: options.isDebug,
      },
      {
        onEvents: (events) => {
          if (!this.#isClosed) shell.events(events)
        },
        onFatal: (reason) => options.onFatal(new Error(reason)),
        onShutOut: (epoch) => options.onShutOut(epoch),
        log: options.log.child({ component: 'consensus' }),
      },
    )
    shell.attach(port)
    shell.watch((changes, view) => {
      this.logs.applied(changes, view)
      const isOfNodes = ({ table }: Change): boolean => table === 'nodes' || table === 'clusters'
      if (changes === undefined || changes.some(isOfNodes)) this.#listener.recheck()
    })
    options.loop.add(this.logs)
    await port.listening
    await this.#listener.listen()
  }

  /** Resolves when this manager knows its cluster, or leads an empty one. */
  async untilCaughtUp(): Promise<void> {
    await this.#until(() => {
      const { isLeading } = this.shell.status()
      return isLeading || this.shell.view().nodes.get(this.#options.nodeId) !== undefined
    })
  }

  /** Resolves when the group does not count this member any more. */
  async untilRemoved(): Promise<void> {
    const { raftId } = this.#options
    await this.#until(() => {
      const { members } = this.shell.status()
      return members.length > 0 && !members.some((member) => member.raftId === raftId)
    })
  }

  /** New connections use the renewed certificate. */
  renewed(): void {
    this.#listener.renewed()
    this.shell.renewed()
  }

  /** Another member leads, if there is one that can. */
  async handOver(): Promise<void> {
    await this.shell.handOver()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.shell.close()
    this.#isClosed = true
    this.#options.loop.remove(this.logs)
    this.logs.close()
    await this.#listener.close()
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone() && !this.#isClosed)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }

  #rpcHost(log: Log): RpcHost {
    const { shell, logs } = this
    return {
      clusterId: this.#options.clusterId,
      epoch: this.#options.epoch,
      signer: this.#options.signer,
      random: systemRandom,
      log,
      readClaims,
      wallMs: () => this.#options.loop.now().wallMs,
      view: () => shell.view(),
      write: (request) => shell.write(request),
      forwards: (stream) =>
        serveForwards(stream, {
          write: (request) => shell.write(request, true),
          onBug: (error) => log.error({ error }, 'forwarded request met a bug'),
        }),
      relay: (request) => shell.relay(request),
      command: (nodeId, command, hops) => shell.command(nodeId, command, hops),
      digest: (index) => shell.digest(index),
      session: (nodeId, peerAddr, stream) => shell.session(nodeId, peerAddr, stream),
      publishLogs: (nodeId, messages) => logs.publish(nodeId, messages),
      managerAddrs: () => shell.status().members.map((member) => member.addr),
    }
  }
}
