/**
 * The flags of `service create` and `service update`: Docker's names, and the list of those that
 * this version does not have, so that they are refused as such and never as misspelt.
 */
import type { FlagSpec } from '../command.ts'

export const WAIT_FLAGS: readonly FlagSpec[] = [
  { flags: '-d, --detach', help: 'Exit at once instead of waiting for the service to converge' },
  { flags: '-q, --quiet', help: 'Show no progress' },
]

export const SETTING_FLAGS: readonly FlagSpec[] = [
  { flags: '--replicas <N>', help: 'Number of tasks; of a job, how often it is to be done' },
  { flags: '--max-concurrent <N>', help: 'Tasks of a job at one time (default: all of them)' },
  { flags: '--replicas-max-per-node <N>', help: 'Most tasks on one node (0: no limit)' },
  { flags: '--placement-strategy <STRATEGY>', help: 'spread or binpack (default spread)' },
  {
    flags: '--max-unavailable <N>',
    help: 'Most tasks taken down on purpose at once (0: no limit)',
  },
  { flags: '-u, --user <USER>', help: 'NAME|UID[:GROUP|GID]' },
  { flags: '-w, --workdir <DIR>', help: 'Working directory in the container' },
  { flags: '--hostname <NAME>', help: 'Host name of the container' },
  { flags: '--entrypoint <COMMAND>', help: "Replaces the image's ENTRYPOINT" },
  { flags: '--read-only', help: 'Mount the root file system of the container read only' },
  { flags: '--stop-signal <SIGNAL>', help: 'Signal to stop with' },
  { flags: '--stop-grace-period <DURATION>', help: 'Time between it and SIGKILL (default 10s)' },
  { flags: '--limit-cpu <N>', help: 'Processors, at most' },
  { flags: '--limit-memory <SIZE>', help: 'Memory, at most' },
  { flags: '--limit-pids <N>', help: 'Processes, at most (0: no limit)' },
  { flags: '--reserve-cpu <N>', help: 'Processors to keep free for each task' },
  { flags: '--reserve-memory <SIZE>', help: 'Memory to keep free for each task' },
  { flags: '--restart-condition <WHEN>', help: 'none, on-failure or any (default any)' },
  { flags: '--restart-delay <DURATION>', help: 'Time between attempts (default 5s)' },
  {
    flags: '--restart-max-delay <DURATION>',
    help: 'Double the delay with each restart in a row, up to this (default 0s: never)',
  },
  { flags: '--restart-max-attempts <N>', help: 'Attempts before giving up (default: no limit)' },
  { flags: '--restart-window <DURATION>', help: 'Time over which attempts are counted' },
  {
    flags: '--disconnect-lost-after <DURATION>',
    help: 'Time after which a task on a node that is down is replaced (default 0s: at once)',
  },
  {
    flags: '--disconnect-stop-after <DURATION>',
    help: 'A node without contact stops the task itself after this, and only then is it replaced (default 0s: never)',
  },
  {
    flags: '--disconnect-keep <TASK>',
    help: 'When the node is back, the replacement or the original stays (default replacement)',
  },
  { flags: '--update-parallelism <N>', help: 'Tasks updated at once (0: all; default 1)' },
  { flags: '--update-delay <DURATION>', help: 'Time between updates (default 0s)' },
  { flags: '--update-order <ORDER>', help: 'stop-first or start-first (default stop-first)' },
  {
    flags: '--update-monitor <DURATION>',
    help: 'Time to watch a new task for failure (default 5s)',
  },
  {
    flags: '--update-failure-action <ACTION>',
    help: 'pause, continue or rollback (default pause)',
  },
  { flags: '--update-max-failure-ratio <RATIO>', help: 'Failures to tolerate, 0 to 1 (default 0)' },
  { flags: '--rollback-parallelism <N>', help: 'Tasks rolled back at once (0: all; default 1)' },
  { flags: '--rollback-delay <DURATION>', help: 'Time between rollbacks (default 0s)' },
  { flags: '--rollback-order <ORDER>', help: 'stop-first or start-first (default stop-first)' },
  {
    flags: '--rollback-monitor <DURATION>',
    help: 'Time to watch a task rolled back for failure (default 5s)',
  },
  { flags: '--rollback-failure-action <ACTION>', help: 'pause or continue (default pause)' },
  {
    flags: '--rollback-max-failure-ratio <RATIO>',
    help: 'Failures of a rollback to tolerate, 0 to 1 (default 0)',
  },
  { flags: '--cap-add <CAPABILITY>', help: 'Add a Linux capability', isList: true },
  { flags: '--cap-drop <CAPABILITY>', help: 'Drop a Linux capability', isList: true },
  { flags: '--health-cmd <COMMAND>', help: 'Line of shell that says whether a container works' },
  { flags: '--health-interval <DURATION>', help: 'Time between two checks (default 30s)' },
  { flags: '--health-timeout <DURATION>', help: 'Time that a check may take (default 30s)' },
  { flags: '--health-retries <N>', help: 'Failures in a row that end a container (default 3)' },
  { flags: '--health-start-period <DURATION>', help: 'Time in which failures do not count' },
  {
    flags: '--health-start-interval <DURATION>',
    help: 'Time between two checks in the start period (default 5s)',
  },
  { flags: '--no-healthcheck', help: 'No check, whatever the image says' },
  { flags: '--with-registry-auth', help: 'Send credentials of the registry to the nodes' },
  { flags: '--no-resolve-image', help: 'Do not pin the image by digest; tsswarm never does' },
]

export const CREATE_FLAGS: readonly FlagSpec[] = [
  { flags: '--name <NAME>', help: 'Name of the service (default: a random one)' },
  {
    flags: '--mode <MODE>',
    help: 'replicated, global, replicated-job or global-job (default replicated)',
  },
  ...SETTING_FLAGS,
  { flags: '-e, --env <KEY=VALUE>', help: 'Environment variable', isList: true },
  { flags: '--env-file <FILE>', help: 'File of environment variables', isList: true },
  { flags: '-l, --label <KEY=VALUE>', help: 'Label of the service', isList: true },
  { flags: '--container-label <KEY=VALUE>', help: 'Label of its containers', isList: true },
  {
    flags: '--constraint <EXPRESSION>',
    help: 'Only on nodes like node.role==worker',
    isList: true,
  },
  {
    flags: '--placement-pref <PREFERENCE>',
    help: 'Spread over a label: spread=node.labels.zone',
    isList: true,
  },
  { flags: '--affinity <SERVICE>', help: 'Only beside service=NAME', isList: true },
  { flags: '--anti-affinity <SERVICE>', help: 'Never beside service=NAME', isList: true },
  {
    flags: '--generic-resource <KIND=N>',
    help: 'Generic resources to keep for each task',
    isList: true,
  },
  {
    flags: '--mount <MOUNT>',
    help: 'type=bind|volume|tmpfs,source=…,target=…[,readonly]',
    isList: true,
  },
  { flags: '-p, --publish <PORT>', help: 'target=80,published=8080,mode=host', isList: true },
  { flags: '--network <NETWORK>', help: "host, for the node's own network", isList: true },
  ...WAIT_FLAGS,
]

export const UPDATE_FLAGS: readonly FlagSpec[] = [
  { flags: '--image <IMAGE>', help: 'Image to run' },
  { flags: '--args <ARGS>', help: 'Arguments of the command' },
  { flags: '--force', help: 'Restart all tasks even if nothing changes' },
  { flags: '--rollback', help: 'Go back to the spec before, as service rollback does' },
  ...SETTING_FLAGS,
  { flags: '--env-add <KEY=VALUE>', help: 'Add or change a variable', isList: true },
  { flags: '--env-rm <KEY>', help: 'Remove a variable', isList: true },
  { flags: '--label-add <KEY=VALUE>', help: 'Add or change a label', isList: true },
  { flags: '--label-rm <KEY>', help: 'Remove a label', isList: true },
  {
    flags: '--container-label-add <KEY=VALUE>',
    help: 'Add or change one of containers',
    isList: true,
  },
  { flags: '--container-label-rm <KEY>', help: 'Remove a label of containers', isList: true },
  { flags: '--constraint-add <EXPRESSION>', help: 'Add a constraint', isList: true },
  { flags: '--constraint-rm <EXPRESSION>', help: 'Remove a constraint', isList: true },
  { flags: '--placement-pref-add <PREFERENCE>', help: 'Add a preference', isList: true },
  { flags: '--placement-pref-rm <PREFERENCE>', help: 'Remove a preference', isList: true },
  { flags: '--affinity-add <SERVICE>', help: 'Only beside service=NAME', isList: true },
  { flags: '--affinity-rm <SERVICE>', help: 'Not only beside it any more', isList: true },
  { flags: '--anti-affinity-add <SERVICE>', help: 'Never beside service=NAME', isList: true },
  { flags: '--anti-affinity-rm <SERVICE>', help: 'Beside it again', isList: true },
  {
    flags: '--generic-resource-add <KIND=N>',
    help: 'Add or change a generic resource',
    isList: true,
  },
  { flags: '--generic-resource-rm <KIND>', help: 'Remove a generic resource', isList: true },
  { flags: '--mount-add <MOUNT>', help: 'Add or change a mount', isList: true },
  { flags: '--mount-rm <TARGET>', help: 'Remove the mount at this target', isList: true },
  { flags: '--publish-add <PORT>', help: 'Publish a port', isList: true },
  { flags: '--publish-rm <PORT>', help: 'Publish it no more, by its target', isList: true },
  ...WAIT_FLAGS,
]

const REFUSED = [
  'credential-spec',
  'endpoint-mode',
  'init',
  'isolation',
  'log-driver',
  'log-opt',
  'memory-swap',
  'memory-swappiness',
  'oom-score-adj',
  'tty',
  '-t',
]

/** In `create` by this name, in `update` with `-add` and `-rm`. */
const REFUSED_LISTS = [
  'config',
  'dns',
  'dns-option',
  'dns-search',
  'group',
  'host',
  'secret',
  'sysctl',
  'ulimit',
]

export const CREATE_REFUSED: readonly string[] = [...REFUSED, ...REFUSED_LISTS]
export const UPDATE_REFUSED: readonly string[] = [
  ...REFUSED,
  ...[...REFUSED_LISTS, 'network'].flatMap((name) => [`${name}-add`, `${name}-rm`]),
]
