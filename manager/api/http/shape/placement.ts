/**
 * Where tasks may go, as JSON: `Placement` of a task's spec and the generic resources of specs,
 * tasks and nodes (swarm-mode.md 1.3). `Strategy` and `Affinities` are tsswarm's own and stand beside
 * Docker's members; clients that do not know them leave them out. What values are allowed is
 * decided in `manager/api/validate-placement.ts`.
 */
import { SwarmError } from '../../../../lib/errors.ts'
import {
  emptyPlacement,
  emptyServiceAffinity,
  emptySpreadPreference,
  type Placement,
  type ServiceAffinity,
  type SpreadPreference,
} from '../../../../proto/gen/specs.ts'
import {
  emptyGenericResource,
  emptyPlatform,
  type GenericResource,
  type Platform,
} from '../../../../proto/gen/types.ts'
import {
  choice,
  count,
  fieldsOf,
  flag,
  group,
  list,
  maybe,
  object,
  type Shape,
  text,
} from './shape.ts'

const ofPlatform = fieldsOf<Platform>()
const platform: Shape<Platform> = object(emptyPlatform, {
  Architecture: ofPlatform.some('architecture', text),
  OS: ofPlatform.some('os', text),
})

const ofPreference = fieldsOf<SpreadPreference>()
const preference: Shape<SpreadPreference> = object(
  emptySpreadPreference,
  { Spread: group({ SpreadDescriptor: ofPreference.always('label', text) }) },
  { required: ['Spread'] },
)

const ofAffinity = fieldsOf<ServiceAffinity>()
const affinity: Shape<ServiceAffinity> = object(
  emptyServiceAffinity,
  { Service: ofAffinity.always('service', text), Anti: ofAffinity.some('isAnti', flag) },
  { required: ['Service'] },
)

const ofPlacement = fieldsOf<Placement>()
export const placement: Shape<Placement> = object(emptyPlacement, {
  Constraints: ofPlacement.some('constraints', list(text)),
  Preferences: ofPlacement.some('preferences', list(preference)),
  MaxReplicas: ofPlacement.some('maxReplicas', count),
  Platforms: ofPlacement.some('platforms', list(platform)),
  Strategy: ofPlacement.some('strategy', choice(['spread', 'binpack'], { fallback: 'spread' })),
  Affinities: ofPlacement.some('affinities', list(affinity)),
})

type Discrete = { readonly kind: string; readonly count: number }
type Named = { readonly kind: string; readonly name: string }
type Either = { readonly discrete: Discrete | undefined; readonly named: Named | undefined }

const ofDiscrete = fieldsOf<Discrete>()
const ofNamed = fieldsOf<Named>()
const ofEither = fieldsOf<Either>()
const either: Shape<Either> = object<Either>(
  { discrete: undefined, named: undefined },
  {
    DiscreteResourceSpec: ofEither.some(
      'discrete',
      maybe(
        object<Discrete>(
          { kind: '', count: 0 },
          { Kind: ofDiscrete.always('kind', text), Value: ofDiscrete.always('count', count) },
        ),
      ),
    ),
    NamedResourceSpec: ofEither.some(
      'named',
      maybe(
        object<Named>(
          { kind: '', name: '' },
          { Kind: ofNamed.always('kind', text), Value: ofNamed.always('name', text) },
        ),
      ),
    ),
  },
)

const genericResource: Shape<GenericResource> = {
  read: (json, path) => {
    const { discrete, named } = either.read(json, path)
    if ((discrete === undefined) === (named === undefined))
      throw new SwarmError(
        'invalid-argument',
        `${path}: either DiscreteResourceSpec or NamedResourceSpec must be given`,
      )
    return { ...emptyGenericResource, count: 1, ...named, ...discrete }
  },
  write: ({ kind, name, count: value }) =>
    either.write(
      name === ''
        ? { discrete: { kind, count: value }, named: undefined }
        : { discrete: undefined, named: { kind, name } },
    ),
  isEmpty: () => false,
}

export const genericResources: Shape<readonly GenericResource[]> = list(genericResource)
