/**
 * Metrics in Prometheus' text format, with SwarmKit's names where it has them (swarm-mode.md 2.1).
 * Computed when asked for: nothing is counted twice.
 */
import type { TaskState } from '../proto/gen/types.ts'
import type { AgentShell } from './agent-shell.ts'
import type { ManagerShell } from './manager-shell.ts'

export type MetricsSource = {
  readonly nodeId: string
  readonly clusterId: string
  readonly manager: ManagerShell | undefined
  readonly agent: AgentShell | undefined
  readonly loopDelayMs: number
}

type Sample = { readonly labels?: Readonly<Record<string, string>>; readonly value: number }
type Family = {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter'
  readonly samples: readonly Sample[]
}

export function formatMetrics(source: MetricsSource): string {
  const families = [
    ...nodeFamilies(source),
    ...managerFamilies(source.manager),
    ...agentFamilies(source.agent),
  ]
  return families.map(formatFamily).join('')
}

function nodeFamilies(source: MetricsSource): readonly Family[] {
  const labels = { swarm_id: source.clusterId, node_id: source.nodeId }
  return [
    gauge('swarm_node_info', 'Information about this node', [{ labels, value: 1 }]),
    gauge('swarm_node_manager', 'Whether this node is a manager', [
      { value: source.manager === undefined ? 0 : 1 },
    ]),
    gauge('tsswarm_loop_delay_seconds', 'How late the main thread’s last round was', [
      { value: source.loopDelayMs / 1_000 },
    ]),
    gauge('process_resident_memory_bytes', 'Resident memory of the daemon', [
      { value: process.memoryUsage.rss() },
    ]),
  ]
}

function managerFamilies(manager: ManagerShell | undefined): readonly Family[] {
  if (manager === undefined) return []
  const view = manager.view()
  const status = manager.status()
  const { snapshotsInstalled, commit } = manager.metrics()
  const nodes = new Map<string, number>()
  for (const node of view.nodes.list()) add(nodes, node.status?.state ?? 'unknown')
  const tasks = new Map<string, number>()
  for (const task of view.tasks.list()) {
    const state: TaskState = task.status?.state ?? 'new'
    add(tasks, state)
  }
  return [
    gauge('swarm_manager_leader', 'Whether this manager leads', [
      { value: status.isLeading ? 1 : 0 },
    ]),
    gauge('swarm_manager_nodes', 'Nodes by state', samplesOf(nodes)),
    gauge('swarm_manager_tasks_total', 'Tasks by state', samplesOf(tasks)),
    gauge('swarm_manager_services_total', 'Services', [{ value: view.services.size }]),
    gauge('swarm_manager_secrets_total', 'Secrets', [{ value: view.secrets.size }]),
    gauge('swarm_manager_configs_total', 'Configs', [{ value: view.configs.size }]),
    gauge('tsswarm_raft_term', 'Raft term', [{ value: status.term }]),
    gauge('tsswarm_raft_commit_index', 'Commit index of this member', [{ value: commit }]),
    gauge('tsswarm_raft_applied_index', 'Log index applied to the store', [{ value: view.index }]),
    gauge('tsswarm_sessions', 'Sessions of agents held by this manager', [
      { value: status.sessions },
    ]),
    counter(
      'snapshots_installed',
      'Snapshots of a leader installed since the start',
      snapshotsInstalled,
    ),
  ]
}

function agentFamilies(agent: AgentShell | undefined): readonly Family[] {
  if (agent === undefined) return []
  const status = agent.status()
  return [
    counter('agent_session_starts_total', 'Sessions begun with a manager', status.sessionStarts),
    counter(
      'agent_sets_refused_total',
      'Assignments refused because they were older',
      status.setsRefused,
    ),
    gauge('agent_tasks', 'Tasks this node has', [{ value: status.tasks }]),
  ]
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

function samplesOf(counts: ReadonlyMap<string, number>): readonly Sample[] {
  return [...counts].map(([state, value]) => ({ labels: { state }, value }))
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, help, type: 'gauge', samples }
}

function counter(name: string, help: string, value: number): Family {
  return { name, help, type: 'counter', samples: [{ value }] }
}

function formatFamily({ name, help, type, samples }: Family): string {
  const lines = samples.map(({ labels, value }) => `${name}${formatLabels(labels)} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  if (labels === undefined) return ''
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeValue(value)}"`)
  return `{${pairs.join(',')}}`
}

function escapeValue(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
