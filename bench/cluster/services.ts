/**
 * Services for agents that are simulated: created over HTTP, as a user's are, and counted as the
 * leader's store has them.
 */
import { Agent } from 'node:http'
import { callApi } from '../../deploy/quickstart/api.ts'
import { type Host, mustTsswarm, type State } from '../../deploy/quickstart/cluster.ts'
import { listNodes } from './loopback.ts'

const CREATORS = 16
/** A connection that the daemon closes while it is idle would fail the next request. */
const CONNECTIONS = new Agent({ keepAlive: false })

/** So many tasks in so many services. */
export type Services = { readonly tasks: number; readonly services: number }

/** Simulated agents have all tasks: a manager's own would start processes. */
export async function drainManagers(state: State): Promise<void> {
  const [first] = state.hosts
  if (first === undefined) return
  for (const { ID } of await listNodes(first))
    await mustTsswarm(first, 'node', 'update', '--availability', 'drain', ID)
}

export async function createServices(
  leader: Host,
  { tasks, services }: Services,
  prefix: string,
): Promise<readonly string[]> {
  const ids: string[] = []
  let next = 0
  const create = async (): Promise<void> => {
    for (let at = next++; at < services; at = next++) {
      const Replicas =
        Math.floor((tasks * (at + 1)) / services) - Math.floor((tasks * at) / services)
      const body = {
        Name: `${prefix}${at}`,
        TaskTemplate: { ContainerSpec: { Image: 'bench:1', Args: ['run'] } },
        Mode: { Replicated: { Replicas } },
      }
      const path = '/services/create'
      const answer = await callApi({
        ...{ socket: leader.socket, method: 'POST', path, body, agent: CONNECTIONS },
      })
      if (answer.status !== 201) throw new Error(`not created: ${JSON.stringify(answer.body)}`)
      const { ID }: { readonly ID?: string } = Object(answer.body)
      if (ID !== undefined) ids.push(ID)
    }
  }
  await Promise.all(Array.from({ length: CREATORS }, create))
  return ids
}

/** As the leader's store says. */
export async function countRunning(leader: Host): Promise<number> {
  const { body } = await callApi({ socket: leader.socket, path: '/services?status=true' })
  const services: readonly { readonly ServiceStatus?: { readonly RunningTasks?: number } }[] =
    Array.isArray(body) ? body : []
  return services.reduce((sum, { ServiceStatus }) => sum + (ServiceStatus?.RunningTasks ?? 0), 0)
}
