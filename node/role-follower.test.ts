/** What a node does next about its role: tables of facts and steps, and the turns that are lost on the way. */
import { expect, test } from 'vitest'
import { type RoleFacts, RoleFollower, type RoleStep } from './role-follower.ts'

const worker: RoleFacts = {
  claims: { role: 'worker' },
  raftId: 0,
  hasLog: false,
  isManager: false,
}
const manager: RoleFacts = {
  claims: { role: 'manager' },
  raftId: 7,
  hasLog: true,
  isManager: true,
}

/** A follower whose certificate lives from 0 to 1000, renewed at 500. */
function follower(): RoleFollower {
  const made = new RoleFollower()
  made.certified({ notBeforeMs: 0, notAfterMs: 1_000 }, 0)
  return made
}

test.each<[string, RoleFacts, RoleStep | undefined]>([
  ['a worker is as it should be', worker, undefined],
  ['a manager is as it should be', manager, undefined],
  ['a manager that does not run is started', { ...manager, isManager: false }, 'start'],
  [
    'a manager without a Raft id joins the group',
    { ...manager, raftId: 0, isManager: false },
    'join-and-start',
  ],
  [
    'a manager without its log joins the group anew',
    { ...manager, hasLog: false, isManager: false },
    'join-and-start',
  ],
  [
    'what a worker runs of a manager is stopped first',
    { ...manager, claims: { role: 'worker' } },
    'stop',
  ],
  [
    'what a worker has of a member is forgotten, wherever the process died',
    { ...manager, claims: { role: 'worker' }, isManager: false },
    'forget-member',
  ],
  ['a manager whose group was replaced stops', { ...manager, isShutOut: true }, 'stop'],
  [
    'a manager whose group was replaced is not started, and keeps its log',
    { ...manager, isManager: false, isShutOut: true },
    undefined,
  ],
  [
    'a manager whose group was replaced and that is to be a worker forgets its log',
    { ...manager, claims: { role: 'worker' }, isManager: false, isShutOut: true },
    'forget-member',
  ],
])('%s', (_, facts, step) => {
  expect(follower().next(facts, 0)).toBe(step)
})

test('next() renews a certificate for its age, and again only a while after it failed', () => {
  const made = follower()

  const steps = [499, 500].map((wallMs) => made.next(worker, wallMs))
  made.failed(500)
  const later = [5_499, 5_500].map((wallMs) => made.next(worker, wallMs))

  expect(steps).toEqual([undefined, 'renew'])
  expect(later).toEqual([undefined, 'renew'])
})

test('next() renews when the cluster says another role, until a certificate was had', () => {
  const made = follower()

  made.told({ role: 'manager', renewCertificate: true })
  const before = made.next(worker, 0)
  made.failed(0)
  const again = made.next(worker, 0)
  made.renewed(0)

  expect([before, again]).toEqual(['renew', 'renew'])
  expect(made.next({ ...worker, claims: { role: 'manager' } }, 0)).toBe('join-and-start')
})

test('next() renews when the cluster believes that this node had its certificate, and it has not', () => {
  const made = follower()

  made.told({ role: 'manager', renewCertificate: false })

  expect(made.next(worker, 0)).toBe('renew')
})

test('a manager that knows no leader asks whether it is a member, now and then', () => {
  const made = follower()
  const at = (wallMs: number, isAlone: boolean): boolean =>
    made.isQuestionDue({ isManager: true, isAlone }, wallMs)

  const asked = [at(0, true), at(9_999, true), at(10_000, true), at(10_001, true)]
  const again = [at(15_000, false), at(20_000, true), at(29_999, true), at(30_000, true)]

  expect(asked).toEqual([false, false, true, false])
  expect(again).toEqual([false, false, false, true])
})

test('a removed member that is to be a manager again forgets what it was and joins anew', () => {
  const made = follower()

  made.removed()
  const steps = [
    made.next(manager, 0),
    made.next({ ...manager, isManager: false }, 0),
    made.next({ ...manager, isManager: false, raftId: 0, hasLog: false }, 0),
    made.next({ ...manager, raftId: 8 }, 0),
  ]

  expect(steps).toEqual(['stop', 'forget-member', 'join-and-start', undefined])
})

test('renewed() keeps what was said during the renewal', () => {
  const made = follower()

  made.told({ role: 'manager', renewCertificate: true })
  made.next(worker, 0)
  made.told({ role: 'worker', renewCertificate: true })
  made.renewed(0)

  expect(made.next({ ...worker, claims: { role: 'manager' } }, 0)).toBe('renew')
})

test('next() asks for no certificate again where the new one is old by this clock, but after a while', () => {
  const made = follower()

  made.renewed(600)
  const steps = [600, 600_599, 600_600].map((wallMs) => made.next(worker, wallMs))

  expect(steps).toEqual([undefined, undefined, 'renew'])
})

test('next() waits no longer after a failure where the clock was set back meanwhile', () => {
  const [failed, renewed] = [follower(), follower()]

  failed.failed(9_000_000)
  renewed.renewed(9_000_000)

  expect(failed.next(worker, 500)).toBe('renew')
  expect(renewed.next(worker, 500)).toBe('renew')
})

test('a manager that knows no leader asks soon where its clock was set back meanwhile', () => {
  const made = follower()
  const at = (wallMs: number): boolean =>
    made.isQuestionDue({ isManager: true, isAlone: true }, wallMs)

  expect([at(9_000_000), at(500), at(501), at(10_500)]).toEqual([false, true, false, true])
})

test('a manager whose question is refused renews its certificate, and follows the role that it gets', () => {
  const made = follower()

  made.refused('unavailable')
  const unheard = made.next(manager, 0)
  made.refused('permission-denied')
  const asked = made.next(manager, 0)
  made.renewed(0)
  const demoted = made.next({ ...manager, claims: { role: 'worker' } }, 0)
  const kept = made.next(manager, 0)

  expect([unheard, asked, demoted, kept]).toEqual([undefined, 'renew', 'stop', undefined])
})
