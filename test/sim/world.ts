/**
 * World: a simulated cluster made from one seed: its hosts, network and clock, who joins whom, and
 * the two phases of a run: safety under faults, then healed for ever, convergence (peers.md 3.2). All
 * that is random is drawn here or from generators split here, so a seed replays a run exactly.
 */
import { type DiskErrorKind, isDiskError } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { newSeededRandom, type SeededRandom } from '../../lib/random.ts'
import { defaultClusterSpec, newCluster, newNode } from '../../manager/ca/ca.ts'
import { certificateLife, isValidAt } from '../../manager/ca/certificate-life.ts'
import type { CertificateClaims } from '../../manager/ca/signer.ts'
import { localCaller } from '../../manager/manager.ts'
import { newRaftId } from '../../manager/member-join.ts'
import { CLUSTER_VERSION } from '../../manager/model/cluster-version.ts'
import { persistAll } from '../../manager/persist.ts'
import type { Message } from '../../manager/raft/message.ts'
import { newBootstrapSnapshot } from '../../manager/raft-core.ts'
import { openWal } from '../../manager/wal/wal.ts'
import type { WriteReply, WriteRequest } from '../../proto/gen/control.ts'
import type { ManagerAddress } from '../../proto/gen/dispatcher.ts'
import { type Cluster, emptyCluster } from '../../proto/gen/objects.ts'
import type { Member } from '../../proto/gen/types.ts'
import type { AilmentRates } from './ailment.ts'
import { Atlas } from './atlas.ts'
import type { Caller } from './call.ts'
import { Checkers } from './checkers/checkers.ts'
import { History } from './checkers/history.ts'
import type { Line } from './coverage.ts'
import { SimulatedCrash } from './disk.ts'
import { Lanes } from './lanes.ts'
import { SimNetwork } from './network.ts'
import { SimRuntime } from './runtime.ts'
import { Schedule } from './schedule.ts'
import { SimNode } from './sim-node.ts'
import { SnapshotWatch } from './snapshot-watch.ts'

/** Drawn per seed, so that runs differ in kind (swarm testing). */
export type Rates = {
  readonly loss: number
  readonly duplication: number
  readonly delayMeanMs: number
  readonly spike: number
  readonly diskDelayMeanMs: number
  readonly prepareFailure: number
  readonly exitPerMinute: number
  readonly ignoresTerm: number
  readonly ailments: AilmentRates
  readonly jobFailure: number
  /** A snapshot is taken after so many entries, and so many stay in the log before it. */
  readonly snapshotEntries: number
  readonly keepEntries: number
  /** Entries of one message between managers, bytes: with 1 each entry travels alone. */
  readonly messageBytes: number
  /** How long certificates live, ms. */
  readonly certLifeMs: number
  /** Entries that a main is given before it has applied them, bytes: with 1 one at a time. */
  readonly committedBytes: number
  /** Mean time between two faults, ms. */
  readonly faultEveryMs: number
  /** Mean time until a thread of a manager gets its turn to read what the other one has posted, ms. */
  readonly threadTurnMeanMs: number
}

/** A certificate for the role, by the wall clock of who signs it, ms. */
type Signing = { readonly role: 'worker' | 'manager'; readonly wallMs: number }

const DAY_MS = 24 * 3_600_000
const DISK_ERRORS: readonly DiskErrorKind[] = ['enospc', 'eio', 'not-found', 'exists', 'denied']

export class World {
  readonly seed: number
  readonly schedule: Schedule = new Schedule()
  readonly random: SeededRandom
  readonly rates: Rates
  readonly network: SimNetwork
  /** What agents and managers say to each other in a session. */
  readonly lanes: Lanes
  readonly nodes: Map<string, SimNode> = new Map()
  readonly checkers: Checkers
  /** What clients asked and were answered. */
  readonly history: History = new History()
  readonly atlas: Atlas
  cluster: Cluster | undefined
  /** How often each class of faults and each landmark was reached. */
  readonly coverage: Map<Line, number> = new Map()
  /** After the faults: the nodes that are healed for ever, the others are not; undefined: all are. */
  core: ReadonlySet<string> | undefined
  /** The faults are over: who comes now is well. */
  isHealed = false
  /** Managers that are gone, for all that anybody knows: none starts before its operator says so. */
  readonly lost: Set<string> = new Set()
  /** Of the quorum, so far; each draws from a generator of its own. */
  forces = 0
  /** Nodes that were taken out for good. */
  readonly retired: Set<string> = new Set()
  /** Nodes that have a clone, or had one just now. */
  readonly cloned: Set<string> = new Set()
  /** Of which there was one: its word may stand in the store until the host's agent gets a full set. */
  readonly wereCloned: Set<string> = new Set()
  #clones = 0
  readonly snapshots: SnapshotWatch
  /** Once, with the first node that sees the group in a joint configuration. */
  onJoint: ((node: SimNode) => void) | undefined
  /** Services whose containers end right after their start. */
  readonly crashLoops: Set<string> = new Set()
  /** Whether a story lets a quorum of a group that is over return together. */
  letsOldGroupsAnswer = false
  /** Raft's messages that a story lets get lost. */
  drops: (message: Message) => boolean = () => false
  #onTrace: ((line: string) => void) | undefined
  #hash = 0x811c9dc5
  #lines = 0
  #recent: string[] = []
  #violations: string[] = []

  constructor(seed: number, onTrace?: (line: string) => void) {
    this.seed = seed
    this.random = newSeededRandom(seed)
    this.#onTrace = onTrace
    this.rates = drawRates(this.random.split('rates'))
    this.network = new SimNetwork(this.schedule, {
      random: this.random.split('network'),
      rates: this.rates,
      reached: (name) => this.reached(name),
    })
    this.lanes = new Lanes(this.schedule, this.network)
    this.checkers = new Checkers(this)
    this.atlas = new Atlas(this)
    this.snapshots = new SnapshotWatch(this)
    this.trace(`rates ${JSON.stringify(this.rates)}`)
  }

  /** Wall time of the world, ms: some day in the future, going on with the schedule. */
  wallMs(): number {
    return 1_900_000_000_000 + Math.floor(this.schedule.nowMs)
  }

  /** The version that all managers were of at some time; the program's own before there is a cluster. */
  get clusterVersion(): number {
    const [cluster] = this.checkers.reference.view().clusters.list()
    return cluster?.clusterVersion ?? CLUSTER_VERSION
  }

  /** One line of the run's record: its hash is what two runs of a seed must share. */
  trace(line: string): void {
    const text = `${this.schedule.nowMs.toFixed(3)} ${line}`
    for (let at = 0; at < text.length; at++)
      this.#hash = Math.imul(this.#hash ^ text.charCodeAt(at), 0x01000193) >>> 0
    this.#lines++
    this.#recent.push(text)
    if (this.#recent.length > 8_000) this.#recent.splice(0, 4_000)
    this.#onTrace?.(text)
  }

  get hash(): string {
    return `${this.#hash.toString(16).padStart(8, '0')}/${this.#lines}`
  }

  /** The run has failed; it ends at the next step. */
  violation(message: string): void {
    this.trace(`VIOLATION ${message}`)
    this.#violations.push(message)
  }

  get violations(): readonly string[] {
    return this.#violations
  }

  /** The last events before a violation. */
  recent(count: number): readonly string[] {
    return this.#recent.slice(-count)
  }

  /** A class of faults was reached, injected or by itself, or a landmark. */
  reached(name: Line): void {
    this.coverage.set(name, (this.coverage.get(name) ?? 0) + 1)
  }

  /** The disk failed, or the process died in it; damage is another matter (see `atlas.ts`). */
  isDiskFault(error: unknown): boolean {
    return error instanceof SimulatedCrash || DISK_ERRORS.some((kind) => isDiskError(error, kind))
  }

  diskDelayMs(node: SimNode): number {
    const meanMs = Math.max(this.rates.diskDelayMeanMs, node.diskSlowMs)
    return 0.1 - meanMs * Math.log(1 - this.random.fraction())
  }

  findByRaftId(raftId: number): SimNode | undefined {
    for (const node of this.nodes.values()) if (node.raftId === raftId) return node
    return undefined
  }

  findByAddr(addr: string): SimNode | undefined {
    for (const node of this.nodes.values()) if (node.addr === addr) return node
    return undefined
  }

  listManagerAddrs(): readonly ManagerAddress[] {
    return [...this.nodes.values()]
      .filter((node) => node.raftId !== 0)
      .map((node) => ({ nodeId: node.id, addr: node.addr }))
  }

  listManagers(): readonly SimNode[] {
    return [...this.nodes.values()].filter((node) => node.isUp && node.manager !== undefined)
  }

  findLeader(): SimNode | undefined {
    return this.listManagers().find((node) => node.manager?.isLeading === true)
  }

  addNode(id: string): SimNode {
    const node = this.#newNode(id, this.random.split(id))
    node.version = this.clusterVersion
    this.nodes.set(id, node)
    return node
  }

  /** Another host with the identity and the agent's state of this one, and none of its containers. */
  addClone(node: SimNode): SimNode {
    this.#clones++
    const copy = this.#newNode(node.id, this.random.split(`clone-${this.#clones}`))
    copy.isClone = true
    copy.claims = node.claims
    copy.managers = node.managers
    copy.disk.restore('agent', node.disk.snapshotDirectory('agent'))
    this.cloned.add(node.id)
    this.wereCloned.add(node.id)
    return copy
  }

  #newNode(id: string, random: SeededRandom): SimNode {
    const runtime = new SimRuntime({
      nodeId: id,
      schedule: this.schedule,
      random: random.split('runtime'),
      rates: {
        prepareFailure: this.rates.prepareFailure,
        startFailure: this.rates.prepareFailure / 2,
        exitPerMinute: this.rates.exitPerMinute,
        ignoresTerm: this.rates.ignoresTerm,
        ailments: this.rates.ailments,
        jobFailure: this.rates.jobFailure,
        hasBrokenImages: true,
      },
      world: {
        violation: (message) => this.violation(message),
        reached: (name) => this.reached(name),
        isCrashLooping: (serviceId) => this.crashLoops.has(serviceId),
      },
    })
    if (this.isHealed) runtime.heal()
    return new SimNode(this, id, { random, log: this.#logOf(id), runtime })
  }

  /** The first manager: a log with one voter, then the cluster object, as `tsswarm init` does. */
  init(id: string, certLifeMs: number = this.rates.certLifeMs): SimNode {
    const node = this.addNode(id)
    const random = this.random.split('init')
    node.raftId = newRaftId({ members: [], random })
    const { wal } = openWal(node.disk, 'raft', {
      identity: { clusterId: 'simulated', raftId: node.raftId },
      keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(7)]]) },
      random,
      segmentBytes: 32 * 1024,
    })
    const member: Member = {
      raftId: node.raftId,
      nodeId: id,
      raftAddr: node.raftAddr,
      addr: node.addr,
    }
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
    const root = { certificatePem: 'root', keyPem: 'key', digest: 'd'.repeat(50) }
    // Small, so that snapshots are taken and installed in a short life.
    const spec = {
      ...defaultClusterSpec,
      snapshotIntervalEntries: this.rates.snapshotEntries,
      logEntriesForSlowFollowers: this.rates.keepEntries,
      nodeCertExpiryMs: certLifeMs,
    }
    this.cluster = newCluster(root, spec, random)
    const claims = this.#newClaims(this.cluster, id, { role: 'manager', wallMs: this.wallMs() })
    node.claims = claims
    node.managers = this.listManagerAddrs()
    node.boot()
    const created = newNode(id, 'manager', {
      availability: 'active',
      certificatePem: 'certificate',
      expiresMs: claims.notAfterMs,
    })
    this.retry(() => node, {
      caller: localCaller,
      body: { kind: 'clusterCreate', clusterCreate: { cluster: this.cluster, node: created } },
    })
    return node
  }

  /**
   * A node joins by token at some manager, which signs by its own clock; what it does then as a manager
   * is its own life. A certificate that is over by the joiner's clock it would refuse, and come again
   * under another name: it is as if it had not asked.
   */
  join(id: string, role: 'worker' | 'manager'): SimNode {
    const node = this.addNode(id)
    let claims = this.#claimsOf(id, { role, wallMs: this.wallMs() })
    this.retry(
      () => {
        // Who comes after the faults is told of a manager that serves: another one makes it wait.
        const signer = this.anyManager(({ id: manager }) => this.core?.has(manager) !== false)
        if (signer === undefined) return undefined
        const signed = this.#claimsOf(id, { role, wallMs: signer.wallMs() })
        if (!isValidAt(signed, this.wallMs())) return undefined
        claims = signed
        return signer
      },
      () => ({
        caller: { nodeId: '', role: 'worker' },
        body: {
          kind: 'certificateIssue',
          certificateIssue: {
            token: this.tokenOf(role),
            nodeId: id,
            role,
            certificatePem: 'certificate',
            expiresMs: claims.notAfterMs,
            availability: 'active',
          },
        },
      }),
      () => {
        if (node.claims !== undefined || this.nodes.get(id) !== node) return
        node.claims = claims
        node.managers = this.listManagerAddrs()
        node.boot()
      },
    )
    return node
  }

  /** The join token as the cluster's users read it now. */
  tokenOf(role: 'worker' | 'manager'): string {
    const [cluster] = this.checkers.reference.view().clusters.list()
    const rootCa = cluster?.rootCa ?? this.cluster?.rootCa
    return (role === 'manager' ? rootCa?.managerToken : rootCa?.workerToken) ?? ''
  }

  #claimsOf(nodeId: string, signing: Signing): CertificateClaims {
    const [cluster] = this.checkers.reference.view().clusters.list()
    return this.#newClaims(cluster ?? this.cluster ?? emptyCluster, nodeId, signing)
  }

  #newClaims(cluster: Cluster, nodeId: string, { role, wallMs }: Signing): CertificateClaims {
    return { nodeId, role, clusterId: cluster.id, ...certificateLife(cluster, wallMs) }
  }

  anyManager(isAsked: (node: SimNode) => boolean = () => true): SimNode | undefined {
    const managers = this.listManagers().filter(isAsked)
    return managers[this.random.integer(Math.max(1, managers.length))]
  }

  /** Asks until it is done: what joiners and administrators do. */
  retry(
    at: () => SimNode | undefined,
    request: WriteRequest | (() => WriteRequest),
    done: (reply: WriteReply) => void = () => undefined,
    isWanted: () => boolean = () => true,
  ): void {
    const again = (): void =>
      this.schedule.after(200 + this.random.integer(300), () =>
        this.retry(at, request, done, isWanted),
      )
    const node = at()
    if (node === undefined || !isWanted()) {
      if (!isWanted()) return
      again()
      return
    }
    const answer: Caller<WriteReply> = (outcome) => {
      if (!(outcome instanceof SwarmError)) done(outcome)
      else if (outcome.code === 'already-exists')
        done({ index: 0, id: '', warnings: [], member: undefined, members: [] })
      else again()
    }
    node.write(typeof request === 'function' ? request() : request, false, answer)
  }

  /** Members find each other: streams between Raft members open and close with the network. */
  membersSeen(node: SimNode, members: readonly Member[]): void {
    for (const member of members) {
      this.#meet(node, member.raftAddr)
      const peer = this.findByRaftId(member.raftId)
      if (peer?.manager === undefined || peer === node || peer.epoch !== node.epoch) continue
      if (this.network.isCut(node.id, peer.id) || this.network.isCut(peer.id, node.id)) continue
      this.schedule.after(3, () => {
        if (peer.manager !== undefined && peer.raftId === member.raftId && node.isUp)
          node.peerConnected(member.raftId)
      })
    }
  }

  /** Peer streams as the network allows: asked for again and again, as a dialler does. */
  refreshPeers(): void {
    for (const node of this.listManagers())
      if (node.epoch < this.checkers.epoch)
        for (const { raftAddr } of node.manager?.status().members ?? []) this.#meet(node, raftAddr)
    for (const node of this.listManagers())
      for (const peer of this.listManagers())
        if (node !== peer && peer.raftId !== 0 && node.epoch === peer.epoch) {
          const isCut = this.network.isCut(node.id, peer.id) || this.network.isCut(peer.id, node.id)
          if (isCut) node.peerClosed(peer.raftId)
          else node.peerConnected(peer.raftId)
        }
  }

  /** A member dials another one; who is of a group that is over is told so, and refused. */
  #meet(node: SimNode, raftAddr: string): void {
    for (const peer of this.nodes.values()) {
      if (peer.raftAddr !== raftAddr || peer.epoch <= node.epoch) continue
      if (peer.consensus === undefined || peer.isPaused) continue
      if (this.network.isCut(node.id, peer.id) || this.network.isCut(peer.id, node.id)) continue
      this.schedule.after(3, () => node.shutOut(peer.epoch))
    }
  }

  restartLater(node: SimNode): void {
    this.schedule.after(500 + this.random.integer(4_000), () => {
      if (!node.isUp) this.restart(node)
    })
  }

  restart(node: SimNode): void {
    // Before it has joined there is nothing to start, and after it has left.
    if (node.claims === undefined || this.nodes.get(node.id) !== node) return
    if (this.core?.has(node.id) === false || this.lost.has(node.id)) return
    this.trace(`${node.id} starts`)
    node.boot()
    this.refreshPeers()
  }

  /** Events happen until `untilMs`, or the run has failed. */
  run(untilMs: number): void {
    while (this.#violations.length === 0 && this.schedule.step(untilMs));
  }

  #logOf(id: string): Log {
    const at =
      (level: string) =>
      (fields: Readonly<Record<string, unknown>>, message: string): void =>
        this.trace(`${id} ${level} ${message} ${JSON.stringify(fields)}`)
    const log: Log = {
      error: (fields, message) => {
        at('error')(fields, message)
        if (message.includes('assertion') || message.includes('set aside'))
          this.violation(`${id}: ${message} ${JSON.stringify(fields)}`)
      },
      warn: (fields, message) => {
        at('warn')(fields, message)
        const manager = this.nodes.get(id)
        if (message !== 'cloned identity found' || manager === undefined) return
        const agent = { nodeId: String(fields['node']), instance: String(fields['refused']) }
        this.checkers.refusedClone(agent, manager)
      },
      info: (fields, message) => {
        at('info')(fields, message)
        const manager = this.nodes.get(id)
        if (message === 'node turned down' && fields['reason'] === 'heartbeat failure' && manager)
          this.checkers.turnedDown(String(fields['node']), manager)
      },
      debug: this.#onTrace === undefined ? () => undefined : at('debug'),
      trace: () => undefined,
      child: () => log,
    }
    return log
  }
}

function drawRates(random: SeededRandom): Rates {
  const pick = <T>(...choices: readonly T[]): T => choices[random.integer(choices.length)] as T
  return {
    loss: pick(0, 0, 0.01, 0.05, 0.3),
    duplication: pick(0, 0, 0.05, 0.3),
    delayMeanMs: pick(0.5, 2, 10, 30),
    spike: pick(0, 0, 0.001, 0.01),
    diskDelayMeanMs: pick(0.1, 1, 10),
    prepareFailure: pick(0, 0.02, 0.2),
    exitPerMinute: pick(0, 0.1, 0.5),
    ignoresTerm: pick(0, 0, 0.1, 0.5),
    ailments: {
      stillborn: pick(0, 0, 0.2, 0.5),
      sickPerMinute: pick(0, 0.1, 0.5),
      falseAlarm: pick(0, 0, 0.1),
    },
    snapshotEntries: pick(200, 200, 50, 15),
    keepEntries: pick(20, 20, 5, 0),
    messageBytes: pick(1 << 20, 1 << 20, 2_000, 1),
    faultEveryMs: pick(3_000, 8_000, 20_000),
    certLifeMs: pick(90 * DAY_MS, 90 * DAY_MS, 2 * DAY_MS),
    committedBytes: pick(8 << 20, 8 << 20, 4_000, 1),
    threadTurnMeanMs: pick(0.1, 1, 1, 4),
    jobFailure: pick(0, 0.2, 0.5),
  }
}
