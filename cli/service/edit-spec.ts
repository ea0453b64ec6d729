/**
 * The spec of a service after an update, from the spec as it is and the flags (swarm-mode.md 5.3):
 * what no flag names stays as it came, known here or not, and in its order, for a spec that is
 * spelt differently restarts every task.
 */
import type { Flags } from '../command.ts'
import { type Json, listAt, numberAt, setAt, textsAt, at as valueAt } from '../json.ts'
import { parseCount } from '../text/units.ts'
import { editCapabilities } from './capability.ts'
import { splitWords } from './csv.ts'
import { type Environment, editEnv, editLabels } from './label.ts'
import { editMounts } from './mount.ts'
import { applyPlacement } from './placement.ts'
import { editPorts } from './publish.ts'
import { applySettings, setMaxConcurrent, setReplicas } from './settings.ts'

type Edit = { readonly add: readonly string[]; readonly remove: readonly string[] }

const CONTAINER = ['TaskTemplate', 'ContainerSpec']

/** ServiceSpec JSON; a usage error names the flag. */
export function editSpec(before: Json, flags: Flags, environment: Environment): Json {
  let spec = applySettings(before, flags)
  const image = flags.text('image')
  if (image !== undefined) spec = setAt(spec, [...CONTAINER, 'Image'], image)
  const args = flags.text('args')
  if (args !== undefined) spec = setAt(spec, [...CONTAINER, 'Args'], splitWords(args, 'args'))
  const replicas = flags.text('replicas')
  if (replicas !== undefined) spec = setReplicas(spec, parseCount(replicas, 'replicas'))
  const concurrent = flags.text('max-concurrent')
  if (concurrent !== undefined)
    spec = setMaxConcurrent(spec, parseCount(concurrent, 'max-concurrent'))
  if (flags.has('force')) {
    const path = ['TaskTemplate', 'ForceUpdate']
    spec = setAt(spec, path, numberAt(spec, ...path) + 1)
  }
  return editLists(spec, flags, environment)
}

function editLists(before: Json, flags: Flags, environment: Environment): Json {
  let spec = before
  const edit = (name: string, path: readonly string[], change: (value: Json, by: Edit) => Json) => {
    const by = { add: flags.list(`${name}-add`), remove: flags.list(`${name}-rm`) }
    if (by.add.length + by.remove.length === 0) return
    spec = setAt(spec, path, change(valueAt(spec, ...path), by))
  }
  edit('label', ['Labels'], editLabels)
  edit('container-label', [...CONTAINER, 'Labels'], editLabels)
  edit('env', [...CONTAINER, 'Env'], (env, by) => editEnv(textsAt(env), by, environment))
  edit('mount', [...CONTAINER, 'Mounts'], (mounts, by) => editMounts(listAt(mounts), by))
  edit('constraint', ['TaskTemplate', 'Placement', 'Constraints'], editConstraints)
  edit('publish', ['EndpointSpec', 'Ports'], (ports, by) => editPorts(listAt(ports), by))
  return editCapabilityLists(applyPlacement(spec, flags, 'update'), flags)
}

/** Added at the end unless there; then those to remove go. */
function editConstraints(constraints: Json, { add, remove }: Edit): Json {
  return [...new Set([...textsAt(constraints), ...add])].filter((text) => !remove.includes(text))
}

function editCapabilityLists(spec: Json, flags: Flags): Json {
  const change = { add: flags.list('cap-add'), drop: flags.list('cap-drop') }
  if (change.add.length + change.drop.length === 0) return spec
  const { add, drop } = editCapabilities(
    {
      add: textsAt(spec, ...CONTAINER, 'CapabilityAdd'),
      drop: textsAt(spec, ...CONTAINER, 'CapabilityDrop'),
    },
    change,
  )
  const withAdded = setAt(spec, [...CONTAINER, 'CapabilityAdd'], add)
  return setAt(withAdded, [...CONTAINER, 'CapabilityDrop'], drop)
}
