/**
 * Life: what a simulated node does for its certificate, its role and its member of the Raft group,
 * and how managers answer it: the twin of `node/node.ts`, `node/join.ts` and the CA's calls of
 * `manager/api/rpc.ts`. What is decided, the production machines decide: `RoleFollower` which step is
 * next, `judgeMembership` what an answer means, `authorize` and `planRenewal` who gets what. It ends
 * with the process; what the disk keeps of a node (its claims, its Raft id, its log) is the SimNode's.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { SeededRandom } from '../../lib/random.ts'
import { authorize } from '../../manager/ca/authorize.ts'
import { getCluster, planRenewal } from '../../manager/ca/ca.ts'
import { certificateLife, newClockRefusal, Offers } from '../../manager/ca/certificate-life.ts'
import type { CertificateClaims } from '../../manager/ca/signer.ts'
import { judgeMembership } from '../../node/membership.ts'
import { RoleFollower, type RoleStep } from '../../node/role-follower.ts'
import type { Caller as Asker, WriteReply } from '../../proto/gen/control.ts'
import type { NodeChange } from '../../proto/gen/dispatcher.ts'
import { type Caller, callNode } from './call.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const ISSUE_MS = 15_000
const MEMBERS_MS = 20_000

export class Life {
  #world: World
  #node: SimNode
  #random: SeededRandom
  #roles = new RoleFollower()
  #isBusy = false
  #isOver = false

  constructor(world: World, node: SimNode, random: SeededRandom) {
    this.#world = world
    this.#node = node
    this.#random = random
    if (node.claims !== undefined) this.#roles.certified(node.claims, random.fraction())
  }

  /** A step is under way. */
  get isChanging(): boolean {
    return this.#isBusy
  }

  /** The process is gone, and whoever answers it answers nobody. */
  end(): void {
    this.#isOver = true
  }

  told(change: NodeChange): void {
    this.#roles.told(change)
  }

  /** The next step, and those after it, unless one is under way; to be called about each second. */
  look(): void {
    const { claims } = this.#node
    if (claims !== undefined) this.#askIfMember(claims)
    if (this.#isOver || this.#isBusy || claims === undefined) return
    const { raftId, hasLog, consensus } = this.#node
    const isManager = consensus !== undefined
    const isShutOut = this.#node.shutOutBy > 0
    const facts = { claims, raftId, hasLog, isManager, isShutOut }
    const step = this.#roles.next(facts, this.#node.wallMs())
    if (step === undefined) return
    this.#isBusy = true
    this.#take(step, claims, (isDone) => {
      if (this.#isOver) return
      this.#isBusy = false
      if (isDone) this.look()
      else this.#roles.failed(this.#node.wallMs())
    })
  }

  #take(step: RoleStep, claims: CertificateClaims, done: (isDone: boolean) => void): void {
    const node = this.#node
    switch (step) {
      case 'renew':
        this.#renew(claims, done)
        break
      case 'join-and-start':
        this.#join(claims, done)
        break
      case 'start':
        node.startManager()
        done(node.consensus !== undefined)
        break
      case 'stop':
        node.stopManager()
        done(true)
        break
      case 'forget-member':
        node.raftId = 0
        node.shutOutBy = 0
        node.removeLog()
        done(true)
        break
      default:
        step satisfies never
    }
  }

  #askIfMember(claims: CertificateClaims): void {
    const { raftId, manager } = this.#node
    const status = manager?.status()
    const isMember = status?.members.some((member) => member.raftId === raftId)
    const facts = {
      isManager: manager !== undefined,
      isAlone: status?.leaderId === 0 || isMember === false,
    }
    if (!this.#roles.isQuestionDue(facts, this.#node.wallMs())) return
    let epoch = 0
    this.#askManagers<WriteReply>(
      MEMBERS_MS,
      (at, reply) => {
        epoch = at.epoch
        joinAt(this.#world, at, { node: this.#node, claims, raftId, reply })
      },
      (outcome) => {
        if (outcome instanceof SwarmError) this.#roles.refused(outcome.code)
        else if (this.#node.raftId === raftId)
          this.#followMembership({ raftId: outcome.member?.raftId, epoch })
      },
    )
  }

  #followMembership(answer: { readonly raftId: number | undefined; readonly epoch: number }): void {
    const verdict = judgeMembership(this.#node, answer)
    switch (verdict) {
      case 'stays':
        break
      case 'removed':
        this.#world.trace(`${this.#node.id} was removed from the group`)
        this.#roles.removed()
        break
      case 'shut-out':
        this.#node.shutOut(answer.epoch)
        break
      default:
        verdict satisfies never
    }
  }

  #renew(claims: CertificateClaims, done: (isDone: boolean) => void): void {
    const offers = new Offers<CertificateClaims>(claims)
    this.#askManagers<CertificateClaims>(
      ISSUE_MS,
      (at, reply) => renewAt(this.#world, at, { claims, reply }),
      (outcome) => {
        const taken = outcome instanceof SwarmError ? offers.best : outcome
        if (taken !== undefined) this.#certified(taken)
        done(taken !== undefined)
      },
      (offer) => {
        const wallMs = this.#node.wallMs()
        return offers.add(offer, offer, wallMs) ? undefined : newClockRefusal(offer, wallMs)
      },
    )
  }

  #certified(claims: CertificateClaims): void {
    this.#node.claims = claims
    this.#roles.certified(claims, this.#random.fraction())
    this.#roles.renewed(this.#node.wallMs())
    this.#world.trace(`${this.#node.id} has the certificate of a ${claims.role}`)
  }

  #join(claims: CertificateClaims, done: (isDone: boolean) => void): void {
    // What another life of this node left there belongs to a member that is gone.
    this.#node.removeLog()
    let epoch = 0
    this.#askManagers<WriteReply>(
      MEMBERS_MS,
      (at, reply) => {
        epoch = at.epoch
        joinAt(this.#world, at, { node: this.#node, claims, raftId: 0, reply })
      },
      (outcome) => {
        const isMember = !(outcome instanceof SwarmError) && outcome.member !== undefined
        if (isMember) {
          const raftId = outcome.member?.raftId ?? 0
          if (raftId !== this.#node.raftId) this.#world.checkers.joined(this.#node, raftId)
          this.#node.raftId = raftId
          this.#node.epoch = epoch
          this.#node.shutOutBy = 0
          this.#world.trace(`${this.#node.id} is member ${this.#node.raftId}`)
          this.#node.startManager()
        }
        done(isMember)
      },
    )
  }

  /**
   * One manager after another, of those that this node knows; the first that says yes, and is taken, is
   * it. As for a daemon, what a manager said is of more use than that another one was silent.
   */
  #askManagers<T>(
    deadlineMs: number,
    ask: (at: SimNode, reply: Caller<T>) => void,
    done: Caller<T>,
    refuse: (answer: T) => SwarmError | undefined = () => undefined,
  ): void {
    const left = this.#node
      .listManagersToAsk()
      .flatMap((addr) => this.#world.findByAddr(addr) ?? [])
    let last = new SwarmError('unavailable', 'no manager could be reached', { retriable: true })
    const next = (): void => {
      const to = left.shift()
      if (to === undefined) {
        this.#world.trace(`${this.#node.id} was refused: ${last.message}`)
        done(last)
        return
      }
      callNode<T>(
        this.#world,
        { from: this.#node, to, deadlineMs },
        (reply) => ask(to, reply),
        (outcome) => {
          if (this.#isOver) return
          const refusal = outcome instanceof SwarmError ? outcome : refuse(outcome)
          if (refusal === undefined) this.#node.guard(() => done(outcome))
          else {
            if (last.code === 'unavailable' || refusal.code !== 'unavailable') last = refusal
            next()
          }
        },
      )
    }
    next()
  }
}

/** Who calls this manager, by its certificate; throws the refusal. */
export function admit(
  world: World,
  at: SimNode,
  options: { readonly claims: CertificateClaims; readonly roles: readonly string[] },
): Asker {
  if (at.manager === undefined)
    throw new SwarmError('unavailable', 'no manager here', { retriable: true })
  return authorize(at.manager.view(), options.claims, {
    roles: options.roles,
    clusterId: world.cluster?.id ?? '',
    wallMs: at.wallMs(),
  })
}

function renewAt(
  world: World,
  at: SimNode,
  call: { readonly claims: CertificateClaims; readonly reply: Caller<CertificateClaims> },
): void {
  refusing(call.reply, () => {
    const { nodeId, clusterId } = call.claims
    const caller = admit(world, at, { claims: call.claims, roles: ['worker', 'manager'] })
    const view = at.manager?.view()
    if (view === undefined) return
    const role = planRenewal(view, nodeId)
    const life = certificateLife(getCluster(view), at.wallMs())
    at.write(
      {
        caller,
        body: {
          kind: 'certificateIssue',
          certificateIssue: {
            token: '',
            nodeId,
            role,
            certificatePem: 'renewed',
            expiresMs: life.notAfterMs,
            availability: 'active',
          },
        },
      },
      false,
      (outcome) =>
        call.reply(outcome instanceof SwarmError ? outcome : { nodeId, clusterId, role, ...life }),
    )
  })
}

function joinAt(
  world: World,
  at: SimNode,
  call: {
    readonly node: SimNode
    readonly claims: CertificateClaims
    readonly raftId: number
    readonly reply: Caller<WriteReply>
  },
): void {
  refusing(call.reply, () => {
    const caller = admit(world, at, { claims: call.claims, roles: ['manager'] })
    const { addr, raftAddr } = call.node
    at.write(
      {
        caller,
        body: {
          kind: 'memberJoin',
          memberJoin: { nodeId: caller.nodeId, raftAddr, addr, raftId: call.raftId },
        },
      },
      false,
      call.reply,
    )
  })
}

/** What is thrown as a refusal is the answer. */
function refusing<T>(reply: Caller<T>, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof SwarmError)) throw error
    reply(error)
  }
}
