/**
 * Shared work: one run, everybody's result, cancelled when nobody is left.
 */
import { expect, test } from 'vitest'
import { Flights } from './flights.ts'

const never = new AbortController().signal

test('Flights runs the same work once and another key’s beside it', async () => {
  const flights = new Flights<string>()
  const gate = Promise.withResolvers<void>()
  const started: string[] = []
  const start = (name: string) => async (): Promise<string> => {
    started.push(name)
    await gate.promise
    return name
  }

  const results = [flights.join('a', never, start('one')), flights.join('a', never, start('two'))]
  results.push(flights.join('b', never, start('three')))
  gate.resolve()

  expect(await Promise.all(results)).toEqual(['one', 'one', 'three'])
  expect(started).toEqual(['one', 'three'])
  expect(await flights.join('a', never, start('again'))).toBe('again')
})

test('Flights cancels work only when the last one has left', async () => {
  const flights = new Flights<string>()
  const [first, second] = [new AbortController(), new AbortController()]
  const seen = Promise.withResolvers<AbortSignal>()
  const work = Promise.withResolvers<string>()
  const start = (signal: AbortSignal): Promise<string> => {
    seen.resolve(signal)
    return work.promise
  }
  const results = [flights.join('a', first.signal, start), flights.join('a', second.signal, start)]
  const settled = Promise.allSettled(results)
  const signal = await seen.promise

  first.abort()
  await expect(results[0]).rejects.toThrow('no longer wanted')
  expect(signal.aborted).toBe(false)

  second.abort()
  await settled
  expect(signal.aborted).toBe(true)
})

test('Flights begins anew after cancelled work has wound up', async () => {
  const flights = new Flights<string>()
  const leaving = new AbortController()
  const old = Promise.withResolvers<string>()
  const left = flights.join('a', leaving.signal, () => old.promise)
  left.catch(() => undefined)
  await Promise.resolve()
  leaving.abort()
  await expect(left).rejects.toThrow('no longer wanted')
  let begun = false

  const next = flights.join('a', never, async () => {
    begun = true
    return 'new'
  })
  await Promise.resolve()
  expect(begun).toBe(false)
  old.resolve('old')

  expect(await next).toBe('new')
})

test('Flights gives everybody the failure', async () => {
  const flights = new Flights<string>()
  const fail = async (): Promise<string> => {
    throw new Error('broken')
  }

  const results = await Promise.allSettled([
    flights.join('a', never, fail),
    flights.join('a', never, fail),
  ])

  expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
})
