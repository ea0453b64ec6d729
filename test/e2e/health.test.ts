/**
 * Health checks on real hosts: what a check in a container sees, how it ends, that nothing is left of
 * it; and what a cluster makes of the answers. The rules themselves stand in `agent/health.test.ts`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ContainerdRuntime,
  openContainerd,
} from '../../agent/runtime/containerd/containerd.ts'
import type { ProbeOutcome } from '../../agent/runtime/runtime.ts'
import { type Host, waitFor } from '../../deploy/quickstart/cluster.ts'
import { buildImage, busyboxLayer, formatOciArchive } from '../../deploy/quickstart/image.ts'
import { silentLog } from '../../lib/log.ts'
import { emptyTask, type Task } from '../../proto/gen/objects.ts'
import {
  type ContainerSpec,
  emptyContainerSpec,
  emptyHealthcheck,
  emptyTaskSpec,
} from '../../proto/gen/specs.ts'
import { asJson, asList, type Cluster, openCluster, serviceSpec } from './cluster.ts'
import { openTestHost, type TestHost } from './keeper-host.ts'

const WAIT_MS = 90_000
const SECOND = 1_000_000_000
const SLEEP = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'

describe('a check in a container', () => {
  const forever = new AbortController().signal
  let world: TestHost
  let images: string
  let runtime: ContainerdRuntime
  let task: Task

  beforeAll(async () => {
    world = await openTestHost()
    images = mkdtempSync('/var/tmp/tsswarm-images-')
    const checked = buildImage({
      name: 'checked:1',
      layers: [busyboxLayer()],
      config: {
        Cmd: ['sh', '-c', SLEEP],
        Shell: ['/bin/busybox', 'sh', '-e', '-c'],
        Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 7 * SECOND, Retries: 4 },
      },
    })
    writeFileSync(join(images, 'checked.tar'), formatOciArchive([checked]))
    runtime = await open()
    task = newTask({ env: ['COLOUR=red'], user: '33:34', dir: '/tmp' })
    await runtime.prepare(task, forever)
    const started = await runtime.start(task)
    expect(started.imageCheck).toMatchObject({ test: ['CMD-SHELL', 'true'], retries: 4 })
  })

  afterAll(async () => {
    await runtime.remove(task.id)
    await runtime.close()
    await world.close()
    rmSync(images, { recursive: true })
  })

  function open(): Promise<ContainerdRuntime> {
    const { stateDirectory } = world.paths
    return openContainerd({
      host: world.host,
      stateDirectory,
      imagesDirectory: images,
      log: silentLog,
    })
  }

  function newTask(container: Partial<ContainerSpec>): Task {
    const spec = { ...emptyContainerSpec, image: 'checked:1', stopGraceMs: 1_000, ...container }
    const id = `health${process.pid.toString(36)}`.padEnd(25, 'x')
    return {
      ...emptyTask,
      ...{ id, slot: 1, serviceId: 'service1', nodeId: 'node1' },
      spec: { ...emptyTaskSpec, container: spec },
    }
  }

  function check(line: string, timeoutMs = 60_000, signal = forever): Promise<ProbeOutcome> {
    return runtime.probe(task, { test: ['CMD-SHELL', line], timeoutMs }, signal)
  }

  /** Command lines of the container's processes. */
  function listProcesses(): readonly string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          const isOurs = readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(task.id)
          return isOurs ? [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')] : []
        } catch {
          return []
        }
      })
  }

  const only = [expect.stringContaining('trap'), expect.stringContaining('sleep 1000')]

  test('runs as the container’s process does, by the image’s shell', async () => {
    const outcome = await check('id -u; id -g; pwd; echo $COLOUR; echo bad >&2; false; echo never')

    expect(outcome).toMatchObject({ kind: 'exited', exitCode: 1 })
    // In which order the two streams are copied is nobody's to say.
    expect(
      outcome.output
        .trim()
        .split('\n')
        .filter((line) => line !== 'bad'),
    ).toEqual([...['33', '34', '/tmp', 'red']])
    expect(outcome.output).toContain('bad\n')
    expect(listProcesses().toSorted()).toEqual(expect.arrayContaining(only))
  })

  test('without a shell takes words as they are', async () => {
    const probe = { test: ['CMD', 'echo', '$COLOUR', 'a  b'], timeoutMs: 60_000 }

    expect(await runtime.probe(task, probe, forever)).toEqual({
      kind: 'exited',
      exitCode: 0,
      output: '$COLOUR a  b\n',
    })
  })

  test('that writes much is cut to 4,096 bytes and not held up', async () => {
    const outcome = await check('head -c 5000000 /dev/zero | tr "\\0" x')

    expect(outcome).toEqual({ kind: 'exited', exitCode: 0, output: `${'x'.repeat(4_096)}...` })
  })

  test('that takes too long is ended with all that it started', async () => {
    const outcome = await check('sleep 2001 & echo begun; sleep 2002; true', 500)

    expect(outcome).toEqual({ kind: 'late', output: 'begun\n' })
    expect(listProcesses().filter((line) => line.includes('200'))).toEqual([])
  })

  test('leaves nothing behind that holds it up', async () => {
    const outcome = await check('sleep 2003 & echo done')

    expect(outcome).toEqual({ kind: 'exited', exitCode: 0, output: 'done\n' })
    expect(listProcesses().filter((line) => line.includes('2003'))).toEqual([])
  })

  test('that is given up has ended', async () => {
    const abort = new AbortController()
    const outcome = check('sleep 2004; true', 60_000, abort.signal)
    await waitFor('the check to run', WAIT_MS, async () =>
      listProcesses().some((line) => line.includes('2004')) ? true : undefined,
    )
    abort.abort()

    expect(await outcome).toEqual({ kind: 'late', output: '' })
    expect(listProcesses().filter((line) => line.includes('2004'))).toEqual([])
  })

  test('whose program is missing says so', async () => {
    const probe = { test: ['CMD', '/nonexistent'], timeoutMs: 60_000 }

    await expect(runtime.probe(task, probe, forever)).rejects.toThrow('/nonexistent')
    expect(await check('echo again')).toMatchObject({ kind: 'exited', output: 'again\n' })
  })

  test('that its container takes with it when it ends says nothing', async () => {
    const short = { ...task, id: task.id.replace('x', 's') }
    const container = { ...emptyContainerSpec, image: 'checked:1', command: ['sleep', '3'] }
    const ending = { ...short, spec: { ...emptyTaskSpec, container } }
    await runtime.prepare(ending, forever)
    await runtime.start(ending)
    const probe = { test: ['CMD', 'sleep', '1000'], timeoutMs: 60_000 }

    await expect(runtime.probe(ending, probe, forever)).rejects.toMatchObject({ retriable: true })
    await runtime.remove(ending.id)
  })

  test('that a dead daemon left running is ended by the next one’s', async () => {
    const before = runtime
    const left = check('sleep 2005; true').catch(() => undefined)
    await waitFor('the check to run', WAIT_MS, async () =>
      listProcesses().some((line) => line.includes('2005')) ? true : undefined,
    )
    runtime = await open()
    const found = (await runtime.list()).find(({ taskId }) => taskId === task.id)

    expect(found?.imageCheck).toEqual({
      ...emptyHealthcheck,
      ...{ test: ['CMD-SHELL', 'true'], intervalMs: 7_000, retries: 4 },
    })
    expect(await check('echo mine')).toEqual({ kind: 'exited', exitCode: 0, output: 'mine\n' })
    expect(listProcesses().filter((line) => line.includes('2005'))).toEqual([])
    await left
    await before.close()
  })
})

type Check = { readonly line: string; readonly retries?: number; readonly startPeriodMs?: number }

/** A service with a check each half second. */
function specWith(
  options: Parameters<typeof serviceSpec>[0],
  { line, retries = 2, startPeriodMs = 0 }: Check,
): Readonly<Record<string, unknown>> {
  const spec = serviceSpec(options)
  const template = asJson(spec['TaskTemplate'])
  const Healthcheck = {
    Test: ['CMD-SHELL', line],
    Interval: SECOND / 2,
    Timeout: 10 * SECOND,
    Retries: retries,
    StartPeriod: startPeriodMs * 1e6,
  }
  const ContainerSpec = { ...asJson(template['ContainerSpec']), Healthcheck }
  return { ...spec, TaskTemplate: { ...template, ContainerSpec } }
}

describe('a cluster', () => {
  let cluster: Cluster
  let first: Host

  beforeAll(async () => {
    cluster = await openCluster(10, { hosts: 2, managers: 1 })
    first = cluster.host(1)
  })

  afterAll(() => cluster.close())

  async function remove(service: string): Promise<void> {
    await cluster.call(first, 'DELETE', `/services/${service}`)
    await waitFor(`the containers of ${service} to go`, WAIT_MS, async () =>
      (await cluster.listAllContainers()).size === 0 ? true : undefined,
    )
  }

  test('a task whose check never succeeds never runs, and fails', async () => {
    const spec = specWith({ name: 'never' }, { line: 'echo no such luck; exit 3' })
    await cluster.call(first, 'POST', '/services/create', spec)
    const states = new Set<string>()
    const failed = await waitFor('two failed tasks', WAIT_MS, async () => {
      const tasks = await cluster.listTasks(first, 'never')
      for (const { state } of tasks) states.add(state)
      const found = tasks.filter(({ state }) => state === 'failed')
      return found.length >= 2 ? found : undefined
    })

    expect(states).toContain('starting')
    expect(states).not.toContain('running')
    expect(failed[0]?.error).toBe('dockerexec: unhealthy container')
    const path = `/tsswarm/v1/tasks/${failed[0]?.id}/health`
    expect(await cluster.call(first, 'GET', path)).toMatchObject({
      Status: 'unhealthy',
      FailingStreak: 2,
      Log: [
        { ExitCode: 3, Output: 'no such luck\n' },
        { ExitCode: 3, Output: 'no such luck\n' },
      ],
    })
    await remove('never')
  })

  test('a task whose check turns bad is stopped, failed and replaced', async () => {
    // Its process ends by the signal, so that there is an exit code to tell.
    const command = ['sh', '-c', 'touch /tmp/ok; (sleep 8; rm /tmp/ok) & while :; do sleep 1; done']
    const spec = specWith(
      { name: 'turns', command, stopGraceMs: 500 },
      { line: 'test -f /tmp/ok', startPeriodMs: 5_000 },
    )
    await cluster.call(first, 'POST', '/services/create', spec)
    const [ran] = await cluster.untilRunning(first, 'turns', 1)
    const gone = await waitFor('the task to fail', WAIT_MS, async () => {
      const tasks = await cluster.listTasks(first, 'turns')
      return tasks.find(({ id, state }) => id === ran?.id && state === 'failed')
    })
    const [successor] = await cluster.untilRunning(first, 'turns', 1)

    expect(gone.error).toBe('task: non-zero exit (137): dockerexec: unhealthy container')
    expect(successor?.id).not.toBe(ran?.id)
    expect(successor?.slot).toBe(ran?.slot)
    await remove('turns')
  })

  test.each([
    // Both tolerate one failed slot of four; with as many workers as that, and with more slots.
    ['start-first', { replicas: 4, Parallelism: 1 }],
    ['stop-first', { replicas: 4, Parallelism: 1 }],
    ['stop-first', { replicas: 8, Parallelism: 2 }],
  ])(
    'an update (%s, %o) whose tasks are never healthy rolls back, and three quarters serve throughout',
    async (Order, { replicas, Parallelism }) => {
      const name = 'rolls'
      const good = specWith({ name, replicas }, { line: 'true' })
      const UpdateConfig = {
        Parallelism,
        Monitor: 5 * SECOND,
        FailureAction: 'rollback',
        MaxFailureRatio: 0.25,
        Order,
      }
      await cluster.call(first, 'POST', '/services/create', { ...good, UpdateConfig })
      const before = await cluster.untilRunning(first, name, replicas)
      const bad = specWith({ name, replicas }, { line: 'exit 1' })
      await cluster.updateService(first, name, (spec) => ({
        ...spec,
        TaskTemplate: bad['TaskTemplate'],
      }))
      const served: number[] = []
      const lost = new Set<string>()
      const strangers = new Set<string>()
      const message = await waitFor('the update to be rolled back', WAIT_MS, async () => {
        const service = asJson(await cluster.call(first, 'GET', `/services/${name}`))
        const running = (await cluster.listTasks(first, name)).filter(
          (task) => task.state === 'running' && task.desired === 'running',
        )
        const isOld = (id: string): boolean => before.some((task) => task.id === id)
        served.push(running.filter(({ id }) => isOld(id)).length)
        for (const { id } of before) if (!running.some((task) => task.id === id)) lost.add(id)
        for (const { id } of running) if (!isOld(id)) strangers.add(id)
        const status = asJson(service['UpdateStatus'])
        return status['State'] === 'rollback_completed' ? String(status['Message']) : undefined
      })

      expect(message).toBe('rollback completed')
      expect(Math.min(...served)).toBeGreaterThanOrEqual(0.75 * replicas)
      const after = await cluster.untilRunning(first, name, replicas)
      const kept = after.filter(({ id }) => before.some((task) => task.id === id))
      if (Order === 'start-first') expect([...strangers, ...lost]).toEqual([])
      expect(lost.size).toBeLessThanOrEqual(0.25 * replicas)
      expect(kept.length).toBe(replicas - lost.size)
      await remove(name)
    },
  )

  test('a daemon that is killed and started again leaves healthy tasks running', async () => {
    const spec = specWith({ name: 'stays', replicas: 2 }, { line: 'true', retries: 1 })
    await cluster.call(first, 'POST', '/services/create', spec)
    const before = await cluster.untilRunning(first, 'stays', 2)
    const worker = cluster.host(2)

    await cluster.end(worker, 'SIGKILL')
    await cluster.start(worker)
    await cluster.untilReady(first, 2)

    expect(await cluster.untilRunning(first, 'stays', 2)).toEqual(before)
    const { id: nodeId } = await cluster.nodeOf(first, worker)
    const own = before.find((task) => task.nodeId === nodeId)
    const path = `/tsswarm/v1/tasks/${own?.id}/health`
    const health = await cluster.call(worker, 'GET', path)
    expect(health).toMatchObject({ Status: 'healthy', FailingStreak: 0 })
    const tasks = asList(await cluster.call(first, 'GET', '/tasks'))
    expect(tasks.map((task) => asJson(task['Status'])['State'])).toEqual(['running', 'running'])
    await remove('stays')
  })
})

test('processes without containers have health checks too', async () => {
  const cluster = await openCluster(11, { hosts: 1, managers: 1, runtime: 'process' })
  const host = cluster.host(1)
  const service = { name: 'plain', env: ['OK=/tmp/tsswarm-health-e2e'] }
  try {
    writeFileSync('/tmp/tsswarm-health-e2e', '')
    const spec = specWith(service, { line: 'test -f $OK' })
    await cluster.call(host, 'POST', '/services/create', spec)
    const [task] = await cluster.untilRunning(host, 'plain', 1)
    rmSync('/tmp/tsswarm-health-e2e')
    const gone = await waitFor('the task to fail', WAIT_MS, async () => {
      const tasks = await cluster.listTasks(host, 'plain')
      return tasks.find(({ id, state }) => id === task?.id && state === 'failed')
    })

    expect(gone.error).toBe('dockerexec: unhealthy container')
  } finally {
    rmSync('/tmp/tsswarm-health-e2e', { force: true })
    cluster.close()
  }
})
