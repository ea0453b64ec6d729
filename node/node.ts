/**
 * Node: the life of one node, from outside of any cluster through init or join, promotion,
 * demotion and renewal to leaving (DESIGN sections 4 and 10). It composes the agent, and a manager
 * while the certificate says so, without a restart of the process. The identity on disk is written
 * before anything that rests on it is told to others.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Runtime } from '../agent/runtime/runtime.ts'
import { SwarmError } from '../lib/errors.ts'
import { newId } from '../lib/id.ts'
import type { Log } from '../lib/log.ts'
import type { InitRequest, JoinRequest, KnownManager } from '../manager/api/backend.ts'
import { newCluster, newNode } from '../manager/ca/ca.ts'
import { certificateLife } from '../manager/ca/certificate-life.ts'
import type { Signer } from '../manager/ca/signer.ts'
import type { MemberState } from '../manager/consensus-interface.ts'
import { localCaller } from '../manager/manager.ts'
import { newRaftId } from '../manager/member-join.ts'
import { persistAll } from '../manager/persist.ts'
import { newBootstrapSnapshot } from '../manager/raft-core.ts'
import type { Change } from '../manager/store/change.ts'
import type { View } from '../manager/store/view.ts'
import type { DataKeys } from '../manager/wal/seal.ts'
import { openWal } from '../manager/wal/wal.ts'
import type { NodeDescription } from '../proto/gen/objects.ts'
import { formatAddress, parseAddress } from './address.ts'
import { resolveAdvertise } from './advertise.ts'
import { AgentShell } from './agent-shell.ts'
import type { Config } from './config.ts'
import { findForcedGroup, forceNewGroup, type OldMember } from './forced-group.ts'
import { stopContainers } from './host-shutdown.ts'
import {
  EPOCH_FIRST,
  type Identity,
  loadIdentity,
  type Place,
  removeIdentity,
  saveIdentity,
} from './identity.ts'
import { digestOf, readClaims } from './io/certificate.ts'
import { NodeDisk } from './io/disk.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { systemRandom } from './io/random.ts'
import { newStateFile } from './io/state-file.ts'
import { loadKey, newStateSeal } from './io/state-seal.ts'
import { joinMembers, renewCertificate, requestCertificate, sayLeave } from './join.ts'
import type { Loop } from './loop.ts'
import { ManagerRole } from './manager-role.ts'
import { listManagersToAsk } from './managers-to-ask.ts'
import { judgeMembership, type MembershipVerdict } from './membership.ts'
import { listRebuildSources, newRebuildRefusal, setLogAside } from './rebuild.ts'
import { RoleFollower, type RoleStep } from './role-follower.ts'

/** Announced at a stop: until then nothing is replaced (DESIGN section 7). */
const RETURN_MS = 60_000
/** How often the certificate's age is looked at, and a failed role change tried again. */
const LOOK_MS = 1_000
/** What clients send as listen address when their user said nothing. */
const LISTEN_DEFAULT = '0.0.0.0:2377'
/** The first session of a new node is waited for this long. */
const SESSION_MS = 3_000
const POLL_MS = 20
/** A write that completes init or leave. */
const JOINED_MS = 20_000

export type NodeOptions = {
  readonly config: Config
  readonly loop: Loop
  readonly log: Log
  readonly signer: Signer
  readonly runtime: Runtime
  readonly describe: (trustRootPem: string) => Promise<NodeDescription>
  readonly progress: SharedArrayBuffer
  readonly onFatal: (error: unknown) => void
  /** The node has left: what the host keeps for tasks is removed. */
  readonly onLeft: () => Promise<void>
  /** Asked at a stop: the host goes down with this daemon. */
  readonly isHostShuttingDown: () => Promise<boolean>
}

export type Watcher = (changes: readonly Change[] | undefined, view: View) => void

export class Node {
  #options: NodeOptions
  #identity: Identity | undefined
  #agent: AgentShell | undefined
  #manager: ManagerRole | undefined
  #state: 'inactive' | 'pending' | 'active' | 'error' = 'inactive'
  #error = ''
  #lookTimer: NodeJS.Timeout | undefined
  /** What is still to be done for the role that the cluster wants; worked off by `#look`. */
  #roles = new RoleFollower()
  #isChanging = false
  /** Until it is done: this start gets the log anew from the other managers. */
  #isRebuildWanted: boolean
  /** Whether this node is in a cluster already is known; nobody may make or join one before. */
  #looked: PromiseWithResolvers<void> = Promise.withResolvers()
  /** Of the manager's state, over all the times that this node is one. */
  #watchers = new Set<Watcher>()

  constructor(options: NodeOptions) {
    this.#options = options
    this.#isRebuildWanted = options.config.isRebuild
  }

  get state(): 'inactive' | 'pending' | 'active' | 'error' {
    return this.#state
  }

  /** What keeps this node from being what it should; empty if nothing does. */
  get error(): string {
    const { epoch = 0, shutOutBy = 0 } = this.#identity?.place ?? {}
    if (shutOutBy === 0) return this.#error
    return (
      `this manager is of epoch ${epoch} of the swarm, which force-new-cluster ended, and the swarm is in epoch ${shutOutBy}: ` +
      'start the daemon once with --rebuild to join it as a manager again, or leave with --force'
    )
  }

  get identity(): Identity | undefined {
    return this.#identity
  }

  get manager(): ManagerRole | undefined {
    return this.#manager
  }

  get agent(): AgentShell | undefined {
    return this.#agent
  }

  /** Carries on where the last process stopped, if this node is in a cluster. */
  async start(): Promise<void> {
    this.#lookTimer = setInterval(() => {
      this.#look().catch((error: unknown) => {
        this.#options.log.warn(
          { error: String(error) },
          'role or certificate not changed, trying again',
        )
      })
    }, LOOK_MS)
    const identity = loadIdentity(this.#options.config.stateDirectory)
    if (this.#isRebuildWanted) listRebuildSources(identity)
    if (identity !== undefined) this.#state = 'pending'
    this.#looked.resolve()
    if (identity === undefined) return
    this.#adopt(identity)
    if (this.#isShutOut() && !this.#isRebuildWanted) {
      this.#options.log.error({ reason: this.error }, 'this node is no manager until then')
    } else if (identity.claims.role === 'manager') {
      await this.#startManager(identity).catch(this.#goOnLate)
      if (this.#isInitUnfinished()) {
        this.#options.log.warn({}, 'init was not finished, nothing of it is kept')
        await this.#abandon()
        return
      }
    } else if (this.#nextStep() === 'forget-member') {
      // It died while it was being demoted: its member has left the group.
      this.#forgetMember()
    }
    await this.#startAgent()
    this.#state = 'active'
  }

  /** A new cluster with this node as its only manager; the node's id. */
  async init(request: InitRequest): Promise<string> {
    await this.#looked.promise
    if (request.forceNewCluster && this.#identity !== undefined)
      return this.#forceNewCluster(this.#identity, request)
    this.#refuseIfMember()
    const place = this.#placeOf(request, [])
    this.#state = 'pending'
    try {
      return await this.#init(request, place)
    } catch (error) {
      await this.#abandon()
      throw error
    }
  }

  /** This node becomes part of a cluster. */
  async join(request: JoinRequest): Promise<void> {
    await this.#looked.promise
    this.#refuseIfMember()
    const place = this.#placeOf(request, request.remoteAddrs)
    this.#state = 'pending'
    try {
      const { keyPem, reply } = await requestCertificate({
        remoteAddrs: request.remoteAddrs,
        token: request.joinToken,
        availability: request.availability,
        signer: this.#options.signer,
        wallMs: () => this.#options.loop.now().wallMs,
      })
      const identity: Identity = {
        keyPem,
        certificatePem: reply.certificatePem,
        rootPem: reply.rootCertificatePem,
        claims: readClaims(reply.certificatePem),
        place: { ...place, managers: mergeAddrs(reply.managerAddrs, request.remoteAddrs) },
      }
      removeIdentity(this.#options.config.stateDirectory)
      saveIdentity(this.#options.config.stateDirectory, identity)
      this.#adopt(identity)
    } catch (error) {
      await this.#abandon()
      throw error
    }
    await this.#enter(this.#identity)
  }

  /** The cluster knows this node: it takes part, or the cluster is told that it does not. */
  async #enter(identity: Identity | undefined): Promise<void> {
    if (identity === undefined) return
    let late: unknown
    try {
      if (identity.claims.role === 'manager')
        await this.#startManager(identity).catch((error: unknown) => {
          this.#goOnLate(error)
          late = error
        })
      await this.#startAgent()
      this.#state = 'active'
      await this.#untilSession()
    } catch (error) {
      await sayLeave(identity.place.managers, transportOf(identity)).catch(() => undefined)
      await this.#abandon()
      throw error
    }
    if (late !== undefined) throw late
  }

  /** A manager that is not there in time gets there later; any other error is one. */
  #goOnLate = (error: unknown): void => {
    if (this.#manager === undefined) throw error
    this.#options.log.warn({ error: String(error) }, 'this manager has not caught up yet')
  }

  /** A cluster that this node alone leads and that was never made: its init was never answered. */
  #isInitUnfinished(): boolean {
    const shell = this.#manager?.shell
    if (shell === undefined) return false
    const { isLeading, members } = shell.status()
    return isLeading && members.length === 1 && shell.view().clusters.size === 0
  }

  /** Tasks are stopped, the cluster is told, and nothing of it is left on disk. */
  async leave(): Promise<void> {
    const identity = this.#identity
    if (identity === undefined)
      throw new SwarmError('unavailable', 'This node is not part of a swarm')
    if (this.#isChanging)
      throw new SwarmError('unavailable', 'this node is changing its role, try again later', {
        retriable: true,
      })
    // Until it is out, no change of role is followed any more.
    this.#isChanging = true
    try {
      await this.#leave(identity)
    } finally {
      this.#isChanging = false
    }
  }

  async #leave(identity: Identity): Promise<void> {
    await this.#agent?.leave()
    const own = identity.place.advertiseAddr
    const managers = this.#managersToAsk(identity).filter((addr) => addr !== own)
    await this.#leaveManagers()
    const said = managers.length > 0 ? managers : [own]
    await sayLeave(said, transportOf(identity)).catch((error: unknown) => {
      this.#options.log.warn(
        { error: String(error) },
        'the managers could not be told of the leave',
      )
    })
    await this.#abandon()
    await this.#options.onLeft()
  }

  /**
   * SIGTERM: the leadership goes over, the return is announced, tasks go on. A host that shuts down
   * takes its tasks with it: they are replaced at once, and stopped as they ask for.
   */
  async stop(): Promise<void> {
    clearInterval(this.#lookTimer)
    const isGoing = await this.#options.isHostShuttingDown()
    await this.#manager?.handOver()
    await this.#agent?.stop(isGoing ? 0 : RETURN_MS)
    await this.#manager?.close()
    if (isGoing)
      await stopContainers(
        this.#options.runtime,
        this.#agent?.listRunning() ?? [],
        this.#options.log,
      )
  }

  /** Told of each step of the state while this node is a manager. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** Managers as this node knows them. */
  listManagers(): readonly KnownManager[] {
    const status = this.#manager?.shell.status()
    if (status !== undefined && status.members.length > 0)
      return status.members.map((member) => ({
        nodeId: member.nodeId,
        addr: member.addr,
        isLeader: member.raftId === status.leaderId,
        isReachable: member.isConnected,
      }))
    return this.listManagerAddrs().map((addr) => ({
      nodeId: '',
      addr,
      isLeader: false,
      isReachable: true,
    }))
  }

  listManagerAddrs(): readonly string[] {
    const members = this.#manager?.shell.status().members ?? []
    const own = members.map((member) => member.addr)
    return own.length > 0 ? own : (this.#identity?.place.managers ?? [])
  }

  async #init(request: InitRequest, place: Place): Promise<string> {
    const { config, signer } = this.#options
    const wallMs = this.#options.loop.now().wallMs
    const root = await signer.createRoot(wallMs)
    const cluster = newCluster(
      { ...root, digest: digestOf(root.certificatePem) },
      request.spec,
      systemRandom,
    )
    const nodeId = newId(systemRandom)
    const { keyPem, csrPem } = await signer.createRequest()
    const life = certificateLife(cluster, wallMs)
    const claims = { nodeId, role: 'manager' as const, clusterId: cluster.id, ...life }
    const certificatePem = await signer.sign(csrPem, claims, root)
    const raftId = newRaftId({ members: [], random: systemRandom })
    const member = {
      raftId,
      nodeId,
      raftAddr: this.#raftAddr(place),
      addr: place.advertiseAddr,
    }
    removeIdentity(config.stateDirectory)
    this.#bootstrap(cluster.id, member)
    const identity: Identity = {
      keyPem,
      certificatePem,
      rootPem: root.certificatePem,
      claims,
      place: { ...place, raftId, managers: [place.advertiseAddr] },
    }
    saveIdentity(config.stateDirectory, identity)
    this.#adopt(identity)
    await this.#startManager(identity)
    const node = newNode(nodeId, 'manager', {
      availability: request.availability,
      certificatePem,
      expiresMs: life.notAfterMs,
    })
    await this.#manager?.shell.write({
      caller: localCaller,
      body: { kind: 'clusterCreate', clusterCreate: { cluster, node } },
    })
    await this.#startAgent()
    this.#state = 'active'
    await this.#untilSession()
    return nodeId
  }

  /** The log of a new cluster: one voter and an empty store. */
  #bootstrap(clusterId: string, member: Parameters<typeof newBootstrapSnapshot>[0]): void {
    // An init that a crash cut short may have left a log, which belongs to no cluster.
    this.#removeLog()
    using disk = new NodeDisk(this.#options.config.stateDirectory)
    const { wal } = openWal(disk, 'raft', {
      identity: { clusterId, raftId: member.raftId },
      keys: this.#dataKeys(),
      random: systemRandom,
    })
    persistAll(wal, [
      {
        sequence: 1,
        hardState: { term: 1, vote: 0, commit: 1 },
        entries: [],
        snapshot: newBootstrapSnapshot(member),
        compaction: undefined,
        mustSync: true,
      },
    ])
  }

  #dataKeys(): DataKeys {
    const key = loadKey(join(this.#options.config.stateDirectory, 'identity', 'raft.key'))
    return { currentId: 1, keys: new Map([[1, key]]) }
  }

  #adopt(identity: Identity): void {
    this.#identity = identity
    this.#roles.certified(identity.claims, systemRandom.integer(2 ** 20) / 2 ** 20)
  }

  #saveIdentity(identity: Identity): void {
    saveIdentity(this.#options.config.stateDirectory, identity)
    this.#adopt(identity)
  }

  #setPlace(change: Partial<Place>): void {
    const identity = this.#identity
    if (identity === undefined) return
    this.#saveIdentity({ ...identity, place: { ...identity.place, ...change } })
  }

  #refuseIfMember(): void {
    if (this.#state === 'inactive') return
    throw new SwarmError(
      'unavailable',
      'This node is already part of a swarm. Use "tsswarm leave" to leave this swarm and join another one.',
    )
  }

  #placeOf(
    request: { readonly listenAddr: string; readonly advertiseAddr: string },
    managers: readonly string[],
  ): Place {
    const { config } = this.#options
    // Clients always send their default, which says nothing against the daemon's own setting.
    const isDefault = request.listenAddr === '' || request.listenAddr === LISTEN_DEFAULT
    const listen = parseAddress(
      isDefault ? config.listen : request.listenAddr,
      parseAddress(config.listen, 2377).port,
    )
    const advertise = request.advertiseAddr === '' ? config.advertiseAddr : request.advertiseAddr
    return {
      raftId: 0,
      epoch: EPOCH_FIRST,
      shutOutBy: 0,
      listenAddr: formatAddress(listen),
      raftListenAddr: config.raftListen,
      advertiseAddr: resolveAdvertise(advertise, listen),
      managers,
    }
  }

  /** Raft's port on the advertised address. */
  #raftAddr(place: Place): string {
    return formatAddress({
      host: parseAddress(place.advertiseAddr, 0).host,
      port: parseAddress(place.raftListenAddr, 7946).port,
    })
  }

  // ── the manager ────────────────────────────────────────────────────────────────────────────

  async #startManager(identity: Identity): Promise<void> {
    const { loop, log, signer, progress, onFatal, config } = this.#options
    const member = await this.#findMember(identity)
    if (member !== undefined) this.#setPlace(member)
    const { place } = this.#identity ?? identity
    const role = new ManagerRole({
      raftId: place.raftId,
      nodeId: identity.claims.nodeId,
      clusterId: identity.claims.clusterId,
      epoch: place.epoch,
      stateDirectory: config.stateDirectory,
      listen: place.listenAddr,
      raftListen: place.raftListenAddr,
      advertise: place.advertiseAddr,
      keys: this.#dataKeys(),
      identity: () => transportOf(this.#identity ?? identity),
      loop,
      log,
      signer,
      progress,
      isDebug: config.logLevel === 'debug' || config.logLevel === 'trace',
      onFatal,
      onMembers: (members) => this.#learnMembers(members),
      onShutOut: (epoch) => this.#shutOut(epoch),
    })
    this.#manager = role
    role.shell.watch((changes, view) => {
      for (const watcher of this.#watchers) watcher(changes, view)
    })
    try {
      await role.start()
    } catch (error) {
      this.#manager = undefined
      await role.close()
      throw error
    }
    await withDeadline(
      role.untilCaughtUp(),
      JOINED_MS,
      'Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the "tsswarm info" command to see the current swarm status of your node.',
    )
  }

  /** The member that this node starts as, if it is not the one it was: its log cannot be used. */
  async #findMember(identity: Identity): Promise<Partial<Place> | undefined> {
    const { raftId, epoch, advertiseAddr } = identity.place
    if (this.#isRebuildWanted) return this.#rebuild(identity)
    // An id belongs to one directory: with an empty one, it has forgotten its votes.
    if (raftId === 0 || !this.#hasLog()) return this.#joinGroup(identity)
    const forced = findForcedGroup(this.#oldMember(identity))
    if (forced === undefined) return undefined
    return { raftId: forced, epoch: epoch + 1, managers: [advertiseAddr] }
  }

  /** A new Raft id of the group, for an empty data directory. */
  async #joinGroup(identity: Identity): Promise<Partial<Place>> {
    // What another life of this node left there belongs to a member that is gone.
    this.#removeLog()
    return this.#askToJoin(identity, this.#managersToAsk(identity))
  }

  /** The same for a log that cannot be used, which is touched only once the group has said yes. */
  async #rebuild(identity: Identity): Promise<Partial<Place>> {
    const { config, log, loop } = this.#options
    const sources = listRebuildSources(identity)
    const member = await this.#askToJoin(identity, sources).catch((error: unknown) => {
      throw newRebuildRefusal(sources, error)
    })
    setLogAside(config.stateDirectory, { wallMs: loop.now().wallMs, log })
    this.#isRebuildWanted = false
    return member
  }

  async #askToJoin(identity: Identity, managers: readonly string[]): Promise<Partial<Place>> {
    const reply = await joinMembers({
      managers,
      identity: transportOf(identity),
      raftAddr: this.#raftAddr(identity.place),
      addr: identity.place.advertiseAddr,
      raftId: 0,
    })
    if (reply.member === undefined)
      throw new SwarmError('internal', 'the leader admitted this manager without naming its member')
    return { raftId: reply.member.raftId, epoch: epochOf(reply), shutOutBy: 0 }
  }

  #oldMember({ claims, place }: Identity): OldMember {
    return {
      stateDirectory: this.#options.config.stateDirectory,
      clusterId: claims.clusterId,
      raftId: place.raftId,
      keys: this.#dataKeys(),
    }
  }

  /** The cluster goes on with this manager alone, whose log is all that is left of it. */
  async #forceNewCluster(identity: Identity, request: InitRequest): Promise<string> {
    this.#refuseToForce(identity)
    this.#isChanging = true
    try {
      const { loop, log } = this.#options
      const advertiseAddr = this.#advertiseOf(identity, request)
      const place = { ...identity.place, advertiseAddr }
      const { nodeId } = identity.claims
      await this.#stopManager()
      this.#setPlace({ advertiseAddr })
      const group = forceNewGroup(this.#oldMember(identity), {
        place: { nodeId, raftAddr: this.#raftAddr(place), addr: advertiseAddr },
        wallMs: loop.now().wallMs,
        log,
      })
      this.#setPlace({ ...group, managers: [advertiseAddr] })
      await this.#startManager(this.#identity ?? identity)
      return nodeId
    } finally {
      this.#isChanging = false
    }
  }

  /** The way back is for a group that is lost; one that can agree removes managers instead. */
  #refuseToForce(identity: Identity): void {
    if (this.#isShutOut()) throw new SwarmError('failed-precondition', this.error)
    if (identity.claims.role !== 'manager' || identity.place.raftId === 0)
      throw new SwarmError('unavailable', 'This node is not participating as a swarm manager')
    if (this.#state !== 'active' || this.#isChanging)
      throw new SwarmError('unavailable', 'this node is starting or changing its role, try again', {
        retriable: true,
      })
    const status = this.#manager?.shell.status()
    if (status !== undefined && status.leaderId !== 0 && status.members.length > 1)
      throw new SwarmError(
        'failed-precondition',
        'the swarm has a leader, so its managers can be demoted and removed as usual: ' +
          'force-new-cluster is for a swarm that has lost its quorum for good',
      )
  }

  #advertiseOf({ place }: Identity, request: InitRequest): string {
    if (request.advertiseAddr === '') return place.advertiseAddr
    return resolveAdvertise(request.advertiseAddr, parseAddress(place.listenAddr, 0))
  }

  #isShutOut(): boolean {
    return (this.#identity?.place.shutOutBy ?? 0) > 0
  }

  /** Another group of this cluster goes on without this member; `#look` ends it. */
  #shutOut(epoch: number): void {
    if (this.#isShutOut()) return
    this.#setPlace({ shutOutBy: epoch })
    this.#options.log.error({ reason: this.error }, 'this node is no manager until then')
  }

  async #stopManager(): Promise<void> {
    const role = this.#manager
    this.#manager = undefined
    await role?.close()
    this.#options.log.info({}, 'is no manager any more')
  }

  #forgetMember(): void {
    // First the id: it must never be used with a log that is gone.
    this.#setPlace({ raftId: 0, shutOutBy: 0 })
    this.#removeLog()
  }

  #hasLog(): boolean {
    const folder = join(this.#options.config.stateDirectory, 'raft')
    return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.segment'))
  }

  #removeLog(): void {
    rmSync(join(this.#options.config.stateDirectory, 'raft'), { recursive: true, force: true })
  }

  #learnMembers(members: readonly MemberState[]): void {
    // No session of the agent may have told of them, and those it knows may be managers no more.
    this.#agent?.setManagers(members)
    const addrs = members.map((member) => member.addr)
    const known = this.#identity?.place.managers ?? []
    if (addrs.length === 0 || addrs.join() === known.join()) return
    this.#setPlace({ managers: addrs })
  }

  /** A manager that leaves asks to be demoted first, so that the group does not count it. */
  async #leaveManagers(): Promise<void> {
    const role = this.#manager
    const nodeId = this.#identity?.claims.nodeId ?? ''
    if (role === undefined || role.shell.status().members.length < 2) return
    const demote = async (): Promise<void> => {
      const view: View = await role.shell.read()
      const node = view.nodes.get(nodeId)
      if (node?.spec === undefined) return
      await role.shell.write({
        caller: localCaller,
        body: {
          kind: 'nodeUpdate',
          nodeUpdate: {
            id: nodeId,
            version: node.meta?.version ?? 0,
            spec: { ...node.spec, role: 'worker' },
          },
        },
      })
      await role.untilRemoved()
    }
    await withDeadline(demote(), JOINED_MS / 2, 'not demoted in time').catch((error: unknown) => {
      this.#options.log.warn({ error: String(error) }, 'left without being demoted')
    })
  }

  // ── the agent ──────────────────────────────────────────────────────────────────────────────

  async #startAgent(): Promise<void> {
    const identity = this.#identity
    if (identity === undefined) return
    const { config, loop, log, runtime } = this.#options
    const agent = new AgentShell({
      nodeId: identity.claims.nodeId,
      runtime,
      loop,
      log: log.child({ component: 'agent' }),
      stateFile: newStateFile(
        join(config.stateDirectory, 'agent', 'state'),
        newStateSeal(loadKey(join(config.stateDirectory, 'identity', 'agent.key'))),
      ),
      identity: () => transportOf(this.#identity ?? identity),
      managers: this.#agentManagers(identity),
      onNodeChange: (change) => {
        this.#roles.told(change)
      },
      onManagers: (managers) => {
        if (this.#manager === undefined && managers.length > 0)
          this.#setPlace({ managers: managers.map((manager) => manager.addr) })
      },
    })
    this.#agent = agent
    await agent.start(await this.#options.describe(identity.rootPem))
  }

  /** Who looks at the nodes right after init or join sees this one ready; it is no condition. */
  async #untilSession(): Promise<void> {
    for (let waited = 0; waited < SESSION_MS; waited += POLL_MS) {
      if (this.#agent?.status().session === 'running') return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  #agentManagers(identity: Identity): readonly { nodeId: string; addr: string }[] {
    return identity.place.managers.map((addr) => ({ nodeId: '', addr }))
  }

  // ── roles and certificates ─────────────────────────────────────────────────────────────────

  /** Renews what is old or of the wrong role, starts or stops being a manager: step by step. */
  async #look(): Promise<void> {
    if (this.#state !== 'active') return
    this.#askIfMember()
    if (this.#isChanging || this.#nextStep() === undefined) return
    this.#isChanging = true
    try {
      for (let step = this.#nextStep(); step !== undefined; step = this.#nextStep())
        await this.#take(step)
    } catch (error) {
      this.#roles.failed(this.#options.loop.now().wallMs)
      throw error
    } finally {
      this.#isChanging = false
    }
  }

  /** Beside all else: nobody may answer for long, and this node must not wait for it. */
  #askIfMember(): void {
    const identity = this.#identity
    const status = this.#manager?.shell.status()
    const isMember = status?.members.some(({ raftId }) => raftId === identity?.place.raftId)
    const isAlone = status?.leaderId === 0 || isMember === false
    const { wallMs } = this.#options.loop.now()
    const isManager = this.#manager !== undefined
    if (!this.#roles.isQuestionDue({ isManager, isAlone }, wallMs) || identity === undefined) return
    this.#askMembership(identity).then(
      (answer) => {
        const isSame = this.#identity?.place.raftId === identity.place.raftId
        if (isSame) this.#followMembership(judgeMembership(identity.place, answer), answer.epoch)
      },
      (error: unknown) => {
        if (error instanceof SwarmError) this.#roles.refused(error.code)
        this.#options.log.debug({ error: String(error) }, 'no answer whether this is a member')
      },
    )
  }

  #followMembership(verdict: MembershipVerdict, epoch: number): void {
    switch (verdict) {
      case 'stays':
        break
      case 'removed':
        this.#options.log.warn({}, 'this manager was removed from the group, it joins anew')
        this.#roles.removed()
        break
      case 'shut-out':
        this.#shutOut(epoch)
        break
      default:
        verdict satisfies never
    }
  }

  /** The member that the first group which answers knows of this one, as its leader says. */
  async #askMembership(identity: Identity): Promise<{ raftId: number | undefined; epoch: number }> {
    const { raftId, advertiseAddr } = identity.place
    const reply = await joinMembers({
      managers: this.#managersToAsk(identity),
      identity: transportOf(identity),
      raftAddr: this.#raftAddr(identity.place),
      addr: advertiseAddr,
      raftId,
    })
    return { raftId: reply.member?.raftId, epoch: epochOf(reply) }
  }

  #nextStep(): RoleStep | undefined {
    const identity = this.#identity
    if (identity === undefined) return undefined
    return this.#roles.next(
      {
        claims: identity.claims,
        raftId: identity.place.raftId,
        hasLog: this.#hasLog(),
        isManager: this.#manager !== undefined,
        isShutOut: this.#isShutOut(),
      },
      this.#options.loop.now().wallMs,
    )
  }

  async #take(step: RoleStep): Promise<void> {
    const identity = this.#identity
    if (identity === undefined) return
    switch (step) {
      case 'renew':
        await this.#renew(identity)
        break
      case 'join-and-start':
      case 'start':
        await this.#startManager(identity)
        this.#options.log.info({}, 'became a manager')
        break
      case 'stop':
        await this.#stopManager()
        break
      case 'forget-member':
        this.#forgetMember()
        break
      default:
        step satisfies never
    }
  }

  async #renew(identity: Identity): Promise<void> {
    const { keyPem, reply } = await renewCertificate({
      managers: this.#managersToAsk(identity),
      identity: transportOf(identity),
      held: identity.claims,
      signer: this.#options.signer,
      wallMs: () => this.#options.loop.now().wallMs,
    })
    this.#saveIdentity({
      ...(this.#identity ?? identity),
      keyPem,
      certificatePem: reply.certificatePem,
      rootPem: reply.rootCertificatePem,
      claims: readClaims(reply.certificatePem),
    })
    this.#roles.renewed(this.#options.loop.now().wallMs)
    this.#options.log.info({ role: reply.role }, 'certificate renewed')
    this.#manager?.renewed()
  }

  #managersToAsk({ place }: Identity): readonly string[] {
    const addrOf = ({ addr }: { readonly addr: string }): string => addr
    const agent = this.#agent?.listManagers().map(addrOf) ?? []
    const members = this.#manager?.shell.status().members.map(addrOf) ?? []
    return listManagersToAsk({ agent, members, place: place.managers }, place.advertiseAddr)
  }

  /** Out of the cluster: everything ends, and nothing is left on disk. */
  async #abandon(): Promise<void> {
    const manager = this.#manager
    this.#manager = undefined
    this.#agent = undefined
    this.#identity = undefined
    this.#roles = new RoleFollower()
    await manager?.close()
    removeIdentity(this.#options.config.stateDirectory)
    this.#state = 'inactive'
    this.#error = ''
  }
}

export function transportOf(identity: Identity): TransportIdentity {
  const { certificatePem, keyPem, rootPem } = identity
  return { certificatePem, keyPem, rootPem }
}

/** Managers of versions before there were epochs name none. */
function epochOf({ epoch }: { readonly epoch: number }): number {
  return epoch === 0 ? EPOCH_FIRST : epoch
}

function mergeAddrs(...lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat())]
}

async function withDeadline<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SwarmError('unavailable', message)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
