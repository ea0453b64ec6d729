/**
 * The swarm itself in the Engine API: `/swarm` (swarm-mode.md 6.2). Init, join and leave concern this
 * node and go to the daemon; the rest is the cluster's.
 */
import { SwarmError } from '../../../lib/errors.ts'
import { getCluster } from '../../ca/ca.ts'
import type { LocalNode } from '../backend.ts'
import { getVersion, isSet } from './query.ts'
import { type Answer, type Api, type Ask, done, json, type Route, readView } from './route.ts'
import { swarmToJson } from './shape/objects.ts'
import { clusterSpec, initRequest, joinRequest } from './shape/specs.ts'

export const swarmRoutes: readonly Route[] = [
  { method: 'GET', path: '/swarm', answer: inspectSwarm },
  { method: 'POST', path: '/swarm/init', answer: initSwarm, isPatient: true },
  { method: 'POST', path: '/swarm/join', answer: joinSwarm, isPatient: true },
  { method: 'POST', path: '/swarm/leave', answer: leaveSwarm, isPatient: true },
  { method: 'POST', path: '/swarm/update', answer: updateSwarm },
  { method: 'GET', path: '/swarm/unlockkey', answer: showUnlockKey },
  { method: 'POST', path: '/swarm/unlock', answer: unlockSwarm },
]

async function inspectSwarm(api: Api, ask: Ask): Promise<Answer> {
  return json(swarmToJson(getCluster(await readView(api, ask))))
}

async function initSwarm(api: Api, ask: Ask): Promise<Answer> {
  const request = initRequest.read(ask.body ?? {}, '')
  return json(await api.backend.init(request))
}

async function joinSwarm(api: Api, ask: Ask): Promise<Answer> {
  const request = joinRequest.read(ask.body ?? {}, '')
  if (request.remoteAddrs.length === 0)
    throw new SwarmError('invalid-argument', 'at least 1 RemoteAddr is required to join')
  if (request.joinToken === '')
    throw new SwarmError('invalid-argument', 'join token is necessary to join a cluster')
  await api.backend.join(request)
  return done()
}

async function leaveSwarm(api: Api, ask: Ask): Promise<Answer> {
  const force = isSet(ask.query, 'force')
  if (!force) refuseLeavingManager(api.backend.local())
  await api.backend.leave({ force })
  return done()
}

async function updateSwarm(api: Api, ask: Ask): Promise<Answer> {
  if (isSet(ask.query, 'rotateManagerUnlockKey'))
    throw new SwarmError('unimplemented', 'rotateManagerUnlockKey is not supported yet')
  await api.backend.write({
    kind: 'clusterUpdate',
    clusterUpdate: {
      version: getVersion(ask.query),
      spec: clusterSpec.read(ask.body ?? {}, ''),
      rotateWorkerToken: isSet(ask.query, 'rotateWorkerToken'),
      rotateManagerToken: isSet(ask.query, 'rotateManagerToken'),
    },
  })
  return done()
}

/** Managers are never locked yet: there is no key, as on a swarm without autolock. */
async function showUnlockKey(api: Api, ask: Ask): Promise<Answer> {
  await readView(api, ask)
  return json({ UnlockKey: '' })
}

async function unlockSwarm(api: Api): Promise<Answer> {
  if (api.backend.local().state === 'inactive')
    throw new SwarmError('unavailable', 'This node is not part of a swarm')
  throw new SwarmError('already-exists', 'swarm is not locked')
}

/** Docker's words for a manager that leaves without `force`. */
function refuseLeavingManager({ isManager, managers }: LocalNode): void {
  if (!isManager) return
  const reachable = managers.filter(({ isReachable }) => isReachable).length
  const leaving =
    'You are attempting to leave the swarm on a node that is participating as a manager. '
  const remaining = managers.length - 1
  const why =
    managers.length <= 1
      ? 'Removing the last manager erases all current state of a swarm. Use `--force` to ignore this message. '
      : reachable - 1 <= remaining / 2
        ? `Removing this node leaves ${remaining} managers of which ${Math.max(0, reachable - 1)} are reachable. Without a majority the swarm cannot be changed any more. Use \`--force\` to suppress this message. `
        : 'Demote it first with `node demote`, or use `--force` to suppress this message. '
  throw new SwarmError('unavailable', leaving + why)
}
