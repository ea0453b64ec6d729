/** Handlers of secrets and configs, which follow the same rules but for their sizes. */
import { describe, expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyCaller } from '../../proto/gen/control.ts'
import type { Annotations } from '../../proto/gen/specs.ts'
import { config, secret, storeWith } from '../../test/build.ts'
import type { Handled, HandlerContext } from '../store/handler.ts'
import type { View } from '../store/view.ts'
import {
  handleConfigCreate,
  handleConfigRemove,
  handleConfigUpdate,
  handleSecretCreate,
  handleSecretRemove,
  handleSecretUpdate,
} from './secrets.ts'

const CONTEXT: HandlerContext = {
  now: 1_000,
  wallMs: 1_700_000_000_000,
  random: newSeededRandom(1),
  caller: emptyCaller,
  managers: [],
}
type Spec = { readonly annotations: Annotations; readonly data: Uint8Array }
type Kind = {
  readonly kind: 'secret' | 'config'
  readonly bytesMax: number
  readonly create: (view: View, spec: Spec) => Handled
  readonly update: (view: View, request: { id: string; version: number; spec: Spec }) => Handled
  readonly remove: (view: View, id: string) => Handled
}

const KINDS: readonly Kind[] = [
  {
    kind: 'secret',
    bytesMax: 512_000,
    create: (view, spec) => handleSecretCreate(view, { spec }, CONTEXT),
    update: (view, request) => handleSecretUpdate(view, request, CONTEXT),
    remove: (view, id) => handleSecretRemove(view, { id }, CONTEXT),
  },
  {
    kind: 'config',
    bytesMax: 1_024_000,
    create: (view, spec) => handleConfigCreate(view, { spec }, CONTEXT),
    update: (view, request) => handleConfigUpdate(view, request, CONTEXT),
    remove: (view, id) => handleConfigRemove(view, { id }, CONTEXT),
  },
]

describe.each(KINDS)('$kind', ({ kind, bytesMax, create, update, remove }) => {
  const view = storeWith({
    secrets: [secret({ id: 'key' })],
    configs: [config({ id: 'key' })],
    index: 4,
  }).view()

  test('is made with what it is to hold', () => {
    const { changes, reply } = create(view, specOf('new.key', 3))

    expect(changes).toMatchObject([
      { kind: 'create', table: `${kind}s`, object: { id: reply.id, spec: specOf('new.key', 3) } },
    ])
  })

  test('holds at least a byte and less than its limit', () => {
    const message = `data must be larger than 0 and less than ${bytesMax} bytes`

    expect(() => create(view, specOf('new', bytesMax - 1))).not.toThrow()
    expect(() => create(view, specOf('new', bytesMax))).toThrow(message)
    expect(() => create(view, specOf('new', 0))).toThrow(message)
  })

  const names: readonly (readonly [string, string])[] = [
    ['', 'name must be provided'],
    ['-x', 'invalid name, only 64'],
    ['x'.repeat(65), 'invalid name, only 64'],
    ['KEY', 'name conflicts with an existing object'],
  ]
  test.each(names)('is not made with the name %j', (name, message) => {
    expect(() => create(view, specOf(name, 1))).toThrow(message)
  })

  test('is not made with labels that no entry of the log could hold beside its data', () => {
    const spec = specOf('new', 1)
    const labels = new Map([['a', 'x'.repeat(20_000)]])

    expect(() => create(view, { ...spec, annotations: { name: 'new', labels } })).toThrow(
      'is larger than 16384 bytes',
    )
  })

  test('changes its labels, with its data repeated or left out', () => {
    const labels = new Map([['a', 'b']])
    const before = (kind === 'secret' ? view.secrets : view.configs).get('key')

    for (const data of [new Uint8Array([1]), new Uint8Array()]) {
      const spec = { annotations: { name: 'key', labels }, data }
      const { changes } = update(view, { id: 'key', version: 4, spec })

      expect(changes).toEqual([
        {
          kind: 'update',
          table: `${kind}s`,
          object: { ...before, spec: { ...before?.spec, annotations: { name: 'key', labels } } },
        },
      ])
    }
  })

  test('changes nothing else', () => {
    const message = 'only updates to Labels are allowed'

    for (const spec of [specOf('other', 0), specOf('key', 2), specOf('KEY', 0)])
      expect(() => update(view, { id: 'key', version: 4, spec })).toThrow(message)
    expect(() => update(view, { id: 'key', version: 3, spec: specOf('key', 0) })).toThrow(
      'update out of sequence',
    )
  })

  test('is removed, and refused when it is unknown', () => {
    expect(remove(view, 'key').changes).toEqual([{ kind: 'remove', table: `${kind}s`, id: 'key' }])
    expect(() => remove(view, 'nokey')).toThrow(`${kind} nokey not found`)
    expect(() => update(view, { id: 'nokey', version: 4, spec: specOf('nokey', 0) })).toThrow(
      `${kind} nokey not found`,
    )
  })
})

function specOf(name: string, bytes: number): Spec {
  return { annotations: { name, labels: new Map() }, data: new Uint8Array(bytes).fill(7) }
}
