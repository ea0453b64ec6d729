/**
 * From tasks and ports to a plan, to changes, to the words the kernel is told in.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatChange, formatHostSides, formatMarks, formatTaskSide } from './commands.ts'
import { diffNetwork, type LinkChange, type NetworkChange, removeNetwork } from './diff.ts'
import { type NetworkInput, type NetworkPlan, planNetwork } from './plan.ts'
import { formatTable } from './table.ts'

const link = (taskId: string, last: number) => ({
  taskId,
  address: `172.28.0.${last}`,
  mtu: 1_450,
})

const port = (publishedPort: number, protocol: 'tcp' | 'udp' = 'tcp') => ({
  protocol,
  publishedPort,
  address: '172.28.0.2',
  targetPort: 80,
})

function plan(changes: Partial<NetworkInput> = {}): NetworkPlan {
  return planNetwork({
    hash: 'abc1234',
    pool: '172.28.0.0/20',
    links: [],
    ports: [],
    isDockerInTheWay: false,
    ...changes,
  })
}

const kinds = (changes: readonly NetworkChange[]): readonly string[] =>
  changes.map((change) => change.kind)

test('a new host gets its gateway and its table before any link', () => {
  const changes = diffNetwork({ links: [], host: undefined }, plan({ links: [link('t1', 2)] }))

  expect(kinds(changes)).toEqual(['set-gateway', 'set-table', 'add-link'])
})

test('a plan against itself changes nothing, in whatever order its parts were given', () => {
  const parts = { links: [link('t1', 2), link('t2', 3)], ports: [port(80), port(53, 'udp')] }
  const turned = { links: parts.links.toReversed(), ports: parts.ports.toReversed() }

  const changes = diffNetwork({ links: parts.links, host: plan(parts) }, plan(turned))

  expect(changes).toEqual([])
})

test('applying the changes one by one leads from any set of links to any other', () => {
  const sets = fc.uniqueArray(fc.integer({ min: 2, max: 9 }), { maxLength: 8 })
  fc.assert(
    fc.property(sets, sets, (before, after) => {
      const links = before.map((last) => link(`t${last}`, last))
      const wanted = after.map((last) => link(`t${last}`, last))
      const present = new Set(links.map((each) => each.taskId))

      for (const change of diffNetwork({ links, host: plan({ links }) }, plan({ links: wanted }))) {
        if (change.kind === 'remove-link') present.delete(change.namespace.slice(-2))
        if (change.kind === 'add-link') present.add(change.taskId)
      }

      expect([...present].sort()).toEqual(wanted.map((each) => each.taskId).sort())
    }),
  )
})

test('an address passes from one task to another: removed before it is added', () => {
  const before = { links: [link('old', 2)] }

  const changes = diffNetwork({ ...before, host: plan(before) }, plan({ links: [link('new', 2)] }))

  expect(changes).toMatchObject([
    { kind: 'remove-link', link: 'tsabc1234-2', namespace: 'ts-abc1234-old' },
    { kind: 'add-link', link: 'tsabc1234-2', namespace: 'ts-abc1234-new' },
  ])
})

test('a published port changes the table only; a UDP one flushes its entries', () => {
  const links = [link('t1', 2)]

  const changes = diffNetwork(
    { links, host: plan({ links }) },
    plan({ links, ports: [port(8080), port(5353, 'udp')] }),
  )

  expect(changes).toMatchObject([
    { kind: 'set-table', table: 'tsswarm-abc1234' },
    { kind: 'flush-udp', publishedPort: 5353 },
  ])
})

test('Docker in the way is answered in its own chain, and taken back', () => {
  const inTheWay = plan({ isDockerInTheWay: true })

  expect(diffNetwork({ links: [], host: plan() }, inTheWay)).toEqual([
    { kind: 'set-docker-rules', linkPrefix: 'tsabc1234-', isWanted: true },
  ])
  expect(kinds(removeNetwork(inTheWay))).toContain('set-docker-rules')
})

test('removal leaves nothing: links, table, gateway', () => {
  const changes = removeNetwork(plan({ links: [link('t1', 2)] }))

  expect(kinds(changes)).toEqual(['remove-link', 'set-table', 'remove-gateway'])
  expect(changes[1]).toMatchObject({
    text: 'table inet tsswarm-abc1234\ndelete table inet tsswarm-abc1234\n',
  })
})

test('the table leads ports to tasks and drops what is neither published nor an answer', () => {
  const text = formatTable(plan({ ports: [port(8081), port(8080), port(53, 'udp')] }))

  expect(text).toContain(
    [
      'tcp . 8080 : 172.28.0.2 . 80',
      'tcp . 8081 : 172.28.0.2 . 80',
      'udp . 53 : 172.28.0.2 . 80',
    ].join(',\n      '),
  )
  const forward = text.slice(text.indexOf('chain forward'))
  expect(forward.match(/oifname "tsabc1234-\*" .*/g)).toEqual([
    'oifname "tsabc1234-*" ct state established,related accept',
    'oifname "tsabc1234-*" ct status dnat accept',
    'oifname "tsabc1234-*" drop',
  ])
})

test('a link is made with its MACs, without IPv6, and marked when it is whole', () => {
  const change: LinkChange = {
    kind: 'add-link',
    link: 'tsabc1234-2',
    namespace: 'ts-abc1234-t1',
    taskId: 't1',
    address: '172.28.0.2',
    gateway: '172.28.0.1',
    mtu: 1_450,
  }

  expect(formatHostSides([change])).toEqual({
    kind: 'run',
    argv: ['ip', '-force', '-batch', '-'],
    mayFail: false,
    input: `netns add ts-abc1234-t1
link add tsabc1234-2 address 06:54:ac:1c:00:02 mtu 1450 type veth peer name eth0 address 02:54:ac:1c:00:02 mtu 1450 netns ts-abc1234-t1
link set tsabc1234-2 addrgenmode none
link set tsabc1234-2 up
neighbour replace 172.28.0.2 lladdr 02:54:ac:1c:00:02 dev tsabc1234-2 nud permanent
route replace 172.28.0.2/32 dev tsabc1234-2 src 172.28.0.1
`,
  })
  expect(formatTaskSide(change)).toEqual([
    { kind: 'sysctl', path: 'net/ipv4/conf/tsabc1234-2/rp_filter', value: '1' },
    {
      kind: 'run',
      argv: ['ip', '-netns', 'ts-abc1234-t1', '-batch', '-'],
      mayFail: false,
      input: `link set lo up
link set eth0 addrgenmode none
address add 172.28.0.2/32 dev eth0
link set eth0 up
neighbour replace 172.28.0.1 lladdr 06:54:ac:1c:00:02 dev eth0 nud permanent
route add 172.28.0.1/32 dev eth0 scope link src 172.28.0.2
route add default via 172.28.0.1 dev eth0 src 172.28.0.2
`,
    },
  ])
  expect(formatMarks([change]).input).toBe('link set tsabc1234-2 alias t1\n')
})

test.each<[Exclude<NetworkChange, LinkChange>, readonly string[]]>([
  [{ kind: 'remove-link', link: 'l', namespace: 'n' }, ['ip netns delete n']],
  [{ kind: 'remove-link', link: 'l', namespace: '' }, ['ip link delete l']],
  [{ kind: 'set-table', table: 't', text: 'x' }, ['nft -f -']],
  [{ kind: 'remove-gateway', address: '10.0.0.1' }, ['ip address delete 10.0.0.1/32 dev lo']],
  [{ kind: 'flush-udp', publishedPort: 53 }, ['conntrack -D -p udp --orig-port-dst 53']],
  [
    { kind: 'set-docker-rules', linkPrefix: 'tsx-', isWanted: true },
    [
      'iptables -w -I DOCKER-USER -i tsx-+ -j ACCEPT',
      'iptables -w -I DOCKER-USER -o tsx-+ -j ACCEPT',
    ],
  ],
])('change %o is made by %o', (change, expected) => {
  const commands = formatChange(change)

  expect(
    commands.map((command) => (command.kind === 'sysctl' ? command.path : command.argv.join(' '))),
  ).toEqual(expected)
})
