/** Handlers of node requests: above all what would cost the managers their majority. */
import { describe, expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyCaller, emptyNodeRemove, emptyNodeUpdate } from '../../proto/gen/control.ts'
import type { Node } from '../../proto/gen/objects.ts'
import { emptyAnnotations, emptyNodeSpec, type NodeSpec } from '../../proto/gen/specs.ts'
import type { NodeState } from '../../proto/gen/types.ts'
import { cluster, node, type Part, storeWith } from '../../test/build.ts'
import { REVOKED_KEEP_MS } from '../ca/ca.ts'
import type { HandlerContext, ManagerReach } from '../store/handler.ts'
import type { View } from '../store/view.ts'
import { handleNodeRemove, handleNodeUpdate } from './nodes.ts'

const NOW = 1_000
const WALL_MS = 1_700_000_000_000
const WORKER: NodeSpec = { ...emptyNodeSpec, annotations: emptyAnnotations, role: 'worker' }

const DRAINED: Part<Node> = {
  spec: { availability: 'drain', drainDeadlineMs: 9 },
  drainUntilMs: 70,
}

describe('handleNodeUpdate()', () => {
  test('stores the spec', () => {
    const view = storeWith({ nodes: [node({ id: 'n1' })] }).view()
    const spec: NodeSpec = {
      ...WORKER,
      availability: 'drain',
      annotations: { name: '', labels: new Map([['zone', 'a']]) },
    }

    const { changes } = handleNodeUpdate(
      view,
      { ...emptyNodeUpdate, id: 'n1', version: 1, spec },
      context([]),
    )

    const object = { ...view.nodes.get('n1'), spec, drainUntilMs: NOW + 3_600_000 }
    expect(changes).toEqual([{ kind: 'update', table: 'nodes', object }])
  })

  test.each<[string, Part<Node>, Partial<NodeSpec>, number]>([
    ['begins with its deadline', {}, { availability: 'drain', drainDeadlineMs: 5 }, NOW + 5],
    ['of nothing waits for nothing', {}, { availability: 'drain', drainDeadlineMs: 0 }, NOW],
    ['that goes on keeps it', DRAINED, { availability: 'drain', drainDeadlineMs: 9 }, 70],
    ['is given another one', DRAINED, { availability: 'drain', drainDeadlineMs: 8 }, NOW + 8],
    ['that ends forgets it', DRAINED, { availability: 'active', drainDeadlineMs: 9 }, 0],
  ])('a drain %s', (_what, part, spec, drainUntilMs) => {
    const view = storeWith({ nodes: [node({ id: 'n1', ...part })] }).view()
    const request = { ...emptyNodeUpdate, id: 'n1', version: 1, spec: { ...WORKER, ...spec } }

    expect(handleNodeUpdate(view, request, context([])).changes).toMatchObject([
      { object: { drainUntilMs } },
    ])
  })

  /** Managers as letters: `A` reachable, `a` not, `(A)` about to be demoted; the first is demoted. */
  const demotions: readonly (readonly [string, 'ok' | 'last' | 'quorum'])[] = [
    ['A', 'last'],
    ['A B', 'ok'],
    ['A b', 'quorum'],
    ['A B C', 'ok'],
    ['A B c', 'quorum'],
    ['a B C', 'ok'],
    ['A B C d', 'ok'],
    ['A B c d', 'quorum'],
    ['A B C d e', 'quorum'],
    ['A B C D e', 'ok'],
    ['A (B) C', 'ok'],
    ['A (B) c', 'quorum'],
    ['A (B)', 'last'],
  ]
  test.each(demotions)('demotes the first of %s: %s', (text, expected) => {
    const managers = text.split(' ').map((word) => ({
      id: word.replace(/[()]/g, '').toLowerCase(),
      isReachable: /[A-Z]/.test(word),
      isLeaving: word.startsWith('('),
    }))
    const view = storeWith({
      nodes: managers.map(({ id, isLeaving }) =>
        node({ id, spec: { role: isLeaving ? 'worker' : 'manager' } }),
      ),
    }).view()
    const reach = managers.map(({ id, isReachable }) => ({
      nodeId: id,
      isVoter: true,
      isReachable,
    }))

    const demote = (): unknown =>
      handleNodeUpdate(
        view,
        { ...emptyNodeUpdate, id: 'a', version: 1, spec: WORKER },
        context(reach),
      )

    if (expected === 'ok') expect(demote).not.toThrow()
    else
      expect(demote).toThrow(
        expect.objectContaining({
          code: 'failed-precondition',
          message: expect.stringContaining(
            expected === 'last' ? 'last manager of the swarm' : 'would result in a loss of quorum',
          ),
        }),
      )
  })

  test('refuses an unknown node, an old version and a missing spec', () => {
    const view = storeWith({ nodes: [node({ id: 'n1' })], index: 5 }).view()
    const update = (part: Partial<typeof emptyNodeUpdate>) => () =>
      handleNodeUpdate(view, { ...emptyNodeUpdate, id: 'n1', version: 5, ...part }, context([]))

    expect(update({ id: 'n2' })).toThrow('node n2 not found')
    expect(update({ version: 4, spec: WORKER })).toThrow('update out of sequence')
    expect(update({})).toThrow('the node spec is missing')
  })
})

describe('handleNodeRemove()', () => {
  test('removes the node and revokes its certificate', () => {
    const view = worldWith('down', 12)

    const { changes } = remove(view, false)

    expect(changes).toMatchObject([
      { kind: 'remove', table: 'nodes', id: 'n1' },
      {
        kind: 'update',
        table: 'clusters',
        object: { revoked: new Map([['n1', WALL_MS + REVOKED_KEEP_MS]]) },
      },
    ])
  })

  const states: readonly (readonly [NodeState, boolean])[] = [
    ['ready', false],
    ['disconnected', false],
    ['down', true],
    ['unknown', true],
  ]
  test.each(states)('of a node that is %s without force: %s', (state, isAllowed) => {
    const view = worldWith(state)

    if (isAllowed) expect(() => remove(view, false)).not.toThrow()
    else expect(() => remove(view, false)).toThrow("is not down and can't be removed")
    expect(() => remove(view, true)).not.toThrow()
  })

  test('refuses a member of the Raft group, by force too', () => {
    const view = storeWith({
      clusters: [cluster()],
      nodes: [node({ id: 'n1', member: { raftId: 1, nodeId: 'n1' } })],
    }).view()

    expect(() => remove(view, true)).toThrow('must be demoted to worker before removal')
  })

  test('refuses an unknown node', () => {
    expect(() => remove(storeWith({ clusters: [cluster()] }).view(), true)).toThrow(
      'node n1 not found',
    )
  })
})

function worldWith(state: NodeState, certificateExpiresMs = 0): View {
  return storeWith({
    clusters: [cluster()],
    nodes: [node({ id: 'n1', status: { state }, certificateExpiresMs })],
  }).view()
}

function remove(view: View, force: boolean): ReturnType<typeof handleNodeRemove> {
  return handleNodeRemove(view, { ...emptyNodeRemove, id: 'n1', force }, context([]))
}

function context(managers: readonly ManagerReach[]): HandlerContext {
  return {
    now: NOW,
    wallMs: WALL_MS,
    random: newSeededRandom(1),
    caller: emptyCaller,
    managers,
  }
}
