/** Stories of an agent's connection: whom it dials and when, what it says, when it leaves. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { type Log, silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import { emptyHello, type SessionMessage } from '../proto/gen/dispatcher.ts'
import { Managers } from './managers.ts'
import { Session, type SessionEffect } from './session.ts'

const LOST = new SwarmError('unavailable', 'connection lost')

/** A session whose effects are kept in short form. */
class Line {
  readonly session: Session
  nowMs = 0

  constructor(addrs: readonly string[] = ['a', 'b'], log: Log = silentLog) {
    const managers = new Managers()
    managers.replace(addrs.map((addr) => ({ nodeId: addr, addr })))
    const random = newSeededRandom(3)
    this.session = new Session({ managers, random, log, nowMs: 0 })
  }

  /** Time goes by in steps of 50 ms; what was done, with the time. */
  wait(durationMs: number): readonly string[] {
    const done: string[] = []
    for (let waited = 0; waited < durationMs; waited += 50) {
      this.nowMs += 50
      this.session.tick(this.nowMs, true)
      done.push(...this.take().map((effect) => `${this.nowMs} ${effect}`))
    }
    return done
  }

  take(): readonly string[] {
    return this.session.takeEffects().map(short)
  }

  receive(session: number, body: SessionMessage['body']): SessionMessage['body'] {
    return this.session.received(session, { body })
  }

  /** The session with this number is accepted. */
  run(session = 1): void {
    this.wait(50)
    this.session.connected(session, emptyHello)
    this.receive(session, { kind: 'start', start: { heartbeatPeriodMs: 2_000 } })
    this.take()
  }

  answer(session: number, sequence: number): void {
    this.receive(session, {
      kind: 'heartbeatAck',
      heartbeatAck: { sequence, mark: undefined, ready: true },
    })
  }
}

function short(effect: SessionEffect): string {
  if (effect.kind === 'dial') return `dial ${effect.session}`
  if (effect.kind === 'hangup') return `hangup ${effect.session}`
  const { body } = effect.message
  return body?.kind === 'heartbeat' ? `beat ${body.heartbeat.sequence}` : `${body?.kind}`
}

test('a session is dialed at once; it says hello and beats from then on', () => {
  const line = new Line()

  const dialed = line.wait(50)
  const isOurs = line.session.connected(1, emptyHello)
  const greeted = line.take()
  const before = line.session.kind
  line.receive(1, { kind: 'start', start: { heartbeatPeriodMs: 3_000 } })

  expect([dialed, isOurs, greeted]).toEqual([['50 dial 1'], true, ['hello', 'beat 1']])
  expect([before, line.session.kind, line.session.starts]).toEqual(['hello', 'running', 1])
  expect(line.session.periodMs).toBe(3_000)
})

test('nothing is dialed while no session is wanted, or no manager known', () => {
  const line = new Line()
  const lonely = new Line([])

  line.session.tick(1_000, false)

  expect([line.take(), lonely.wait(1_000)]).toEqual([[], []])
})

test('heartbeats come once a period, up to a tenth early', () => {
  const line = new Line()
  line.run()

  const beats: string[] = []
  for (let sequence = 2; sequence < 12; sequence++) {
    beats.push(...line.wait(2_000))
    line.answer(1, sequence)
  }

  const times = beats.map((beat) => Number.parseInt(beat, 10))
  const gaps = times.slice(1).map((time, at) => time - (times[at] ?? 0))
  expect(beats.every((beat) => beat.includes('beat'))).toBe(true)
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1_750)
  expect(Math.max(...gaps)).toBeLessThanOrEqual(2_050)
})

test('a manager that does not answer for two periods is left for another one', () => {
  const line = new Line()
  line.run()
  const { manager } = line.session
  line.answer(1, 1)

  const left = line.wait(4_000)
  const dialed = line.wait(200)

  expect(left.filter((done) => done.includes('hangup'))).toEqual(['4050 hangup 1'])
  expect(dialed.filter((done) => done.includes('dial'))).toHaveLength(1)
  expect(line.session.manager).not.toEqual(manager)
})

test('answers that come twice, or to what was never sent, are no sign of life', () => {
  const line = new Line()
  line.run()
  line.answer(1, 1)

  for (let waited = 0; waited < 5_000; waited += 500) {
    line.wait(500)
    line.answer(1, 1)
    line.answer(1, 99)
  }

  expect(line.session.manager?.addr === undefined || line.session.kind !== 'running').toBe(true)
})

test('rounds over all managers that fail wait longer and longer, up to five seconds', () => {
  const line = new Line()
  const times: number[] = []
  for (let attempt = 1; attempt <= 21; attempt++) {
    while (line.session.kind !== 'dialing') {
      line.nowMs += 10
      line.session.tick(line.nowMs, true)
    }
    times.push(line.nowMs)
    line.session.disconnected(attempt, LOST)
  }

  const waits = times.slice(1).map((time, at) => time - (times[at] ?? 0))
  // Two managers: every second attempt is the last of its round.
  const [within, between] = [0, 1].map((rest) => waits.filter((_, at) => at % 2 === rest))
  expect(Math.max(...(within ?? []))).toBeLessThanOrEqual(110)
  expect(between?.[0]).toBeLessThanOrEqual(110)
  expect(between?.[3]).toBeGreaterThan(390)
  expect(Math.max(...(between ?? []))).toBeLessThanOrEqual(5_010)
  expect(Math.min(...(between ?? []).slice(7))).toBeGreaterThan(2_490)
})

test('after a good session the first attempt comes soon', () => {
  const line = new Line()
  const untilDialing = (): void => {
    while (line.session.kind !== 'dialing') line.wait(50)
  }
  for (let attempt = 1; attempt <= 8; attempt++) {
    untilDialing()
    line.session.disconnected(attempt, LOST)
  }
  untilDialing()
  line.session.connected(9, emptyHello)
  line.receive(9, { kind: 'start', start: { heartbeatPeriodMs: 2_000 } })
  for (let sequence = 1; sequence < 7; sequence++) {
    line.wait(2_000)
    line.answer(9, sequence)
  }

  line.session.disconnected(9, LOST)
  const dialed = line.wait(150)

  expect(dialed.map((done) => done.replace(/\d+ /, ''))).toEqual(['dial 10'])
})

test('a dial that is not answered in time is given up', () => {
  const line = new Line()
  line.wait(50)

  expect(line.wait(3_000)).toEqual(['3050 hangup 1'])
})

test('a hello that is never accepted is given up although heartbeats are answered', () => {
  const line = new Line()
  line.wait(50)
  line.session.connected(1, emptyHello)
  line.take()

  const done: string[] = []
  for (let sequence = 1; sequence <= 16; sequence++) {
    line.answer(1, sequence)
    done.push(...line.wait(2_000))
  }

  expect(done.filter((one) => one.includes('hangup'))[0]).toBe('30050 hangup 1')
})

test('what a session says before its start was heard, opens a new one', () => {
  const line = new Line()
  line.wait(50)
  line.session.connected(1, emptyHello)
  line.take()

  const mark = { epoch: 0, index: 3 }
  const body = line.receive(1, {
    kind: 'heartbeatAck',
    heartbeatAck: { sequence: 1, mark, ready: true },
  })

  expect([body, line.take(), line.session.kind]).toEqual([undefined, ['hangup 1'], 'idle'])
})

test('messages and ends of older streams are dropped', () => {
  const line = new Line()
  line.run()
  line.session.reopen('a test', 'good')
  line.wait(200)
  line.session.connected(2, emptyHello)
  line.receive(2, { kind: 'start', start: { heartbeatPeriodMs: 2_000 } })

  const old = line.receive(1, { kind: 'statusAck', statusAck: { sequence: 1 } })
  const own = line.receive(2, { kind: 'statusAck', statusAck: { sequence: 1 } })
  line.session.disconnected(1, LOST)
  const late = line.session.connected(1, emptyHello)

  expect([old, own?.kind, late, line.session.kind]).toEqual([
    undefined,
    'statusAck',
    false,
    'running',
  ])
})

test('close() says goodbye and waits for the manager to end it, but not for ever', () => {
  const answered = new Line()
  answered.run()
  answered.session.close(60_000)
  const said = answered.take()
  answered.session.disconnected(1, undefined)
  const patient = new Line()
  patient.run()
  patient.session.close(60_000)
  patient.take()

  expect([said, answered.session.kind]).toEqual([['goodbye'], 'closed'])
  expect(patient.wait(2_000)).toEqual(['2050 hangup 1'])
  expect(patient.session.kind).toBe('closed')
})

test('close() ends at once where nobody was told hello', () => {
  const idle = new Line([])
  const dialing = new Line()
  dialing.wait(50)

  idle.session.close(1)
  dialing.session.close(1)

  expect([idle.session.kind, dialing.session.kind]).toEqual(['closed', 'closed'])
  expect(dialing.take()).toEqual(['hangup 1'])
})

test('managers that are named before the session starts are passed on; anything else is a gap', () => {
  const line = new Line()
  line.wait(50)
  line.session.connected(1, emptyHello)
  const named = { kind: 'managers', managers: { managers: [{ nodeId: 'c', addr: 'c' }] } } as const

  const passed = line.receive(1, named)
  const kind = line.session.kind
  line.receive(1, { kind: 'statusAck', statusAck: { sequence: 1 } })

  expect([passed, kind, line.session.kind]).toEqual([named, 'hello', 'idle'])
})

test('a node that finds no manager says so after five minutes, whom it tried, and the way out', () => {
  const said: unknown[] = []
  const log: Log = { ...silentLog, error: (facts, message) => said.push([message, facts]) }
  const line = new Line(['a', 'b'], log)
  for (let session = 1; line.nowMs < 299_000; ) {
    line.wait(50)
    if (line.session.kind === 'dialing') line.session.disconnected(session++, LOST)
  }
  const before = said.length

  line.wait(60_000)
  line.wait(60_000)

  expect([before, said.length]).toEqual([0, 1])
  expect(said[0]).toMatchObject([
    'no manager found',
    { managers: 'a, b', remedy: expect.stringContaining('tsswarm leave --force') },
  ])
})
