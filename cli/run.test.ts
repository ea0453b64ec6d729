/** Command lines that are understood and those that are not: exit codes, errors, help, switches. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CliOptions, type CliResult, ScriptedDaemon } from '../test/cli-world.ts'

describe('command line', () => {
  let daemon: ScriptedDaemon

  beforeEach(async () => {
    daemon = await ScriptedDaemon.start(({ call }) =>
      call.startsWith('GET /bad') ? { status: 404 } : { body: [] },
    )
  })

  afterEach(() => daemon.close())

  function run(line: string, options?: CliOptions): Promise<CliResult> {
    return daemon.run(line === '' ? [] : line.split(' '), options)
  }

  test.each([
    ['nothing', '', /Commands:\n {2}daemon/],
    ['--help', '--help', /Usage: tsswarm/],
    ['-h', '-h', /tlscacert/],
    ['help of a command', 'help node update', /--label-add/],
    ['a group', 'service --help', /scale/],
    ['a daemon', 'daemon --help', /--state-dir/],
    ['--version', '--version', /^tsswarm version \d+\.\d+\.\d+\n$/],
  ])('%s is help, exit code 0', async (_, line, out) => {
    const result = await run(line)

    expect([result.code, result.err]).toEqual([0, ''])
    expect(result.out).toMatch(out)
  })

  const COMMANDS = [
    ...['init', 'join', 'leave', 'join-token', 'info', 'version', 'daemon'],
    ...['init', 'join', 'leave', 'join-token', 'update'].map((name) => `swarm ${name}`),
    ...['ls', 'inspect', 'ps', 'update', 'promote', 'demote', 'rm'].map((name) => `node ${name}`),
    ...['create', 'ls', 'inspect', 'ps', 'scale', 'rm', 'logs', 'update'].map(
      (n) => `service ${n}`,
    ),
    ...['create', 'ls', 'inspect', 'rm'].flatMap((name) => [`config ${name}`, `secret ${name}`]),
  ]

  test.each(COMMANDS)('%s has help with examples, and --json', async (command) => {
    const { code, out } = await run(`${command} --help`)

    expect(code).toBe(0)
    expect(out).toMatch(/\nExamples:\n {2}\$ (?:tsswarm|printf)/)
    expect(out).toContain('--json')
  })

  test.each([
    ['nonsense', "tsswarm: unknown command 'nonsense'"],
    ['node nonsense', "tsswarm node: unknown command 'nonsense'"],
    ['node ls --nonsense', "tsswarm node ls: unknown flag '--nonsense'"],
    ['node ls extra', 'tsswarm node ls: too many arguments'],
    ['node rm', "tsswarm node rm: missing required argument 'node'"],
    ['node ls -H unix:///x', 'tsswarm node ls: -H stands before the command'],
    [
      'service create --log-driver x img',
      "--log-driver is a flag of Docker's that is not supported",
    ],
    [
      'service create --no-healthcheck --health-retries 3 img',
      '--no-healthcheck conflicts with --health-* options',
    ],
    ['service create -t img', "-t is a flag of Docker's that is not supported"],
    ['service update --network-add x web', "--network-add is a flag of Docker's"],
    [
      'service update --rollback --image x --env-add a=b web',
      'other flags may not be combined with --rollback: --image, --env-add',
    ],
    [
      'service create --rollback-failure-action rollback img',
      'invalid argument "rollback" for "--rollback-failure-action"',
    ],
    ['init --autolock', "--autolock is a flag of Docker's that is not supported yet"],
    ['secret create -d x name -', "-d is a flag of Docker's"],
    ['service create --replicas x img', 'invalid argument "x" for "--replicas"'],
    ['service create --detach=maybe img', 'invalid argument "maybe" for "--detach"'],
    ['service create --mode global --replicas 2 img', 'replicas can only be used with replicated'],
    [
      'service create --max-concurrent 2 img',
      'max-concurrent can only be used with replicated-job',
    ],
    [
      'service create --mode global-job --update-delay 1s img',
      'update and rollback configuration is not supported for jobs',
    ],
    ['service scale web', 'invalid scale specifier "web"'],
    ['node ls --filter role', 'invalid filter "role"'],
    ['node ls --format {{.Nmae}}', 'there is no field ".Nmae"'],
    ['join 1.2.3.4:2377', '--token is missing'],
    ['join-token boss', 'unknown role "boss"'],
    ['swarm update', 'no setting was given'],
    ['daemon', 'the daemon is started by the launcher'],
    ['-H http://x node ls', '--host "http://x" is neither'],
    ['--tlscert x -H tcp://1.2.3.4:1 node ls', '--tlscacert, --tlscert and --tlskey go together'],
  ])('"%s" exits with 125', async (line, message) => {
    const { code, out, err } = await run(line)

    expect([code, out]).toEqual([125, ''])
    expect(err).toContain(message)
    expect(err).toMatch(/\nSee 'tsswarm.* --help'\.\n$/)
  })

  test.each([
    ['by flag', '--consistency stale node ls', {}, 'GET /nodes?consistency=stale'],
    ['by environment', 'node ls', { TSSWARM_CONSISTENCY: 'stale' }, 'GET /nodes?consistency=stale'],
    [
      'by flag over environment',
      '--consistency linearizable node ls',
      { TSSWARM_CONSISTENCY: 'stale' },
      'GET /nodes',
    ],
  ])('reads are stale %s', async (_how, line, env, call) => {
    await run(line, { env })

    expect(daemon.calls).toContain(call)
  })

  test('a usage error asks nothing of the daemon', async () => {
    await run('service create --replicas x img')

    expect(daemon.calls).toEqual([])
  })

  test('a group without a command prints its help on stderr and exits with 125', async () => {
    const { code, out, err } = await run('service')

    expect([code, out]).toEqual([125, ''])
    expect(err).toMatch(/Usage: tsswarm service/)
  })

  test('with --json errors are objects on stderr', async () => {
    const usage = await run('node ls --json --nonsense')
    const refused = await run('node inspect --json x', { env: { TSSWARM_HOST: 'unix:///nowhere' } })

    expect([usage.code, JSON.parse(usage.err)]).toEqual([
      125,
      { message: "unknown flag '--nonsense'" },
    ])
    expect([refused.code, JSON.parse(refused.err)]).toEqual([
      1,
      { message: expect.stringContaining('cannot connect') },
    ])
  })

  test('no daemon is said with its address, exit code 1', async () => {
    const { code, err } = await run('node ls', { env: { TSSWARM_HOST: 'unix:///nowhere/x.sock' } })

    expect(code).toBe(1)
    expect(err).toBe(
      "cannot connect to the tsswarm daemon at unix:///nowhere/x.sock. Is it running? Start it with 'systemctl start tsswarm' or 'tsswarm daemon'\n",
    )
  })

  test('--host comes before TSSWARM_HOST, which comes before DOCKER_HOST', async () => {
    const env = { TSSWARM_HOST: 'unix:///nowhere/a', DOCKER_HOST: 'unix:///nowhere/b' }

    expect((await run('-H unix:///nowhere/c info', { env })).err).toContain('unix:///nowhere/c')
    expect((await run('info', { env })).err).toContain('unix:///nowhere/a')
    expect((await run('info', { env: { ...env, TSSWARM_HOST: '' } })).err).toContain('/nowhere/b')
    const nowhere = { TSSWARM_HOST: '', DOCKER_HOST: '' }
    expect((await run('info', { env: nowhere })).err).toMatch(/run\/tsswarm\/docker\.sock|^$/)
  })

  test('an answer that is not JSON, or an error without a message, is an error', async () => {
    const odd = await ScriptedDaemon.start(({ call }) =>
      call === 'GET /info'
        ? { body: Buffer.from('<html>') }
        : { status: 502, body: Buffer.from('no') },
    )

    expect((await odd.run(['info'])).err).toContain('GET /info: the answer of')
    expect(await odd.run(['version'])).toMatchObject({
      code: 1,
      err: 'Error response from daemon: no\n',
    })
    await odd.close()
  })

  test("switches take Docker's =true and =false, and what follows IMAGE is the container's", async () => {
    const line =
      'service create --detach=true --read-only=false --name w img sh --detach=false -c --x=1'
    const { code } = await run(line)

    expect(code).toBe(0)
    const [asked] = daemon.asked
    expect(asked?.body).toMatchObject({
      Name: 'w',
      TaskTemplate: {
        ContainerSpec: { Image: 'img', Args: ['sh', '--detach=false', '-c', '--x=1'] },
      },
    })
    expect(JSON.stringify(asked?.body)).not.toContain('ReadOnly')
  })

  test("a flag's value may look like a switch or a command", async () => {
    await run('service create -d --name ls --label --detach=false img')

    expect(daemon.asked[0]?.body).toMatchObject({ Name: 'ls', Labels: { '--detach': 'false' } })
  })
})
