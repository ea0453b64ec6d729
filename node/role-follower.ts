/**
 * RoleFollower: what a node has to do next so that its certificate, its member of the Raft group and
 * its log follow the role that the cluster wants for it (DESIGN sections 4 and 10). A pure machine: it
 * says one step at a time from what is the case, so a crash between two steps is gone on from at the
 * next start. `node.ts` carries the steps out, and so do the nodes of the simulator.
 *
 *   promoted: renew ─▶ join-and-start
 *   removed:  stop ─▶ forget-member ─▶ join-and-start   (demoted and promoted before it noticed)
 *   demoted:  renew ─▶ stop ─▶ forget-member              (also where only a refusal tells)
 */
import type { Code } from '../lib/errors.ts'
import { type Life, renewalMs } from '../manager/ca/certificate-life.ts'
import type { CertificateClaims } from '../manager/ca/signer.ts'
import type { NodeChange } from '../proto/gen/dispatcher.ts'

/** A renewal that failed is tried again after this long. */
const RENEW_RETRY_MS = 5_000
/** What was just renewed may be old already by this node's clock, which then is far from its manager's. */
const RENEW_AGAIN_MS = 600_000
/** A manager that has known no leader for this long, or is no member by its own log, asks the group. */
const ALONE_MS = 10_000

/** What is the case on this node. */
export type RoleFacts = {
  readonly claims: Pick<CertificateClaims, 'role'>
  /** Of the place on disk; 0 where there is none. */
  readonly raftId: number
  /** Whether `raft/` holds a log. */
  readonly hasLog: boolean
  /** Whether the manager's parts run in this process. */
  readonly isManager: boolean
  /** Whether the group of its log was replaced by another one (force-new-cluster). */
  readonly isShutOut?: boolean
}

export type RoleStep =
  /** A new certificate, with the role that the cluster wants. */
  | 'renew'
  /** Membership with a new Raft id, for an empty data directory, and the manager with it. */
  | 'join-and-start'
  | 'start'
  | 'stop'
  /** First the Raft id, then the log: the id must never be used with a log that is gone. */
  | 'forget-member'

type Wanted = Pick<NodeChange, 'role' | 'renewCertificate'>

export class RoleFollower {
  /** The last the cluster said of this node; undefined when a certificate was had since. */
  #wanted: Wanted | undefined
  /** What was wanted when the renewal began that is under way. */
  #renewing: Wanted | undefined
  /** The group has said that this member is none any more; until its id is forgotten. */
  #isRemoved = false
  /** Wall time since which this manager knows no leader, or last asked; undefined while it knows one. */
  #aloneSinceMs: number | undefined
  /** Wall time at which the certificate is renewed for its age. */
  #renewAtMs = Number.POSITIVE_INFINITY
  /** Wall time at which a step failed last. */
  #failedMs = Number.NEGATIVE_INFINITY
  /** Wall time of the last renewal. */
  #renewedMs = Number.NEGATIVE_INFINITY

  /** The node has this certificate; `fraction` of [0, 1) spreads the renewals of many. */
  certified(claims: Life, fraction: number): void {
    this.#renewAtMs = renewalMs(claims, fraction)
  }

  /** The session says what the cluster wants of this node. */
  told(wanted: Wanted): void {
    this.#wanted = wanted
  }

  /** The next step, or undefined when all is as it should be. Steps are carried out one at a time. */
  next(facts: RoleFacts, wallMs: number): RoleStep | undefined {
    const { claims, raftId, hasLog, isManager, isShutOut = false } = facts
    if (claims.role === 'worker' && isManager) return 'stop'
    if (claims.role === 'worker' && raftId !== 0) return 'forget-member'
    if (isShutOut && isManager) return 'stop'
    if (raftId === 0) this.#isRemoved = false
    if (this.#isRemoved && !isShutOut) return isManager ? 'stop' : 'forget-member'
    if (this.#isOld(wallMs) || this.#isRoleOther(claims.role)) {
      this.#renewing = this.#wanted
      return 'renew'
    }
    // Its log waits for an operator: what it holds may be nowhere else (docs/disasters.md).
    if (claims.role === 'worker' || isManager || isShutOut) return undefined
    return raftId === 0 || !hasLog ? 'join-and-start' : 'start'
  }

  /**
   * Whether to ask the group now if this member still is one, true again only after a while. Nobody
   * tells a removed member, which may be wanted as a manager again before it got another certificate.
   */
  isQuestionDue(
    facts: { readonly isManager: boolean; readonly isAlone: boolean },
    wallMs: number,
  ): boolean {
    if (!facts.isManager || !facts.isAlone) {
      this.#aloneSinceMs = undefined
      return false
    }
    this.#aloneSinceMs ??= wallMs
    if (isWithin(ALONE_MS, this.#aloneSinceMs, wallMs)) return false
    this.#aloneSinceMs = wallMs
    return true
  }

  /** The group's answer: this member is none any more. */
  removed(): void {
    this.#isRemoved = true
  }

  /**
   * No answer but this. Only managers may ask that: for who does not permit it this node is none, so
   * its certificate says more than the cluster wants, and with a new one it learns what that is.
   */
  refused(code: Code): void {
    if (code === 'permission-denied') this.#wanted ??= { role: 'worker', renewCertificate: true }
  }

  /** The renewal was done; what was said meanwhile may be another role again, and still counts. */
  renewed(wallMs: number): void {
    this.#renewedMs = wallMs
    if (this.#wanted === this.#renewing) this.#wanted = undefined
    this.#renewing = undefined
  }

  /** A step failed: age alone asks for a certificate again only after a while. */
  failed(wallMs: number): void {
    this.#failedMs = wallMs
  }

  #isOld(wallMs: number): boolean {
    return (
      wallMs >= this.#renewAtMs &&
      !isWithin(RENEW_RETRY_MS, this.#failedMs, wallMs) &&
      !isWithin(RENEW_AGAIN_MS, this.#renewedMs, wallMs)
    )
  }

  /**
   * The cluster's record may say the wanted role while this node has the old certificate: the
   * answer to a renewal was lost, or the node died before it was on its disk.
   */
  #isRoleOther(role: CertificateClaims['role']): boolean {
    return (
      this.#wanted !== undefined && (this.#wanted.renewCertificate || this.#wanted.role !== role)
    )
  }
}

/** Less than that has passed since then. By a clock that was set back meanwhile, nobody knows: it has. */
function isWithin(durationMs: number, sinceMs: number, wallMs: number): boolean {
  return wallMs >= sinceMs && wallMs - sinceMs < durationMs
}
