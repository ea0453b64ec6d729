/**
 * The commands on the production API: what each prints, what it leaves behind, and how it fails. The
 * swarm behind it has two nodes and starts what it is told at once (`test/backend.ts`).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TestBackend } from '../test/backend.ts'
import { CliSwarm, runCli, ScriptedDaemon } from '../test/cli-world.ts'
import { at, type Json, type JsonObject, listAt, numberAt, textAt } from './json.ts'

let swarm: CliSwarm

beforeEach(async () => {
  swarm = await CliSwarm.start()
})

afterEach(() => swarm.close())

describe('swarm', () => {
  test('init prints how to join; a second one is refused', async () => {
    const fresh = await CliSwarm.start(
      new TestBackend(undefined, { state: 'inactive', isManager: false }),
    )

    const first = await fresh.run('init', '--advertise-addr', '10.0.0.1', '--availability', 'drain')
    const second = await fresh.run('swarm', 'init')

    expect(first).toEqual({
      code: 0,
      err: '',
      out: [
        'Swarm initialized: current node (node1) is now a manager.',
        '',
        'To add a worker to this swarm, run the following command:',
        '',
        '    tsswarm join --token SWMTKN-1-root-worker 10.0.0.1:2377',
        '',
        "To add a manager to this swarm, run 'tsswarm join-token manager' and follow the instructions.",
        '',
        '',
      ].join('\n'),
    })
    expect(fresh.backend.calls[0]).toMatchObject({
      advertiseAddr: '10.0.0.1',
      availability: 'drain',
    })
    expect(second).toMatchObject({ code: 1, err: expect.stringMatching(/already part of a swarm/) })
    await fresh.close()
  })

  test('init passes settings on, and leaves the others to the server', async () => {
    const fresh = await CliSwarm.start(
      new TestBackend(undefined, { state: 'inactive', isManager: false }),
    )

    await fresh.run('init', '--task-history-limit', '-1', '--cert-expiry', '48h', '--json')

    expect(fresh.backend.calls[0]).toMatchObject({
      spec: { taskHistoryLimit: -1, nodeCertExpiryMs: 172_800_000, heartbeatPeriodMs: 2_000 },
    })
    await fresh.close()
  })

  test('init of a new cluster out of one manager leaves its settings alone', async () => {
    const fresh = await CliSwarm.start(
      new TestBackend(undefined, { state: 'inactive', isManager: false }),
    )

    const refused = await fresh.run('init', '--force-new-cluster', '--task-history-limit', '3')
    const forced = await fresh.run('init', '--force-new-cluster', '--advertise-addr', '10.0.0.1')

    expect(refused).toMatchObject({
      code: 125,
      err: expect.stringContaining('--task-history-limit does not go with --force-new-cluster'),
    })
    expect(forced).toMatchObject({ code: 0, out: expect.stringContaining('is now a manager') })
    expect(fresh.backend.calls).toMatchObject([{ forceNewCluster: true }])
    await fresh.close()
  })

  test('join says which role the token gave', async () => {
    const fresh = await CliSwarm.start(
      new TestBackend(undefined, { state: 'inactive', isManager: false }),
    )

    const result = await fresh.run('join', '--token', 'SWMTKN-1-x', '10.0.0.1:2377')

    expect(result).toEqual({ code: 0, err: '', out: 'This node joined a swarm as a worker.\n' })
    expect(fresh.backend.calls[0]).toMatchObject({
      remoteAddrs: ['10.0.0.1:2377'],
      joinToken: 'SWMTKN-1-x',
    })
    await fresh.close()
  })

  test('leave of a manager wants --force', async () => {
    const refused = await swarm.run('leave')

    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('You are attempting') })
    expect((await swarm.run('leave', '--force')).out).toBe('Node left the swarm.\n')
  })

  test('join-token shows and rotates', async () => {
    const before = await swarm.run('join-token', '-q', 'worker')
    const rotated = await swarm.run('join-token', '--rotate', 'worker')
    const after = await swarm.run('join-token', '-q', 'worker')

    expect(before.out).toBe('SWMTKN-1-root-worker\n')
    expect(rotated.out).toContain('Successfully rotated worker join token.\n\nTo add a worker')
    expect(rotated.out).toContain(`--token ${after.out.trim()} 10.0.0.1:2377`)
    expect(after.out).not.toBe(before.out)
    expect(await swarm.json('join-token', 'manager')).toEqual({
      Role: 'manager',
      Token: 'SWMTKN-1-root-manager',
    })
  })

  test('swarm update changes what is named and nothing else', async () => {
    await swarm.run('swarm', 'update', '--task-history-limit', '9')
    await swarm.run('swarm', 'update', '--max-snapshots', '3', '--snapshot-interval', '5000')
    const { out } = await swarm.run('swarm', 'update', '--dispatcher-heartbeat', '3s')

    expect(out).toBe('Swarm updated.\n')
    const cluster = at(await swarm.json('info'), 'Swarm', 'Cluster', 'Spec')
    expect(numberAt(cluster, 'Orchestration', 'TaskHistoryRetentionLimit')).toBe(9)
    expect(numberAt(cluster, 'Dispatcher', 'HeartbeatPeriod')).toBe(3e9)
    expect(numberAt(cluster, 'Raft', 'SnapshotInterval')).toBe(5_000)
    expect(numberAt(cluster, 'Raft', 'KeepOldSnapshots')).toBe(3)
    expect(numberAt(cluster, 'Raft', 'LogEntriesForSlowFollowers')).toBe(500)
  })

  test('info and version', async () => {
    const { out } = await swarm.run('info')

    expect(out).toContain('Swarm: active\n NodeID:       node1\n Is Manager:   true\n')
    expect(out).toContain(' Manager Addresses:\n  10.0.0.1:2377\n')
    expect((await swarm.run('info', '-f', '{{.Swarm.LocalNodeState}}')).out).toBe('active\n')
    expect((await swarm.run('version', '-f', '{{.Server.ApiVersion}}')).out).toBe('1.50\n')
    expect((await swarm.run('version')).out).toMatch(/^Client: tsswarm\n[\s\S]*\nServer:\n/)
  })

  test("on a worker the daemon's words are printed", async () => {
    swarm.backend.node = { ...swarm.backend.node, isManager: false }

    expect(await swarm.run('node', 'ls')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^Error response from daemon: This node is not a swarm manager/),
    })
  })
})

describe('node', () => {
  test('ls prints a table', async () => {
    expect((await swarm.run('node', 'ls')).out).toBe(
      [
        'ID        HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION',
        'node1 *   alpha      Ready     Active         Leader           0.1.0',
        'node2     beta       Ready     Active                          0.1.0',
        '',
      ].join('\n'),
    )
  })

  test.each([
    [['-q'], 'node1\nnode2\n'],
    [['--filter', 'role=manager', '-q'], 'node1\n'],
    [['--format', '{{.Hostname}} {{.Self}}'], 'alpha true\nbeta false\n'],
    [
      ['--format', 'table {{.ID}}\\t{{.Status}}'],
      'ID        STATUS\nnode1     Ready\nnode2     Ready\n',
    ],
  ])('ls %s', async (flags, out) => {
    expect(await swarm.run('node', 'ls', ...flags)).toEqual({ code: 0, err: '', out })
  })

  test('ls --format json is an object a line, --json the API as one array', async () => {
    const { out } = await swarm.run('node', 'ls', '--format', 'json')

    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { ID: 'node1', Self: true, ManagerStatus: 'Leader' },
      { ID: 'node2', Self: false, ManagerStatus: '' },
    ])
    expect(listAt(await swarm.json('node', 'ls')).map((node) => at(node, 'Spec', 'Role'))).toEqual([
      'manager',
      'worker',
    ])
  })

  test('inspect prints what it finds and fails for the rest', async () => {
    const { code, out, err } = await swarm.run('node', 'inspect', 'self', 'nobody', 'beta')

    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject([{ ID: 'node1' }, { ID: 'node2' }])
    expect(out).toMatch(/^\[\n {4}\{\n {8}"ID"/)
    expect(err).toBe('Error response from daemon: node nobody not found\n')
    expect((await swarm.run('node', 'inspect', '-f', '{{.Spec.Role}}', 'node2')).out).toBe(
      'worker\n',
    )
    expect((await swarm.run('node', 'inspect', '--pretty', 'self')).out).toContain('Hostname: ')
  })

  test('update sets availability, role and labels', async () => {
    const args = ['--availability', 'drain', '--label-add', 'z=a', '--label-add', 'y', 'beta']

    expect((await swarm.run('node', 'update', ...args)).out).toBe('beta\n')
    await swarm.run('node', 'update', '--label-rm', 'y', 'beta')

    const [node] = listAt(await swarm.json('node', 'inspect', 'beta'))
    expect(at(node, 'Spec')).toMatchObject({ Availability: 'drain', Labels: { z: 'a' } })
  })

  test('promote and demote say what they did, and go on after a failure', async () => {
    const promoted = await swarm.run('node', 'promote', 'beta', 'nobody', 'alpha')

    expect(promoted).toEqual({
      code: 1,
      out: 'Node beta promoted to a manager in the swarm.\nNode alpha is already a manager.\n',
      err: 'Error response from daemon: node nobody not found\n',
    })
    expect((await swarm.run('node', 'demote', 'beta')).out).toBe(
      'Manager beta demoted in the swarm.\n',
    )
  })

  test('rm is refused for a node that is up, unless forced', async () => {
    expect((await swarm.run('node', 'rm', 'beta')).code).toBe(1)
    expect((await swarm.run('node', 'rm', '--force', 'beta')).out).toBe('beta\n')
    expect((await swarm.run('node', 'ls', '-q')).out).toBe('node1\n')
  })

  test('ps lists the tasks of this node, of others, and fails for unknown ones', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web', '--replicas', '4', 'img')

    const own = await swarm.run('node', 'ps', '--format', '{{.Name}} {{.Node}}')
    const others = await swarm.run('node', 'ps', '-q', 'beta', 'nobody')

    expect(own.out.trim().split('\n')).toHaveLength(2)
    expect(own.out).toMatch(/^web\.\d alpha\n/)
    expect(others.code).toBe(1)
    expect(others.out.trim().split('\n')).toHaveLength(2)
  })
})

describe('service', () => {
  test('create waits and shows its progress in lines', async () => {
    const { code, out } = await swarm.run('service', 'create', '--name', 'web', 'nginx:1.27')

    expect(code).toBe(0)
    const id = textAt(listAt(await swarm.json('service', 'ls'))[0], 'ID')
    expect(out).toBe(
      [
        id,
        'overall progress: 1 out of 1 tasks',
        '1/1: running',
        'verify: Waiting to verify that tasks are stable...',
        `verify: Service ${id} converged`,
        '',
      ].join('\n'),
    )
  })

  test('create on a terminal draws in place', async () => {
    const args = ['service', 'create', '--name', 'web', 'nginx:1.27']
    const { out } = await runCli(swarm.host, args, { columns: 60 })

    const lines = out.split('\n')
    expect(lines[1]).toBe('\x1b[2Koverall progress: 1 out of 1 tasks')
    expect(lines[2]).toHaveLength('\x1b[2K'.length + 59)
    expect(out).toContain('\x1b[3A\x1b[2Koverall progress')
    expect(out).toContain('verify: Waiting 3 seconds')
  })

  test('create -q and --json wait without a word; --detach does not wait', async () => {
    const quiet = await swarm.run('service', 'create', '-q', '--name', 'a', 'img')
    const json = await swarm.run('service', 'create', '--json', '--name', 'b', 'img')
    const detached = await swarm.run('service', 'create', '-d', '--name', 'c', 'img')

    for (const text of [quiet.out, `${JSON.parse(json.out).ID}\n`, detached.out])
      expect(text).toMatch(/^[0-9a-z]{25}\n$/)
  })

  test('what the daemon refuses is printed in its words, exit code 1', async () => {
    const bad = [
      ['--name', '-x', 'img'],
      ['--constraint', 'nonsense', 'img'],
      ['-p', '80:80', 'img'],
      ['--limit-memory', '1k', 'img'],
      ['IMG'],
    ]
    for (const flags of bad)
      expect(await swarm.run('service', 'create', '-d', ...flags)).toMatchObject({
        code: 1,
        out: '',
        err: expect.stringMatching(/^Error response from daemon: \S.+\n$/),
      })
  })

  test('ls prints a table by name', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web10', 'nginx:1.27')
    await swarm.run(
      'service',
      'create',
      '-d',
      '--name',
      'web9',
      '--mode',
      'global',
      '-l',
      'a=b',
      'x',
    )

    expect(
      (await swarm.run('service', 'ls')).out.replaceAll(/^[0-9a-z]{12}/gm, '############'),
    ).toBe(
      [
        'ID             NAME      MODE         REPLICAS   IMAGE        PORTS',
        '############   web9      global       2/2        x            ',
        '############   web10     replicated   1/1        nginx:1.27   ',
        '',
      ].join('\n'),
    )
    const labels = await swarm.run('service', 'ls', '--format', '{{.Label "a"}}|{{.Labels}}')
    expect(labels.out).toBe('b|a=b\n|\n')
    expect((await swarm.run('service', 'ls', '-q', '--filter', 'name=web1')).out).toMatch(
      /^[0-9a-z]{12}\n$/,
    )
  })

  test('ps shows history under the newest task of a slot', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web', '--replicas', '2', 'nginx:1')
    await swarm.run('service', 'update', '-d', '--image', 'nginx:2', 'web')

    const format = '{{.Name}}|{{.Image}}|{{.DesiredState}}|{{.CurrentState}}'
    const { out } = await swarm.run('service', 'ps', '--format', format, 'web')

    expect(out).toBe(
      [
        'web.1|nginx:2|Running|Running less than a second ago',
        ' \\_ web.1|nginx:1|Shutdown|Shutdown less than a second ago',
        'web.2|nginx:2|Running|Running less than a second ago',
        ' \\_ web.2|nginx:1|Shutdown|Shutdown less than a second ago',
        '',
      ].join('\n'),
    )
    const running = ['--filter', 'desired-state=running', '--filter', 'node=self']
    expect((await swarm.run('service', 'ps', '-q', ...running, 'web')).out).toMatch(/^\w{12}\n$/)
  })

  test('ps prints what it finds and names what it does not', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web', 'img')

    const { code, out, err } = await swarm.run('service', 'ps', 'web', 'nothing')

    expect([code, err]).toEqual([1, 'no such service: nothing\n'])
    expect(out).toMatch(
      /^ID +NAME +IMAGE +NODE +DESIRED STATE +CURRENT STATE +ERROR +PORTS\n\w{12} +web\.1/,
    )
  })

  test('ps --json has the names that the API leaves empty', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web', 'img')

    const [task] = listAt(await swarm.json('service', 'ps', 'web'))

    expect(task).toMatchObject({ Name: 'web.1', NodeName: expect.stringMatching(/alpha|beta/) })
  })

  test('scale scales several and waits for them', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'a', 'img')
    await swarm.run('service', 'create', '-d', '--name', 'b', '--mode', 'global', 'img')

    const { code, out, err } = await swarm.run('service', 'scale', 'a=3', 'b=2', 'c=1')

    expect(code).toBe(1)
    expect(out).toMatch(/^a scaled to 3\noverall progress: 3 out of 3 tasks\n/)
    expect(err).toBe(
      'b: scale can only be used with replicated or replicated-job mode\nError response from daemon: service c not found\n',
    )
    expect((await swarm.run('service', 'ls', '--format', '{{.Replicas}}')).out).toBe('3/3\n2/2\n')
  })

  test('update waits too, and rm removes', async () => {
    await swarm.run('service', 'create', '-d', '--name', 'web', 'img')

    const updated = await swarm.run('service', 'update', '--force', 'web')
    const removed = await swarm.run('service', 'rm', 'web', 'web')

    expect(updated.out).toMatch(/^web\noverall progress: 1 out of 1 tasks\n[\s\S]*converged\n$/)
    expect(removed).toEqual({
      code: 1,
      out: 'web\n',
      err: 'Error response from daemon: service web not found\n',
    })
  })

  test('inspect shows defaults, pretty or by a template', async () => {
    const flags = [
      ...['--limit-memory', '64m', '--mount', 'type=tmpfs,target=/t', '-e', 'A=1'],
      ...['--health-cmd', 'true', '--health-timeout', '5s'],
    ]
    await swarm.run('service', 'create', '-d', '--name', 'web', ...flags, 'img', 'sh', '-c', 'x')

    const [service] = listAt(await swarm.json('service', 'inspect', 'web'))
    const pretty = await swarm.run('service', 'inspect', '--pretty', 'web')

    expect(numberAt(service, 'Spec', 'UpdateConfig', 'Parallelism')).toBe(1)
    expect(pretty.out).toContain('\nContainerSpec:\n Image:             img\n')
    expect(pretty.out).toContain('\n Limits:\n  Memory: 64MiB\n')
    expect(pretty.out).toContain('\nHealthcheck:\n Test:    CMD-SHELL true\n Timeout: 5s\n')
    expect(pretty.out).not.toMatch(/:\n\n|\n\n.*:/)
    const both = await swarm.run('service', 'inspect', '--pretty', '-f', 'x', 'web')
    expect([both.code, both.err]).toEqual([
      125,
      expect.stringContaining('--format is incompatible'),
    ])
  })
})

describe('progress', () => {
  const service = (status: JsonObject): Json => ({
    ID: 'abc',
    Version: { Index: 1 },
    Spec: { Name: 'web', Mode: { Replicated: { Replicas: 1 } } },
    UpdateStatus: status,
  })

  test('a paused update is exit code 1, on stderr', async () => {
    const daemon = await ScriptedDaemon.start(({ call }) =>
      call.startsWith('GET /services')
        ? { body: service({ State: 'paused', Message: 'update paused due to failure' }) }
        : { body: [] },
    )

    const { code, err } = await daemon.run(['service', 'update', '--force', 'web'])

    expect([code, err]).toEqual([1, 'service update paused: update paused due to failure\n'])
    await daemon.close()
  })

  test('the wait outlasts a change of leader, but not more than that', async () => {
    let failures = 20
    const daemon = await ScriptedDaemon.start(({ call }) => {
      if (call.startsWith('POST')) return { status: 201, body: { ID: 'abc' } }
      failures -= 1
      if (failures >= 0) return { status: 503, body: { message: 'the swarm has no leader' } }
      return { body: call.startsWith('GET /services') ? service({ State: 'completed' }) : [] }
    })
    const args = ['service', 'create', '-q', 'img']

    expect((await daemon.run(args)).err).toBe('')
    failures = 1_000_000
    expect(await daemon.run(args)).toMatchObject({
      code: 1,
      err: 'Error response from daemon: the swarm has no leader\n',
    })
    await daemon.close()
  })

  test('Ctrl-C leaves the work going and says so, exit code 0', async () => {
    const daemon = await ScriptedDaemon.start(({ call }) =>
      call.startsWith('GET /services') ? { body: service({}) } : { body: [] },
    )

    const args = ['service', 'update', '--force', 'web']
    const { code, out } = await daemon.run(args, { onSleep: (interrupt) => interrupt() })

    expect(code).toBe(0)
    expect(out).toMatch(
      /Operation continuing in background\.\nUse `tsswarm service ps abc` to check progress\.\n$/,
    )
    expect(daemon.calls.at(-3)).toBe('GET /services/abc')
    expect(daemon.calls).toContain('GET /tasks?filters={"service":["abc"],"_up-to-date":["true"]}')
    await daemon.close()
  })
})

describe('config and secret', () => {
  test('are created from a file or standard input, listed, shown and removed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsswarm-cli-'))
    writeFileSync(join(folder, 'app.conf'), 'key = 1\n')

    const config = await swarm.run('config', 'create', '-l', 'a=b', 'app', join(folder, 'app.conf'))
    const secret = await runCli(swarm.host, ['secret', 'create', 'token', '-'], { stdin: 's3cret' })

    rmSync(folder, { recursive: true })
    expect(config.out).toMatch(/^[0-9a-z]{25}\n$/)
    expect((await swarm.run('config', 'inspect', '--pretty', 'app')).out).toMatch(
      /Data:\nkey = 1\n/,
    )
    expect((await swarm.run('config', 'ls')).out).toMatch(
      /^ID +NAME +CREATED +UPDATED\n[0-9a-z]{25} +app +.* ago +.* ago\n$/,
    )
    const shown = await swarm.run('secret', 'inspect', secret.out.trim())
    expect(shown.out).not.toContain(Buffer.from('s3cret').toString('base64'))
    expect((await swarm.run('secret', 'ls', '--format', '{{.Name}}')).out).toBe('token\n')
    expect(await swarm.run('secret', 'rm', 'token', 'token')).toMatchObject({
      code: 1,
      out: 'token\n',
    })
  })

  test('a file that is not there and a terminal are usage errors; a name taken is not', async () => {
    expect((await swarm.run('config', 'create', 'a', '/nowhere')).code).toBe(125)
    expect((await swarm.run('secret', 'create', 'a')).err).toContain('standard input is a terminal')
    const create = () => runCli(swarm.host, ['config', 'create', 'a', '-'], { stdin: 'x' })
    await create()
    expect((await create()).code).toBe(1)
  })
})
