/** Handlers of service requests: what they change, and what they refuse. */
import { describe, expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyCaller, emptyServiceUpdate } from '../../proto/gen/control.ts'
import { emptyUpdateStatus, type Service } from '../../proto/gen/objects.ts'
import { emptyServiceSpec, type ServiceSpec } from '../../proto/gen/specs.ts'
import { cluster, type Part, service, storeWith } from '../../test/build.ts'
import type { Change } from '../store/change.ts'
import type { HandlerContext } from '../store/handler.ts'
import { handleServiceCreate, handleServiceRemove, handleServiceUpdate } from './services.ts'

const CONTEXT: HandlerContext = {
  now: 1_000,
  wallMs: 1_700_000_000_000,
  random: newSeededRandom(1),
  caller: emptyCaller,
  managers: [],
}

describe('handleServiceCreate()', () => {
  test('makes a service of version 1 of its spec', () => {
    const view = storeWith().view()

    const { changes, reply } = handleServiceCreate(view, { spec: specOf({}) }, CONTEXT)

    expect(serviceOf(changes)).toMatchObject({ id: reply.id, spec: specOf({}), specVersion: 1 })
  })

  test('makes up a name that is free', () => {
    const view = storeWith().view()

    const names = [1, 2, 3].map((seed) => {
      const context = { ...CONTEXT, random: newSeededRandom(seed) }
      const spec = specOf({ annotations: { name: '' } })
      return serviceOf(handleServiceCreate(view, { spec }, context).changes).spec?.annotations?.name
    })

    expect(new Set(names).size).toBe(3)
    for (const name of names) expect(name).toMatch(/^[a-z]+_[a-z]+$/)
  })

  test('refuses a name that another service has, whatever its case', () => {
    const view = storeWith({ services: [service({ id: 'web' })] }).view()
    const spec = specOf({ annotations: { name: 'WEB' } })

    expect(() => handleServiceCreate(view, { spec }, CONTEXT)).toThrow(
      expect.objectContaining({
        code: 'already-exists',
        message: expect.stringContaining('name conflicts with an existing object'),
      }),
    )
  })

  test('refuses a request without a spec', () => {
    expect(() => handleServiceCreate(storeWith().view(), { spec: undefined }, CONTEXT)).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    )
  })
})

describe('handleServiceUpdate()', () => {
  test('keeps the former spec, counts the specs and forgets the update status', () => {
    const view = storeWith({
      services: [
        service({
          id: 'web',
          specVersion: 3,
          updateStatus: { ...emptyUpdateStatus, startedMs: 1 },
        }),
      ],
    }).view()
    const spec = specOf({ task: { container: { image: 'nginx:2' } } }, 'web')

    const changed = update(view, { spec })

    expect(changed).toMatchObject({ spec, specVersion: 4, previousSpecVersion: 3 })
    expect(changed.previousSpec).toEqual(view.services.get('web')?.spec)
    expect(changed.updateStatus).toBeUndefined()
  })

  test('a rollback changes the two specs over and says so, and a second one takes it back', () => {
    const now = specOf({ task: { container: { image: 'nginx:2' } } }, 'web')
    const before = specOf({ task: { container: { image: 'nginx:1' } } }, 'web')
    const web = service({ id: 'web', spec: now, previousSpec: before, specVersion: 4 })
    const view = storeWith({ services: [web] }).view()

    const back = update(view, { spec: undefined, rollback: true })

    expect(back).toMatchObject({ spec: before, previousSpec: now, specVersion: 5 })
    expect(back.updateStatus).toMatchObject({
      state: 'rollback-started',
      message: 'manually requested rollback',
      targetSpecVersion: 5,
      startedMs: CONTEXT.wallMs,
      startedClusterMs: CONTEXT.now,
    })
    const again = update(storeWith({ services: [back] }).view(), { rollback: true })
    expect([again.spec, again.previousSpec]).toEqual([back.previousSpec, back.spec])
  })

  test('a job that is rolled back runs anew, and is not said to be updated', () => {
    const mode = { kind: 'globalJob', globalJob: {} } as const
    const job = service({ id: 'job', spec: { mode }, previousSpec: specOf({ mode }) })
    const services = [{ ...job, jobStatus: { iteration: 1, lastExecutionMs: 1 } }]

    const back = update(storeWith({ services }).view(), { id: 'job', rollback: true })

    expect(back.updateStatus).toBeUndefined()
    expect(back.jobStatus?.iteration).toBe(2)
  })

  test('a rollback needs a spec to go back to', () => {
    const web = service({ id: 'web' })
    const view = storeWith({ services: [{ ...web, previousSpec: undefined }] }).view()

    expect(() => update(view, { rollback: true })).toThrow(
      expect.objectContaining({
        code: 'failed-precondition',
        message: 'service web does not have a previous spec to roll back to',
      }),
    )
  })

  const auth: readonly (readonly [string, string, number, string])[] = [
    ['its own', 'new', 0, 'new'],
    ["the current spec's", '', 0, 'current'],
    ["the previous spec's", '', 1, 'previous'],
  ]
  test.each(auth)('takes credentials from %s', (_name, own, from, expected) => {
    const view = storeWith({
      services: [
        service({
          id: 'web',
          spec: { task: { container: { registryAuth: 'current' } } },
          previousSpec: specOf({ task: { container: { registryAuth: 'previous' } } }, 'web'),
        }),
      ],
    }).view()
    const spec = specOf({ task: { container: { registryAuth: own } } }, 'web')

    const changed = update(view, { spec, registryAuthFrom: from })

    expect(changed.spec?.task?.container?.registryAuth).toBe(expected)
  })

  const refused: readonly (readonly [string, Parameters<typeof update>[1], string, string])[] = [
    ['an unknown service', { id: 'other' }, 'not-found', 'service other not found'],
    ['an old version', { version: 6 }, 'aborted', 'update out of sequence'],
    ['no version', { version: 0 }, 'aborted', 'update out of sequence'],
    [
      'another name',
      { spec: specOf({}, 'api') },
      'unimplemented',
      'renaming services is not supported',
    ],
    [
      'another mode',
      { spec: specOf({ mode: { kind: 'global', global: {} } }, 'web') },
      'unimplemented',
      'service mode change is not allowed',
    ],
    [
      'credentials of a previous spec that is not there',
      { registryAuthFrom: 1 },
      'invalid-argument',
      'does not have a previous spec',
    ],
    [
      'a spec that cannot be run',
      { spec: specOf({ task: { container: { image: '' } } }, 'web') },
      'invalid-argument',
      'image reference must be provided',
    ],
  ]
  test.each(refused)('refuses %s', (_name, part, code, message) => {
    const view = storeWith({ services: [service({ id: 'web' })], index: 7 }).view()

    expect(() => update(view, { version: 7, ...part })).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    )
  })
})

describe('handleServiceRemove()', () => {
  test('removes the service alone', () => {
    const view = storeWith({ services: [service({ id: 'web' })] }).view()

    expect(handleServiceRemove(view, { id: 'web' }, CONTEXT).changes).toEqual([
      { kind: 'remove', table: 'services', id: 'web' },
    ])
  })

  test('refuses an unknown service', () => {
    expect(() => handleServiceRemove(storeWith().view(), { id: 'web' }, CONTEXT)).toThrow(
      'service web not found',
    )
  })
})

function specOf(part: Part<ServiceSpec>, name = 'service1'): ServiceSpec {
  return service({ id: name, spec: part }).spec ?? emptyServiceSpec
}

function update(
  view: Parameters<typeof handleServiceUpdate>[0],
  part: Partial<typeof emptyServiceUpdate>,
): Service {
  const request = { ...emptyServiceUpdate, id: 'web', version: 1, spec: specOf({}, 'web'), ...part }
  return serviceOf(handleServiceUpdate(view, request, CONTEXT).changes)
}

function serviceOf(changes: readonly Change[]): Service {
  const [change] = changes
  if (changes.length !== 1 || change?.table !== 'services' || change.kind === 'remove')
    throw new Error('not one put of a service')
  return change.object
}

test('tasks that a node would stop although it is well are refused', () => {
  const view = storeWith({ clusters: [cluster({ spec: { heartbeatPeriodMs: 4_000 } })] }).view()
  const create = (stopAfterMs: number): unknown =>
    handleServiceCreate(view, { spec: specOf({ task: { disconnect: { stopAfterMs } } }) }, CONTEXT)

  expect(() => create(19_999)).toThrow(
    'Disconnect.StopAfter: 19.999s is shorter than five heartbeat periods (20s)',
  )
  expect(() => create(20_000)).not.toThrow()
})
