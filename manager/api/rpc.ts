/**
 * The gRPC services of a manager: each method one or a few lines onto the manager's shell. Who may
 * call is decided by `authorize` before anything is decoded; what happens then is the handlers'.
 */
import { SwarmError } from '../../lib/errors.ts'
import { newId } from '../../lib/id.ts'
import type { Log } from '../../lib/log.ts'
import type { Random } from '../../lib/random.ts'
import { bootstrapService, type CertificateReply, caService } from '../../proto/gen/ca.ts'
import {
  type Caller,
  controlService,
  emptyCaller,
  type ForwardedWrite,
  type ForwardOutcome,
  type RelayReply,
  type RelayRequest,
  type WriteReply,
  type WriteRequest,
} from '../../proto/gen/control.ts'
import {
  type AgentCommand,
  type AgentMessage,
  dispatcherService,
  type SessionMessage,
} from '../../proto/gen/dispatcher.ts'
import { type LogMessage, logsService } from '../../proto/gen/logs.ts'
import type { NodeRole } from '../../proto/gen/types.ts'
import { addService, type RpcServer } from '../../proto/grpc.ts'
import type { BidiStream, CallContext } from '../../proto/rpc.ts'
import { authorize } from '../ca/authorize.ts'
import { getCluster, getRootCa, planJoin, planRenewal } from '../ca/ca.ts'
import { certificateLife } from '../ca/certificate-life.ts'
import type { CertificateClaims, Signer } from '../ca/signer.ts'
import type { View } from '../store/view.ts'

/** What the services need of the daemon around them. */
export type RpcHost = {
  readonly clusterId: string
  /** Of this manager's group: force-new-cluster begins the next one. */
  readonly epoch: number
  readonly signer: Signer
  readonly random: Random
  readonly log: Log
  readonly readClaims: (certificate: Uint8Array) => CertificateClaims
  readonly wallMs: () => number
  readonly view: () => View
  readonly write: (request: WriteRequest) => Promise<WriteReply>
  readonly forwards: (stream: BidiStream<ForwardedWrite, ForwardOutcome>) => Promise<void>
  readonly relay: (request: RelayRequest) => Promise<RelayReply>
  readonly command: (nodeId: string, command: AgentCommand, hops: number) => Promise<boolean>
  readonly digest: (index: number) => Promise<Uint8Array>
  readonly session: (
    nodeId: string,
    peerAddr: string,
    stream: BidiStream<AgentMessage, SessionMessage>,
  ) => Promise<void>
  readonly publishLogs: (nodeId: string, messages: AsyncIterable<LogMessage>) => Promise<void>
  /** Control addresses of the managers, host:port. */
  readonly managerAddrs: () => readonly string[]
}

/** What a stranger reaches: the root, and a certificate for a valid token. */
export function addBootstrapService(server: RpcServer, host: RpcHost): void {
  addService(
    server,
    bootstrapService,
    {
      getRootCertificate: async () => ({
        certificatePem: getRootCa(host.view()).certificatePem,
      }),
      issueCertificate: async ({ token, csrPem, availability }) => {
        const role = planJoin(host.view(), token)
        return issue(host, csrPem, {
          token,
          nodeId: newId(host.random),
          role,
          availability,
          caller: emptyCaller,
        })
      },
    },
    { admit: () => undefined, onError: (error) => logBug(host, error) },
  )
}

/** What nodes reach, each method for the roles named in its `.proto`. */
export function addMemberServices(server: RpcServer, host: RpcHost): void {
  const callerOf = (call: CallContext, roles: readonly string[]): Caller => {
    if (call.certificate === undefined)
      throw new SwarmError('unauthenticated', 'a node’s certificate is needed')
    return authorize(host.view(), host.readClaims(call.certificate), {
      roles,
      clusterId: host.clusterId,
      wallMs: host.wallMs(),
    })
  }
  const anyRole = ['worker', 'manager']
  const options = {
    admit: (method: { readonly roles: readonly string[] }, call: CallContext): void => {
      callerOf(call, method.roles)
    },
    onError: (error: unknown): void => logBug(host, error),
  }
  addService(
    server,
    dispatcherService,
    {
      session: (stream, call) =>
        host.session(callerOf(call, anyRole).nodeId, hostOf(call.peerAddress), stream),
    },
    options,
  )
  addService(
    server,
    caService,
    {
      renewCertificate: async ({ csrPem }, call) => {
        const caller = callerOf(call, anyRole)
        const role = planRenewal(host.view(), caller.nodeId)
        return issue(host, csrPem, {
          token: '',
          nodeId: caller.nodeId,
          role,
          availability: 'active',
          caller,
        })
      },
      joinMembers: async ({ raftAddr, addr, raftId }, call) => {
        const caller = callerOf(call, ['manager'])
        const reply = await host.write({
          caller,
          body: {
            kind: 'memberJoin',
            memberJoin: { nodeId: caller.nodeId, raftAddr, addr, raftId },
          },
        })
        const { member, members } = reply
        return { member, members, clusterId: host.clusterId, epoch: host.epoch }
      },
      leave: async (_, call) => {
        const caller = callerOf(call, anyRole)
        await host.write({
          caller,
          body: {
            kind: 'nodeLeave',
            nodeLeave: { nodeId: caller.nodeId, announceReturn: false, returnMs: 0 },
          },
        })
        return {}
      },
    },
    options,
  )
  addService(
    server,
    controlService,
    {
      forward: (stream) => host.forwards(stream),
      relay: (request) => host.relay(request),
      digest: async ({ index }) => ({ digest: await host.digest(index) }),
      command: async ({ nodeId, command, hops }) => ({
        delivered: command === undefined ? false : await host.command(nodeId, command, hops),
      }),
    },
    options,
  )
  addService(
    server,
    logsService,
    {
      publish: async (stream, call) => {
        await host.publishLogs(callerOf(call, anyRole).nodeId, stream)
        await stream.send({})
      },
    },
    options,
  )
}

type Issue = {
  readonly token: string
  readonly nodeId: string
  readonly role: NodeRole
  readonly availability: 'active' | 'pause' | 'drain'
  readonly caller: Caller
}

/** Signed here, then checked again and recorded by the leader, then handed out. */
async function issue(host: RpcHost, csrPem: string, wanted: Issue): Promise<CertificateReply> {
  const view = host.view()
  const cluster = getCluster(view)
  const root = getRootCa(view)
  const { notBeforeMs, notAfterMs } = certificateLife(cluster, host.wallMs())
  const certificatePem = await host.signer.sign(
    csrPem,
    { nodeId: wanted.nodeId, role: wanted.role, clusterId: cluster.id, notBeforeMs, notAfterMs },
    root,
  )
  await host.write({
    caller: wanted.caller,
    body: {
      kind: 'certificateIssue',
      certificateIssue: {
        token: wanted.token,
        nodeId: wanted.nodeId,
        role: wanted.role,
        certificatePem,
        expiresMs: notAfterMs,
        availability: wanted.availability,
      },
    },
  })
  return {
    nodeId: wanted.nodeId,
    clusterId: cluster.id,
    role: wanted.role,
    certificatePem,
    rootCertificatePem: root.certificatePem,
    expiresMs: notAfterMs,
    managerAddrs: host.managerAddrs(),
  }
}

function logBug(host: RpcHost, error: unknown): void {
  host.log.error({ error }, 'call met a bug')
}

/** The address without its port. */
function hostOf(peerAddress: string): string {
  const at = peerAddress.lastIndexOf(':')
  return at < 0 ? peerAddress : peerAddress.slice(0, at).replaceAll(/^\[|\]$/g, '')
}
