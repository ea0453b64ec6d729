/**
 * The containerd runtime on a real host: root, keeper, containerd and runc. Images are made of busybox
 * and come from the airgap folder; `registry.test.ts` has those that are pulled. Each test makes
 * containers of its own and waits for conditions, never for a time.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  type ContainerdRuntime,
  openContainerd,
} from '../../agent/runtime/containerd/containerd.ts'
import type { Container, ContainerLine, Exit } from '../../agent/runtime/runtime.ts'
import {
  buildImage,
  busyboxLayer,
  formatDockerArchive,
  formatOciArchive,
  imageFile,
  imageFolder,
  imageLink,
} from '../../deploy/quickstart/image.ts'
import { silentLog } from '../../lib/log.ts'
import { emptyTask, type Task } from '../../proto/gen/objects.ts'
import {
  type ContainerSpec,
  emptyContainerSpec,
  emptyMount,
  emptyTaskSpec,
  type Mount,
  type TaskSpec,
} from '../../proto/gen/specs.ts'
import { emptyPortConfig, emptyResources } from '../../proto/gen/types.ts'
import { openTestHost, type TestHost } from './keeper-host.ts'

const forever = new AbortController().signal
let world: TestHost
let images: string
let runtime: ContainerdRuntime
let exits: Exit[] = []
let taskCount = 0
const made: Task[] = []

beforeAll(async () => {
  world = await openTestHost()
  images = mkdtempSync('/var/tmp/tsswarm-images-')
  const plain = buildImage({ name: 'plain:1', layers: [busyboxLayer()], config: { Cmd: ['sh'] } })
  const rich = buildImage({
    name: 'rich:1',
    layers: [busyboxLayer(), richLayer(), [imageFile('srv/data/second', '2')]],
    config: {
      Entrypoint: ['echo', 'entry'],
      Cmd: ['command'],
      Env: ['FROM=image', 'BOTH=image'],
      WorkingDir: '/srv',
      User: 'web',
      Volumes: { '/srv/data': {} },
      StopSignal: 'SIGINT',
    },
  })
  writeFileSync(join(images, 'plain.tar'), formatOciArchive([plain]))
  writeFileSync(join(images, 'rich.tar'), formatDockerArchive(rich))
  runtime = await openRuntime()
})

afterEach(async () => {
  for (const task of made.splice(0)) await runtime.remove(task.id)
  exits = []
})

afterAll(async () => {
  await runtime.close()
  await world.close()
  rmSync(images, { recursive: true })
})

async function openRuntime(): Promise<ContainerdRuntime> {
  const opened = await openContainerd({
    host: world.host,
    stateDirectory: world.paths.stateDirectory,
    imagesDirectory: images,
    log: silentLog,
  })
  opened.watch((exit) => exits.push(exit))
  return opened
}

function richLayer(): ReturnType<typeof busyboxLayer> {
  return [
    imageFolder('srv'),
    { ...imageFolder('srv/data', 0o750), uid: 33, gid: 34 },
    { ...imageFile('srv/data/first', '1'), uid: 33, gid: 34 },
    imageLink('srv/data/link', '/etc/passwd'),
    imageLink('linked', '/srv/data'),
    imageLink('outside', '/../../../../../../../../var/tmp'),
  ]
}

type Changes = Partial<Omit<ContainerSpec, 'mounts'>> & {
  readonly mounts?: readonly Partial<Mount>[]
  readonly task?: Partial<TaskSpec>
}

function newTask({ task = {}, mounts = [], ...container }: Changes = {}): Task {
  const id = `e2e${String(taskCount++).padStart(5, '0')}${process.pid.toString(36)}`.padEnd(25, 'x')
  const spec: ContainerSpec = {
    ...emptyContainerSpec,
    image: 'plain:1',
    stopGraceMs: 1_000,
    ...container,
    mounts: mounts.map((mount) => ({ ...emptyMount, ...mount })),
  }
  const made_ = {
    ...emptyTask,
    ...{ id, slot: 1, serviceId: 'service1', nodeId: 'node1' },
    serviceAnnotations: { name: 'web', labels: new Map() },
    spec: { ...emptyTaskSpec, ...task, container: spec },
  }
  made.push(made_)
  return made_
}

/** A shell command in a container, started. */
async function run(command: string, changes: Changes = {}): Promise<Task> {
  const task = newTask({ command: ['sh', '-c', command], ...changes })
  await runtime.prepare(task, forever)
  await runtime.start(task)
  return task
}

async function until<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const exitOf = (task: Task): Promise<Exit> =>
  until(() => exits.find((exit) => exit.taskId === task.id))

async function output(task: Task, stream?: ContainerLine['stream']): Promise<string> {
  const lines: string[] = []
  const options = { follow: false, tail: -1, sinceMs: 0, signal: forever }
  const wanted = { stdout: stream !== 'stderr', stderr: stream !== 'stdout' }
  for await (const line of runtime.logs(task.id, { ...options, ...wanted })) {
    lines.push(new TextDecoder().decode(line.data))
  }
  return lines.join('\n')
}

/** What a command writes to both streams until it has ended. */
async function outputOf(command: string, changes: Changes = {}): Promise<string> {
  const task = await run(`exec 2>&1; ${command}`, changes)
  await exitOf(task)
  return output(task)
}

async function lineOf(task: Task, text: string): Promise<void> {
  await until(async () => (await output(task)).includes(text) || undefined)
}

test('a container is prepared, runs, ends, and is removed without a trace', async () => {
  const task = newTask({ command: ['sh', '-c', 'echo out; echo err >&2; exit 7'] })

  await runtime.prepare(task, forever)
  await runtime.prepare(task, forever)
  expect(await runtime.list()).toMatchObject([{ taskId: task.id, state: 'created' }])
  const started = await runtime.start(task)
  expect(started).toMatchObject({ containerId: task.id, hostPorts: [] })
  expect(started.pid).toBeGreaterThan(1)
  expect(await exitOf(task)).toMatchObject({ exitCode: 7, oomKilled: false, error: '' })
  expect([await output(task, 'stdout'), await output(task, 'stderr')]).toEqual(['out', 'err'])
  expect(await runtime.list()).toMatchObject([
    { taskId: task.id, state: 'exited', pid: 0, exit: { exitCode: 7 } },
  ])
  await expect(runtime.start(task)).rejects.toThrow('was started before')

  await runtime.remove(task.id)
  await runtime.remove(task.id)

  expect(await runtime.list()).toEqual([])
  expect(exits).toHaveLength(1)
  expect(existsSync(join(world.paths.logDirectory, task.id))).toBe(false)
  expect(existsSync(join(world.paths.stateDirectory, 'tasks', task.id))).toBe(false)
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(task.id)
})

test('ctr lists the task’s own id in namespace tsswarm, with Swarm’s labels', async () => {
  const task = await run('sleep 1000', {
    labels: new Map([
      ['mine', 'yes'],
      ['long', 'x'.repeat(9_000)],
    ]),
  })
  const ctr = ['ctr', '--address', world.paths.containerdSocket, '--namespace', 'tsswarm']

  const tasks = await world.keeper.run([...ctr, 'tasks', 'list'])
  const { stdout } = await world.keeper.run([...ctr, 'containers', 'info', task.id])

  expect(tasks.stdout).toMatch(new RegExp(`^${task.id}\\s+\\d+\\s+RUNNING`, 'm'))
  expect(JSON.parse(stdout).Labels).toMatchObject({
    mine: 'yes',
    'com.docker.swarm.task.id': task.id,
    'com.docker.swarm.task.name': `web.1.${task.id}`,
    'com.docker.swarm.node.id': 'node1',
    'com.docker.swarm.service.id': 'service1',
    'com.docker.swarm.service.name': 'web',
  })
})

test('image and service say together what runs, as whom and where', async () => {
  const rich = newTask({ image: 'rich:1', env: ['BOTH=service', 'OWN=1'] })
  await runtime.prepare(rich, forever)
  await runtime.start(rich)
  expect(await exitOf(rich)).toMatchObject({ exitCode: 0 })
  expect(await output(rich)).toBe('entry command')

  const shown = await outputOf('id; pwd; hostname; env | sort; umask; cat /etc/hostname', {
    image: 'rich:1',
    env: ['BOTH=service', 'OWN=1', 'HOME=/x'],
    hostname: 'box',
  })

  const lines = shown.split('\n')
  expect(lines[0]).toBe('uid=33(web) gid=34(www) groups=11(audio)')
  expect(lines.slice(1, 3)).toEqual(['/srv', 'box'])
  for (const line of ['BOTH=service', 'FROM=image', 'OWN=1', 'HOSTNAME=box', '0022', 'box']) {
    expect(lines).toContain(line)
  }
})

test.each([
  ['0:0', 'uid=0(root) gid=0(root)'],
  ['web:audio', 'uid=33(web) gid=11(audio)'],
  ['1234', 'uid=1234 gid=0(root)'],
])('user %s', async (user, expected) => {
  expect((await outputOf('id', { user })).split(' groups')[0]).toBe(expected)
})

test('what cannot run is refused before anything runs', async () => {
  const cases: readonly (readonly [Changes, string])[] = [
    [{ image: 'plain:1', user: 'nobody' }, 'unable to find user nobody'],
    [
      { mounts: [{ type: 'bind', source: '/nowhere', target: '/x' }] },
      'bind source path does not exist: /nowhere',
    ],
    [{ task: { networks: [{ target: 'front' }] } }, 'network "front" cannot be joined'],
    [{ stopSignal: 'SIGNOPE' }, 'invalid signal: SIGNOPE'],
    [{ capabilityAdd: ['NOPE'] }, 'unknown capability "NOPE"'],
    [{ image: '127.0.0.1:1/none:1' }, 'cannot reach http'],
    [{ image: 'UPPER' }, 'must be lowercase'],
  ]
  for (const [changes, message] of cases) {
    await expect(runtime.prepare(newTask(changes), forever)).rejects.toThrow(message)
  }
  const missing = newTask({ command: ['/no/such/program'] })
  await runtime.prepare(missing, forever)

  await expect(runtime.start(missing)).rejects.toThrow('/no/such/program')

  const listed = (await runtime.list()).find(({ taskId }) => taskId === missing.id)
  expect(listed).toMatchObject({ state: 'exited', exit: { exitCode: -1 } })
  expect(listed?.exit?.error).toContain('/no/such/program')
})

test('stop sends the image’s signal, and kills what ignores it after the grace', async () => {
  const polite = await run(
    'trap "echo got int; exit 3" INT; echo ready; while :; do sleep 0.1; done',
    {
      ...{ image: 'rich:1', stopGraceMs: 30_000 },
    },
  )
  const stubborn = await run('trap "" TERM; echo ready; (trap "" TERM; sleep 1000) & sleep 1000', {
    stopGraceMs: 300,
  })
  await lineOf(polite, 'ready')
  await lineOf(stubborn, 'ready')

  await Promise.all([runtime.stop(polite), runtime.stop(stubborn)])

  expect(await exitOf(polite)).toMatchObject({ exitCode: 3, oomKilled: false })
  expect(await output(polite)).toContain('got int')
  expect(await exitOf(stubborn)).toMatchObject({ exitCode: 137, oomKilled: false })
  await runtime.stop(stubborn)
  await runtime.stop(newTask())
})

test('limits hold: memory with OOM reported as such, processes, CPU', async () => {
  const task = {
    resources: {
      limits: { ...emptyResources, nanoCpus: 500_000_000, memoryBytes: 32 << 20 },
      reservations: undefined,
      pidsLimit: 20,
    },
  }
  const hungry = await run('echo start; x=a; while :; do x=$x$x; done', { task })
  const forking = await outputOf('for i in $(seq 30); do sleep 5 & done; echo done', { task })
  const idle = await run('sleep 1000', { task })

  expect(await exitOf(hungry)).toMatchObject({ exitCode: 137, oomKilled: true, error: '' })
  expect(forking).toContain("can't fork")
  expect(readCgroup(idle, 'cpu', 'cpu.cfs_quota_us', 'cpu.max')).toMatch(/^50000( 100000)?$/)
  expect(readCgroup(idle, 'memory', 'memory.limit_in_bytes', 'memory.max')).toBe(String(32 << 20))
  expect(readCgroup(idle, 'pids', 'pids.max', 'pids.max')).toBe('20')
})

function readCgroup(task: Task, hierarchy: string, v1: string, v2: string): string {
  const path = `tsswarm/${world.paths.hash}/${task.id}`
  const file = existsSync('/sys/fs/cgroup/cgroup.controllers')
    ? `/sys/fs/cgroup/${path}/${v2}`
    : `/sys/fs/cgroup/${hierarchy}/${path}/${v1}`
  return readFileSync(file, 'utf8').trim()
}

test('a container’s root cannot reach the host', async () => {
  const attempts = [
    'echo "|/bin/x" > /proc/sys/kernel/core_pattern',
    'echo b > /proc/sysrq-trigger',
    'echo 1 > /proc/sys/vm/drop_caches',
    'echo 0 > /proc/irq/default_smp_affinity',
    'echo 1 > /sys/kernel/profiling',
    'echo mem > /sys/power/state',
    'mkdir /sys/fs/cgroup/memory/x || mkdir /sys/fs/cgroup/x',
    'mount -t tmpfs none /tmp',
    'mount -o remount,rw /sys',
    'umount /proc/kcore',
    'unshare -m true',
    'mknod /tmp/disk b 254 0; head -c 1 /tmp/disk',
    'mknod /tmp/mem c 1 1; head -c 1 /tmp/mem',
    'mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg',
    'dmesg',
    'chroot /proc/1/root/../../.. true 2>/dev/null; ls /var/lib/containerd',
    'date -s 2000-01-01 > /dev/null; [ "$(date +%Y)" = 2000 ]',
    'swapoff -a; ip link add type dummy',
    'head -c 1 /dev/mem',
  ]
  const script = attempts
    .map((attempt, at) => `if (${attempt}); then echo "BROKE ${at}"; fi`)
    .join('\n')

  const shown = await outputOf(`${script}\necho finished`)
  const masked = await outputOf(
    'for f in kcore timer_list keys interrupts; do [ ! -e /proc/$f ] || wc -c < /proc/$f; done; ls /sys/firmware | wc -l',
  )

  expect(shown).toContain('finished')
  expect(shown).not.toContain('BROKE')
  // Docker's masks: a file without bytes, a folder without files.
  expect(masked.split('\n').filter((line) => line !== '0')).toEqual([])
})

test('nothing of containerd’s own limits and scores is inherited', async () => {
  const shown = await outputOf(
    'cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc; ulimit -u; ' +
      'grep -E "^(CapBnd|Seccomp|NoNewPrivs):" /proc/self/status; cat /proc/self/cgroup | head -1',
  )

  const lines = shown.split('\n')
  const openFiles = String(openFilesMax())
  expect(lines.slice(0, 4)).toEqual(['0', openFiles, openFiles, '0'])
  expect(lines.find((line) => line.startsWith('CapBnd'))).toContain('00000000a80425fb')
  expect(lines.find((line) => line.startsWith('Seccomp'))).toContain('2')
  expect(shown).not.toContain(world.paths.hash)
})

/** Docker's number, unless this very machine may not raise limits. */
function openFilesMax(): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  const held = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(status)?.[1]}`)
  if ((held >> 24n) & 1n) return 1_048_576
  return Number(/^Max open files +\S+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
}

test('capabilities are added and dropped, and a read-only root stays as it is', async () => {
  const dropped = await outputOf('chown 1 /tmp && echo BROKE; echo end', {
    capabilityDrop: ['ALL'],
  })
  const added = await outputOf('grep CapEff /proc/self/status', { capabilityAdd: ['NET_ADMIN'] })
  const readOnly = await outputOf('echo x > /x || echo refused; echo y > /dev/shm/y && echo fine', {
    readOnly: true,
  })

  expect(dropped).not.toContain('BROKE')
  expect(added).toContain('a80435fb')
  expect(readOnly.split('\n').slice(-2)).toEqual(['refused', 'fine'])
})

test('a named volume starts as a copy of the image’s folder and outlives its containers', async () => {
  const mounts = [{ type: 'volume', source: 'data', target: '/srv/data' }] as const
  const changes = { image: 'rich:1', user: 'root', mounts }

  const first = await outputOf(
    'stat -c "%U %a" .data /srv/data | tail -1; ls /srv/data; rm /srv/data/first; echo new > /srv/data/third',
    changes,
  )
  const second = await outputOf('ls /srv/data; readlink /srv/data/link', changes)
  const empty = await outputOf('ls /srv/data; echo end', {
    ...changes,
    mounts: [{ type: 'volume', source: 'empty', target: '/srv/data', volumeNoCopy: true }],
  })

  expect(first.split('\n').slice(-4)).toEqual(['web 750', 'first', 'link', 'second'])
  expect(second.split('\n')).toEqual(['link', 'second', 'third', '/etc/passwd'])
  expect(empty).toBe('end')
})

test('links of an image lead nowhere on the host', async () => {
  const task = await run('ls /x', {
    ...{ image: 'rich:1', user: 'root' },
    mounts: [
      { type: 'volume', source: 'outside', target: '/outside' },
      { type: 'volume', source: 'linked', target: '/linked' },
      { type: 'tmpfs', target: '/x' },
    ],
  })
  await exitOf(task)
  const volume = (name: string): readonly string[] =>
    readdirSync(join(world.paths.stateDirectory, 'volumes/named', name, '_data'))

  expect(volume('outside')).toEqual([])
  expect(volume('linked')).toEqual(['first', 'link', 'second'])
})

test('an anonymous volume goes with its container', async () => {
  const task = await run('ls /srv/data', { image: 'rich:1' })
  await exitOf(task)
  const folder = join(world.paths.stateDirectory, 'volumes/anonymous', task.id)

  expect(await output(task)).toBe('first\nlink\nsecond')
  expect(existsSync(folder)).toBe(true)
  await runtime.remove(task.id)

  expect(existsSync(folder)).toBe(false)
})

test('binds and tmpfs are mounted as asked for', async () => {
  const folder = mkdtempSync('/var/tmp/tsswarm-bind-')
  writeFileSync(join(folder, 'in'), 'from the host')

  const shown = await outputOf(
    'cat /b/in; echo x > /b/out || echo refused; echo y > /w/out; grep -E " /t " /proc/mounts; stat -c %a /t',
    {
      mounts: [
        { type: 'bind', source: folder, target: '/b', readOnly: true },
        { type: 'bind', source: folder, target: '/w' },
        { type: 'tmpfs', target: '/t', tmpfsSizeBytes: 1 << 20, tmpfsMode: 0o700 },
      ],
    },
  )

  expect(shown).toContain('from the host')
  expect(shown).toContain('refused')
  expect(shown).toMatch(/tmpfs \/t tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700/)
  expect(readFileSync(join(folder, 'out'), 'utf8')).toBe('y\n')
  rmSync(folder, { recursive: true })
})

test('tasks have a network of their own, or the host’s', async () => {
  const host = { task: { networks: [{ target: 'host' }] } }

  const own = await outputOf(
    'ls /sys/class/net; cat /etc/resolv.conf /etc/hosts; cat /proc/sys/net/ipv4/ip_unprivileged_port_start',
  )
  const shared = await outputOf('readlink /proc/self/ns/net', host)

  expect(own.split('\n').slice(0, 2)).toEqual(['eth0', 'lo'])
  expect(own).toMatch(/^nameserver /m)
  expect(own).toMatch(/^\d+\.\d+\.\d+\.\d+\te2e/m)
  expect(own.split('\n').at(-1)).toBe('0')
  expect(shared).toBe((await world.keeper.run(['readlink', '/proc/self/ns/net'])).stdout.trim())
})

test('a published port leads to its task, and is free again when that has ended', async () => {
  const task = {
    ...newTask({ command: ['httpd', '-f', '-p', '8080', '-h', '/etc'] }),
    endpoint: {
      mode: 'vip' as const,
      ports: [{ ...emptyPortConfig, targetPort: 8080, publishMode: 'host' as const }],
    },
  }
  await runtime.prepare(task, forever)
  const { hostPorts } = await runtime.start(task)
  const port = hostPorts[0]?.publishedPort ?? 0
  const get = async (): Promise<string | undefined> =>
    fetch(`http://127.0.0.1:${port}/passwd`).then(
      (answer) => answer.text(),
      () => undefined,
    )

  expect(port).toBeGreaterThan(0)
  expect(await until(get)).toContain('root:x:0:0')
  expect(await containerOf(task)).toMatchObject({
    hostPorts: [{ targetPort: 8080, publishedPort: port }],
  })
  await runtime.stop(task)

  await until(async () => (await get()) === undefined || undefined)
})

test('logs are followed while the container runs, to its last line', async () => {
  const task = await run('for i in 1 2 3; do echo $i; sleep 0.2; done; printf last')
  const lines: string[] = []

  const options = {
    follow: true,
    stdout: true,
    stderr: true,
    tail: -1,
    sinceMs: 0,
    signal: forever,
  }
  for await (const line of runtime.logs(task.id, options)) {
    lines.push(new TextDecoder().decode(line.data))
  }

  expect(lines.filter((line) => line !== '')).toEqual(['1', '2', '3', 'last'])
})

test('an archive that is put into the folder later is imported too', async () => {
  const image = buildImage({ name: 'late:2', layers: [busyboxLayer()], config: { Cmd: ['true'] } })
  writeFileSync(join(images, 'broken.tar'), 'no archive at all')

  writeFileSync(join(images, 'late.tar.gz'), gzipSync(formatOciArchive([image])))
  const task = await until(async () => {
    const attempt = newTask({ image: 'late:2' })
    return runtime.prepare(attempt, AbortSignal.timeout(1_500)).then(
      () => attempt,
      () => undefined,
    )
  })
  await runtime.start(task)

  expect(await exitOf(task)).toMatchObject({ exitCode: 0 })
})

test('a later daemon finds what runs, what ended meanwhile, and what was never started', async () => {
  const running = await run('echo up; sleep 1000')
  const ending = await run('read x < /w/go; exit 5', withPipe())
  const created = newTask({ command: ['true'] })
  await runtime.prepare(created, forever)
  await runtime.close()
  exits = []
  writeFileSync(join(pipeFolder, 'go'), 'go\n')
  await until(async () => {
    const ctr = ['ctr', '--address', world.paths.containerdSocket, '--namespace', 'tsswarm']
    return (
      (await world.keeper.run([...ctr, 'tasks', 'list'])).stdout.includes('STOPPED') || undefined
    )
  })

  runtime = await openRuntime()
  const listed = new Map((await runtime.list()).map((container) => [container.taskId, container]))

  expect(listed.get(running.id)).toMatchObject({ state: 'running', exit: undefined })
  expect(listed.get(ending.id)).toMatchObject({ state: 'exited', exit: { exitCode: 5, error: '' } })
  expect(listed.get(created.id)).toMatchObject({ state: 'created' })
  await runtime.stop(running)
  expect(await exitOf(running)).toMatchObject({ exitCode: 137 })
  await runtime.start(created)
  expect(await exitOf(created)).toMatchObject({ exitCode: 0 })
  expect(exits.filter((exit) => exit.taskId === ending.id)).toEqual([])
  rmSync(pipeFolder, { recursive: true })
})

let pipeFolder = ''

/** A fifo on the host at which a container waits. */
function withPipe(): Changes {
  pipeFolder = mkdtempSync('/var/tmp/tsswarm-pipe-')
  mkdirSync(join(pipeFolder, 'sub'))
  const mounts = [{ type: 'bind' as const, source: pipeFolder, target: '/w' }]
  return { mounts, command: ['sh', '-c', 'until [ -e /w/go ]; do sleep 0.05; done; exit 5'] }
}

test('a daemon that has only just started still keeps the grace', async () => {
  const task = await run(
    'trap "sleep 0.5; echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done',
    {
      stopGraceMs: 30_000,
    },
  )
  await lineOf(task, 'up')
  await runtime.close()
  exits = []

  runtime = await openRuntime()
  await runtime.stop(task)

  expect(await exitOf(task)).toMatchObject({ exitCode: 0 })
  expect(await output(task)).toContain('bye')
})

test('containerd may be killed: containers go on, and their ends are learnt afterwards', async () => {
  const running = await run('sleep 1000')
  const ending = await run('', withPipe())
  const before = await until(() => containerOf(running))

  writeFileSync(join(pipeFolder, 'go'), 'go\n')
  await world.restartContainerd()

  expect(await exitOf(ending)).toMatchObject({ exitCode: 5, error: '' })
  expect(await until(() => containerOf(running))).toMatchObject({
    state: 'running',
    pid: before.pid,
  })
  await runtime.stop(running)
  expect(await exitOf(running)).toMatchObject({ exitCode: 137 })
  rmSync(pipeFolder, { recursive: true })
})

async function containerOf(task: Task): Promise<Container | undefined> {
  const listed = await runtime.list().catch(() => [])
  return listed.find(({ taskId }) => taskId === task.id)
}

test('a killed shim is told as lost', async () => {
  const task = await run('sleep 1000')
  const container = await until(() => containerOf(task))
  const status = readFileSync(`/proc/${container.pid}/status`, 'utf8')
  const shim = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1])

  process.kill(shim, 'SIGKILL')

  expect(await exitOf(task)).toMatchObject({
    exitCode: -1,
    error: 'runtime lost',
    oomKilled: false,
  })
  await until(() => isGone(container.pid) || undefined)
})

/** Ended, though perhaps not yet noticed by whoever inherited it. */
function isGone(pid: number): boolean {
  const path = `/proc/${pid}/status`
  return !existsSync(path) || /^State:\s+[ZX]/m.test(readFileSync(path, 'utf8'))
}

test('describe tells of the machine', async () => {
  expect(await runtime.describe()).toMatchObject({
    platform: { os: 'linux' },
    engineVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
  })
})
