/**
 * Which handler evaluates which request, and which reconcilers run in which order (DESIGN section
 * 6). Both lists are here and nowhere else.
 */
import { SwarmError } from '../lib/errors.ts'
import type { WriteRequest } from '../proto/gen/control.ts'
import { reconcileAllocator } from './allocator/allocator.ts'
import { handleNodeRemove, handleNodeUpdate } from './api/nodes.ts'
import {
  handleConfigCreate,
  handleConfigRemove,
  handleConfigUpdate,
  handleSecretCreate,
  handleSecretRemove,
  handleSecretUpdate,
} from './api/secrets.ts'
import { handleServiceCreate, handleServiceRemove, handleServiceUpdate } from './api/services.ts'
import { handleClusterCreate, handleClusterUpdate } from './api/swarm.ts'
import { handleCertificateIssue } from './ca/ca.ts'
import { handleNodeLeave, handleNodeRegister, handleStatusReport } from './dispatcher/handlers.ts'
import type { Loop } from './leader.ts'
import { newDrainReconciler } from './orchestrator/drain.ts'
import { newEnforcer } from './orchestrator/enforcer.ts'
import { newGlobalReconciler } from './orchestrator/global.ts'
import { newJobReconciler } from './orchestrator/jobs.ts'
import { newReaper } from './orchestrator/reaper.ts'
import { newReplicatedReconciler } from './orchestrator/replicated.ts'
import { newRestartReconciler } from './orchestrator/restart.ts'
import { newUpdateReconciler } from './orchestrator/update.ts'
import { Scheduler } from './scheduler/scheduler.ts'
import type { Handled, HandlerContext } from './store/handler.ts'
import type { View } from './store/view.ts'
import { refuseUnspoken } from './versions.ts'

/** The changes and the reply of a request; throws its refusal. */
export function handleWrite(view: View, request: WriteRequest, context: HandlerContext): Handled {
  const { body } = request
  const unspoken = refuseUnspoken(view, request)
  if (unspoken !== undefined) throw unspoken
  switch (body?.kind) {
    case 'serviceCreate':
      return handleServiceCreate(view, body.serviceCreate, context)
    case 'serviceUpdate':
      return handleServiceUpdate(view, body.serviceUpdate, context)
    case 'serviceRemove':
      return handleServiceRemove(view, body.serviceRemove, context)
    case 'nodeUpdate':
      return handleNodeUpdate(view, body.nodeUpdate, context)
    case 'nodeRemove':
      return handleNodeRemove(view, body.nodeRemove, context)
    case 'secretCreate':
      return handleSecretCreate(view, body.secretCreate, context)
    case 'secretUpdate':
      return handleSecretUpdate(view, body.secretUpdate, context)
    case 'secretRemove':
      return handleSecretRemove(view, body.secretRemove, context)
    case 'configCreate':
      return handleConfigCreate(view, body.configCreate, context)
    case 'configUpdate':
      return handleConfigUpdate(view, body.configUpdate, context)
    case 'configRemove':
      return handleConfigRemove(view, body.configRemove, context)
    case 'clusterUpdate':
      return handleClusterUpdate(view, body.clusterUpdate, context)
    case 'clusterCreate':
      return handleClusterCreate(view, body.clusterCreate, context)
    case 'nodeRegister':
      return handleNodeRegister(view, body.nodeRegister, context)
    case 'statusReport':
      return handleStatusReport(view, body.statusReport, context)
    case 'nodeLeave':
      return handleNodeLeave(view, body.nodeLeave, context)
    case 'certificateIssue':
      return handleCertificateIssue(view, body.certificateIssue, context)
    case 'memberJoin':
      throw new SwarmError('internal', 'membership is changed through Raft, not through the store')
    case undefined:
      throw new SwarmError('invalid-argument', 'the request has no body this version knows')
    default:
      return body satisfies never
  }
}

/** The reconcilers of a new leader, in their order. */
export function newLoops(): readonly Loop[] {
  const scheduler = new Scheduler()
  return [
    { name: 'replicated', reconcile: newReplicatedReconciler() },
    { name: 'global', reconcile: newGlobalReconciler() },
    { name: 'jobs', reconcile: newJobReconciler() },
    { name: 'update', reconcile: newUpdateReconciler() },
    { name: 'drain', reconcile: newDrainReconciler() },
    { name: 'restart', reconcile: newRestartReconciler() },
    { name: 'enforcer', reconcile: newEnforcer() },
    { name: 'allocator', reconcile: reconcileAllocator },
    { name: 'scheduler', reconcile: (round) => scheduler.reconcile(round), knowsOwn: true },
    { name: 'reaper', reconcile: newReaper() },
  ]
}
