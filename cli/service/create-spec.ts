/**
 * The spec of a new service from its flags, in the API's form. What no flag says is not sent, so
 * that the server's defaults hold; Docker does the same (swarm-mode.md 5.3).
 */
import { type Flags, nameOfFlag } from '../command.ts'
import { compact, type Json, type JsonObject } from '../json.ts'
import { parseChoice, parseCount } from '../text/units.ts'
import { usageError } from '../usage-error.ts'
import { chooseCapabilities } from './capability.ts'
import { SETTING_FLAGS } from './flags.ts'
import { type Environment, parseLabels, readEnv } from './label.ts'
import { parseMount } from './mount.ts'
import { applyPlacement } from './placement.ts'
import { parsePublish } from './publish.ts'
import { applySettings } from './settings.ts'

/** ServiceSpec JSON; a usage error names the flag. */
export function createSpec(flags: Flags, args: readonly string[], environment: Environment): Json {
  const [image = '', ...rest] = args
  const constraints = flags.list('constraint')
  const networks = flags.list('network').map((target) => ({ Target: target }))
  const ports = flags.list('publish').flatMap((text) => parsePublish(text, 'publish'))
  const spec = compact({
    Name: flags.text('name'),
    Labels: parseLabels(flags.list('label'), 'label'),
    TaskTemplate: compact({
      ContainerSpec: containerSpec(flags, { image, args: rest, environment }),
      Placement: constraints.length === 0 ? undefined : { Constraints: constraints },
      Networks: unlessEmpty(networks),
    }),
    Mode: modeOf(flags),
    EndpointSpec: ports.length === 0 ? undefined : { Ports: ports },
  })
  return applyPlacement(applySettings(spec, flags), flags, 'create')
}

function containerSpec(
  flags: Flags,
  given: {
    readonly image: string
    readonly args: readonly string[]
    readonly environment: Environment
  },
): JsonObject {
  const labels = flags.list('container-label')
  const { add, drop } = chooseCapabilities({
    add: flags.list('cap-add'),
    drop: flags.list('cap-drop'),
  })
  const env = readEnv({
    files: flags.list('env-file'),
    entries: flags.list('env'),
    environment: given.environment,
  })
  return compact({
    Image: given.image,
    Args: unlessEmpty(given.args),
    Env: unlessEmpty(env),
    Labels: labels.length === 0 ? undefined : parseLabels(labels, 'container-label'),
    Mounts: unlessEmpty(flags.list('mount').map((text) => parseMount(text, 'mount'))),
    CapabilityAdd: unlessEmpty(add),
    CapabilityDrop: unlessEmpty(drop),
  })
}

function modeOf(flags: Flags): JsonObject {
  const name = flags.text('mode') ?? 'replicated'
  const mode = parseChoice(name, 'mode', ['replicated', 'global', 'replicated-job', 'global-job'])
  const replicas = flags.text('replicas')
  const maxConcurrent = flags.text('max-concurrent')
  const isNumbered = mode === 'replicated' || mode === 'replicated-job'
  if (mode !== 'replicated-job' && maxConcurrent !== undefined)
    throw usageError('max-concurrent can only be used with replicated-job mode')
  if (!isNumbered && replicas !== undefined)
    throw usageError('replicas can only be used with replicated or replicated-job mode')
  if (!isNumbered && flags.text('replicas-max-per-node') !== undefined)
    throw usageError(
      'replicas-max-per-node can only be used with replicated or replicated-job mode',
    )
  if (mode.endsWith('-job')) refuseUpdateFlags(flags)
  const count = replicas === undefined ? 1 : parseCount(replicas, 'replicas')
  switch (mode) {
    case 'global':
      return { Global: {} }
    case 'global-job':
      return { GlobalJob: {} }
    case 'replicated-job': {
      const concurrent =
        maxConcurrent === undefined ? count : parseCount(maxConcurrent, 'max-concurrent')
      return { ReplicatedJob: { MaxConcurrent: concurrent, TotalCompletions: count } }
    }
    default:
      return { Replicated: { Replicas: count } }
  }
}

/** A job that is changed runs anew as a whole: there is nothing to say about how. */
function refuseUpdateFlags(flags: Flags): void {
  const isAnyGiven = SETTING_FLAGS.map((flag) => nameOfFlag(flag.flags))
    .filter((name) => name.startsWith('update-') || name.startsWith('rollback-'))
    .some((name) => flags.isGiven(name))
  if (isAnyGiven) throw usageError('update and rollback configuration is not supported for jobs')
}

function unlessEmpty(list: readonly Json[]): readonly Json[] | undefined {
  return list.length === 0 ? undefined : list
}
