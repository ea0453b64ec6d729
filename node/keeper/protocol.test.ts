/**
 * Frames, requests and errors between daemon and keeper.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { Fields } from './fields.ts'
import {
  decodeError,
  decodeRequest,
  encodeError,
  encodeFrame,
  FRAME_BYTES_MAX,
  FrameReader,
  type KeeperRequest,
} from './protocol.ts'

test('frames come out whole and in order however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 40 }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 30 }),
      (texts, step) => {
        const bytes = Buffer.concat(texts.map((text) => encodeFrame({ text })))
        const reader = new FrameReader()

        const read: string[] = []
        for (let at = 0; at < bytes.length; at += step)
          for (const fields of reader.push(bytes.subarray(at, at + step)))
            read.push(fields.text('text'))

        expect(read).toEqual(texts)
      },
    ),
  )
})

test('a frame that is too long or no JSON object is refused', () => {
  const long = Buffer.alloc(4)
  long.writeUInt32BE(FRAME_BYTES_MAX + 1)
  const nonsense = Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from('[]')])

  expect(() => new FrameReader().push(long)).toThrow(/too long/)
  expect(() => new FrameReader().push(nonsense)).toThrow(/no JSON object/)
})

test.each<KeeperRequest>([
  { kind: 'hello', protocol: 1 },
  { kind: 'probe' },
  { kind: 'containerd' },
  { kind: 'run', key: 'k', argv: ['ip', 'link'], input: '', timeoutMs: 5 },
  { kind: 'sysctl', path: 'net/ipv4/ip_forward', value: '1' },
  { kind: 'open-logs', taskId: 'abc' },
  { kind: 'close-logs', taskId: 'abc' },
  {
    kind: 'open-ports',
    taskId: 'abc',
    address: '172.28.0.2',
    ports: [{ protocol: 'udp', publishedPort: 53, targetPort: 5353 }],
  },
  { kind: 'close-ports', taskId: 'abc' },
  { kind: 'list-ports' },
  { kind: 'start-process', taskId: 'a', argv: ['x'], env: ['A=1'], directory: '/', label: '' },
  { kind: 'signal-process', taskId: 'abc', signal: 15 },
  { kind: 'remove-process', taskId: 'abc' },
  { kind: 'list-processes' },
  { kind: 'end', forget: true },
])('request $kind is read as it was written', (request) => {
  expect(decodeRequest(new Fields(JSON.parse(JSON.stringify(request))))).toEqual(request)
})

test.each([
  [{ kind: 'no-such' }, /knows no request "no-such"/],
  [{ kind: 'open-logs', taskId: '../x' }, /"\.\.\/x" is no task id/],
  [{ kind: 'open-logs' }, /field "taskId" must be a text/],
  [{ kind: 'hello', protocol: 1.5 }, /field "protocol" must be a whole number/],
  [{ kind: 'end', forget: 'yes' }, /field "forget" must be true or false/],
  [
    { kind: 'open-ports', taskId: 'a', address: '', ports: [{ protocol: 'sctp' }] },
    /field "protocol" must be one of tcp, udp/,
  ],
])('request %j is refused by name', (request, message) => {
  expect(() => decodeRequest(new Fields(request))).toThrow(message)
})

test('an error keeps its code, message and whether it may be tried again', () => {
  const error = new SwarmError('already-exists', 'port 80/tcp is in use', { retriable: true })

  const decoded = decodeError(new Fields(encodeError(error)))

  expect(decoded).toMatchObject({
    code: 'already-exists',
    message: 'port 80/tcp is in use',
    retriable: true,
  })
  expect(decodeError(new Fields(encodeError(new Error('bug')))).code).toBe('internal')
})
