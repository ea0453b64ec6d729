/**
 * The load generator, a process of its own: N clients, each with its connection and one request on
 * its way at any time, write 1 KB values until the time is over. The order comes as JSON in its
 * first argument, the figures go as JSON to its output. Values are removed afterwards, not counted.
 */
import type { NetConnectOpts } from 'node:net'
import { HttpClient } from './http-client.ts'

export type LoadOrder = {
  readonly kind: 'tsswarm' | 'etcd'
  /** A socket's path, or a port on loopback. */
  readonly target: string | number
  readonly clients: number
  readonly seconds: number
  /** Begins the name of every value, so that no two runs meet. */
  readonly prefix: string
}

export type LoadResult = {
  readonly writes: number
  readonly failures: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of this process while it measured, of one core. */
  readonly cpuShare: number
}

const VALUE = Buffer.alloc(1024, 'tsswarm ').toString('base64')
/** Not counted: connections are made and caches are warm after it. */
const WARM_UP_MS = 500
const REMOVERS_MAX = 64

const order: LoadOrder = JSON.parse(process.argv[2] ?? '')
const target: NetConnectOpts =
  typeof order.target === 'number'
    ? { host: '127.0.0.1', port: order.target }
    : { path: order.target }

const startMs = performance.now() + WARM_UP_MS
const endMs = startMs + order.seconds * 1_000
const latencies: number[] = []
const created: string[] = []
let failures = 0

async function write(client: HttpClient, name: string): Promise<boolean> {
  if (order.kind === 'etcd') {
    const key = Buffer.from(name).toString('base64')
    const body = `{"key":"${key}","value":"${VALUE}"}`
    return (await client.send('POST', '/v3/kv/put', body)).status === 200
  }
  const body = `{"Name":"${name}","Labels":{},"Data":"${VALUE}"}`
  const reply = await client.send('POST', '/configs/create', body)
  const id = /"ID":"(\w+)"/i.exec(reply.body)?.[1]
  if (reply.status === 201 && id !== undefined) created.push(id)
  return reply.status === 201
}

async function runClient(number: number): Promise<void> {
  const client = new HttpClient(target)
  for (let count = 0; ; count++) {
    const from = performance.now()
    if (from >= endMs) break
    const isWritten = await write(client, `${order.prefix}-${number}-${count}`)
    const to = performance.now()
    if (from < startMs || to > endMs) continue
    if (isWritten) latencies.push(to - from)
    else failures++
  }
  client.close()
}

async function remove(): Promise<void> {
  const client = new HttpClient(target)
  if (order.kind === 'etcd') {
    const key = (text: string): string => Buffer.from(text).toString('base64')
    const range = `{"key":"${key(`${order.prefix}-`)}","range_end":"${key(`${order.prefix}.`)}"}`
    await client.send('POST', '/v3/kv/deleterange', range)
  } else {
    for (let id = created.pop(); id !== undefined; id = created.pop())
      await client.send('DELETE', `/configs/${id}`, '')
  }
  client.close()
}

let cpu = process.cpuUsage()
setTimeout(() => {
  cpu = process.cpuUsage()
}, WARM_UP_MS)
await Promise.all(Array.from({ length: order.clients }, (_, number) => runClient(number)))
const used = process.cpuUsage(cpu)
const removers = order.kind === 'etcd' ? 1 : REMOVERS_MAX
await Promise.all(Array.from({ length: removers }, remove))

latencies.sort((a, b) => a - b)
const quantile = (share: number): number =>
  latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN
const result: LoadResult = {
  writes: latencies.length,
  failures,
  seconds: order.seconds,
  p50Ms: quantile(0.5),
  p99Ms: quantile(0.99),
  cpuShare: (used.user + used.system) / 1e6 / order.seconds,
}
process.stdout.write(`${JSON.stringify(result)}\n`)
