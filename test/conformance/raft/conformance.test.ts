/**
 * The data files of etcd-io/raft, exactly, and the harness that runs them: it must find a wrong
 * expectation, and say where a file is malformed. The files stand beside the project, not in it;
 * where they are absent one test says so, and in CI that test fails.
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseDataFile } from './datadriven.ts'
import { diffLines } from './diff.ts'
import { runFile } from './run-file.ts'

const FILES = join(import.meta.dirname, '../../../../shared/peers/etcd-raft')
const KINDS = ['interaction', 'quorum', 'confchange']
const COUNT = 29

function listFiles(): readonly string[] {
  return KINDS.flatMap((kind) => {
    const folder = join(FILES, kind)
    if (!existsSync(folder)) return []
    return readdirSync(folder).map((name) => join(folder, name))
  })
}

describe('data files of etcd-io/raft', () => {
  const files = listFiles()

  test(`${files.length === 0 ? `absent, looked for in ${FILES}` : 'are there'}`, () => {
    if (process.env['CI'] !== undefined || files.length > 0) expect(files).toHaveLength(COUNT)
  })

  test.each(files.map((path) => ({ path, name: path.slice(FILES.length + 1) })))(
    '$name passes exactly, and without log lines',
    ({ path }) => {
      const text = readFileSync(path, 'utf8')
      expect(runFile(path, text, { behaviour: false }).report).toBe('')
      expect(runFile(path, text, { behaviour: true }).report).toBe('')
    },
  )
})

const SINGLE = `
# A comment.
add-nodes 1 voters=(1) index=3
----
INFO 1 switched to configuration voters=(1)
INFO 1 became follower at term 0
INFO newRaft 1 [peers: [1], term: 0, commit: 3, applied: 3, lastindex: 3, lastterm: 1]

campaign 1
----
INFO 1 is starting a new election at term 0
INFO 1 became candidate at term 1

raft-state
----
1: StateCandidate (Voter) Term:1 Lead:0
`

function run(text: string, kind = 'interaction', behaviour = false) {
  return runFile(`${kind}/x.txt`, text, { behaviour })
}

describe('harness', () => {
  test('passes what is right', () => {
    expect(run(SINGLE)).toEqual({ isPassed: true, report: '' })
  })

  test('fails on a wrong expectation, with line and difference', () => {
    const { isPassed, report } = run(SINGLE.replace('StateCandidate', 'StateLeader'))
    expect(isPassed).toBe(false)
    expect(report).toBe(
      [
        'interaction/x.txt:14: raft-state',
        ' - 1: StateLeader (Voter) Term:1 Lead:0',
        ' + 1: StateCandidate (Voter) Term:1 Lead:0',
        '',
      ].join('\n'),
    )
  })

  test('heeds log lines, but not with --behaviour', () => {
    const wrong = SINGLE.replace('INFO 1 became candidate at term 1\n', '')
    const none = SINGLE.replaceAll(/INFO .*\n/g, '').replaceAll('----\n\n', '----\nok\n\n')
    expect(run(wrong).isPassed).toBe(false)
    expect(run(wrong, 'interaction', true).isPassed).toBe(true)
    expect(run(none, 'interaction', true).isPassed).toBe(true)
    expect(run(SINGLE.replace('Term:1', 'Term:2'), 'interaction', true).isPassed).toBe(false)
  })

  test.each([
    { name: 'no output', text: 'campaign 1\n', line: 1, message: 'no line ----' },
    {
      name: 'an unknown command',
      text: '\nfly 1\n----\nok\n',
      line: 2,
      message: 'unknown command "fly"',
    },
    {
      name: 'an unknown option',
      text: 'add-nodes 1 wings=2\n----\nok\n',
      line: 1,
      message: 'unknown option "wings"',
    },
    {
      name: 'no such node',
      text: 'campaign 1\n----\nok\n',
      line: 1,
      message: 'there is no node 1',
    },
    {
      name: 'an open parenthesis',
      text: '# x\n\nadd-nodes 1 voters=(1\n----\nok\n',
      line: 3,
      message: 'cannot read the command',
    },
    {
      name: 'doubled lines without end',
      text: 'raft-state\n----\n----\nx\n\ny\n',
      line: 1,
      message: 'does not end',
    },
  ])('a file with $name is malformed at its line', ({ text, line, message }) => {
    const { isPassed, report } = run(text)
    expect(isPassed).toBe(false)
    expect(report).toContain(`interaction/x.txt:${line}: `)
    expect(report).toContain(message)
  })

  test('unknown commands and folders fail in every kind', () => {
    expect(run('fly\n----\n', 'quorum').report).toContain('x.txt:1: unknown command "fly"')
    expect(run('fly\n----\n', 'confchange').report).toContain('x.txt:1: unknown command "fly"')
    expect(run(SINGLE, 'elsewhere').report).toContain('none of interaction, quorum, confchange')
  })

  test('a core that stops is a failure at the command that stopped it', () => {
    const text = 'add-nodes 1 inflight=0\n----\nok\n'
    expect(run(text).report).toContain('interaction/x.txt:1: assertion failed')
  })

  test('quorum and confchange files are compared too', () => {
    expect(run('vote cfg=(1,2) votes=(y,y)\n----\nVoteWon\n', 'quorum').isPassed).toBe(true)
    expect(run('vote cfg=(1,2) votes=(y,n)\n----\nVoteWon\n', 'quorum').isPassed).toBe(false)
    expect(run('simple\nr1\n----\nremoved all voters\n', 'confchange').isPassed).toBe(true)
    expect(run('simple\nv1\n----\nvoters=(2)\n', 'confchange').isPassed).toBe(false)
  })

  test('doubled ---- lines enclose output with blank lines', () => {
    const [first, second] = parseDataFile(
      'a x=(1, 2) y=\nin\n----\n----\n1\n\n2\n----\n----\n\nb\n----\n',
    )
    expect(first).toMatchObject({
      command: 'a',
      arguments: [
        { key: 'x', values: ['1', '2'] },
        { key: 'y', values: [] },
      ],
      input: 'in',
      expected: '1\n\n2\n',
    })
    expect(second).toMatchObject({ command: 'b', line: 11, expected: '' })
  })

  test('differences keep what is common', () => {
    expect(diffLines('a\nb\nc\n', 'a\nc\nd\n')).toBe('   a\n - b\n   c\n + d\n')
  })
})

describe('the command', () => {
  const right = 'vote cfg=(1) votes=(y)\n----\nVoteWon\n'
  const wrong = 'vote cfg=(1) votes=(n)\n----\nVoteWon\n'

  /** Runs it over quorum files with these texts; what it writes and its exit code. */
  function command(...texts: readonly string[]) {
    const folder = join(mkdtempSync(join(tmpdir(), 'conformance-')), 'quorum')
    mkdirSync(folder)
    const paths = texts.map((text, i) => {
      const path = join(folder, `${i}.txt`)
      writeFileSync(path, text)
      return path
    })
    const args = [join(import.meta.dirname, 'main.ts'), ...paths]
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    rmSync(join(folder, '..'), { recursive: true })
    return { last: stdout.trimEnd().split('\n').at(-1), stdout, status }
  }

  test('counts files and ends with 0 or 1', () => {
    expect(command(right, right)).toMatchObject({ last: '2 passed, 0 failed', status: 0 })
    const failed = command(right, wrong, 'broken\n')
    expect(failed).toMatchObject({ last: '1 passed, 2 failed', status: 1 })
    expect(failed.stdout).toContain('1.txt:1: vote')
    expect(failed.stdout).toContain('2.txt:1: ')
  })

  test('without files says how it is used', () => {
    expect(command()).toMatchObject({ stdout: '', status: 2 })
  })
})
