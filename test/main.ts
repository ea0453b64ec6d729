/**
 * `npm test`: every test there is, and the count of them. First what needs no privilege (`unit`, with
 * conformance, stories and the house rules), then 30 seeds of the simulator, then `e2e` over network
 * namespaces and containerd, for which it installs what is missing on Debian. Where e2e cannot run
 * a line says why. Each part is counted from its own report; the last line is `N passed, N failed`,
 * and a run without tests is a failure. `npm test -- PATTERN…` is vitest alone.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const REPORTS = join(ROOT, '.cache', 'test')
const VITEST = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs')
const SEEDS = 30

/** What e2e runs, and the Debian package that has it. */
const E2E_COMMANDS = [
  'containerd:containerd',
  'ctr:containerd',
  'runc:runc',
  'nft:nftables',
  'ip:iproute2',
  'conntrack:conntrack',
  'nsenter:util-linux',
  'busybox:busybox-static',
  'docker-registry:docker-registry',
  'dockerd:docker.io',
  'docker:docker.io',
  'iptables:iptables',
  'chrt:util-linux',
]
/** Of `deploy/packages.sh`: commands are missing, and no apt-get to install them. */
const NO_APT_STATUS = 2

type Count = { readonly name: string; readonly passed: number; readonly failed: number }

function main(patterns: readonly string[]): number {
  if (patterns.length > 0) return statusOf(run(process.execPath, [VITEST, 'run', ...patterns]))
  mkdirSync(REPORTS, { recursive: true })
  const counts = [runProject('unit'), runSimulator(), ...runE2e()]
  const passed = sum(counts.map((count) => count.passed))
  const failed = sum(counts.map((count) => count.failed))
  for (const count of counts) say(`${count.name}: ${count.passed} passed, ${count.failed} failed`)
  writeFileSync(join(REPORTS, 'counts.json'), `${JSON.stringify({ passed, failed, counts })}\n`)
  say(`${passed} passed, ${failed} failed`)
  return failed === 0 && passed > 0 ? 0 : 1
}

/** The tests of a vitest project; a file that could not be loaded is one that failed. */
function runProject(name: string): Count {
  const path = join(REPORTS, `${name}.json`)
  rmSync(path, { force: true })
  const status = statusOf(
    run(process.execPath, [
      ...[VITEST, 'run', '--project', name],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${path}`],
    ]),
  )
  const report: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
  const passed = numberAt(report, 'numPassedTests')
  const failed = numberAt(report, 'numFailedTests')
  const isWhole = status === 0 && passed > 0
  return { name, passed, failed: isWhole ? failed : Math.max(1, failed) }
}

function runSimulator(): Count {
  const main = join(ROOT, 'test', 'sim', 'main.ts')
  const result = spawnSync(process.execPath, [main, '--seeds', String(SEEDS)], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  process.stdout.write(result.stdout)
  const [, passed = '0', failed = '0'] =
    /^(\d+) passed, (\d+) failed\n*$/m.exec(result.stdout.slice(-200)) ?? []
  const isWhole = result.status === 0 && Number(passed) === SEEDS
  return {
    name: 'sim',
    passed: Number(passed),
    failed: isWhole ? Number(failed) : Math.max(1, Number(failed)),
  }
}

function runE2e(): readonly Count[] {
  const why = findObstacle()
  if (why !== undefined) {
    say(`e2e is not selected: ${why}`)
    return []
  }
  const packages = join(ROOT, 'deploy', 'packages.sh')
  const status = statusOf(run(packages, E2E_COMMANDS))
  if (status === NO_APT_STATUS) {
    say('e2e is not selected: commands that it needs are missing (see above)')
    return []
  }
  return [status === 0 ? runProject('e2e') : { name: 'e2e', passed: 0, failed: 1 }]
}

/** Why this user on this machine cannot make hosts out of namespaces. */
function findObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'it makes hosts out of namespaces of Linux'
  if (process.getuid?.() !== 0)
    return 'it makes network namespaces and containers, so it needs root'
  const isAllowed = spawnSync('unshare', ['--net', '--mount', 'true']).status === 0
  return isAllowed ? undefined : 'this root may not make namespaces (in a container: --privileged)'
}

function run(command: string, args: readonly string[]): ReturnType<typeof spawnSync> {
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
}

function statusOf(result: ReturnType<typeof spawnSync>): number {
  return result.status ?? 1
}

function numberAt(report: unknown, key: string): number {
  const value: unknown =
    typeof report === 'object' && report !== null ? Reflect.get(report, key) : undefined
  return typeof value === 'number' ? value : 0
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

process.exitCode = main(process.argv.slice(2))
