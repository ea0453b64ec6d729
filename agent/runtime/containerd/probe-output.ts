/**
 * The pipe that a health check writes both of its streams to. Its FIFO stands among the task's files
 * and is used by one check after another; it is open for reading and writing here, so that neither
 * end waits for the other, and what an earlier check left in it is thrown away.
 */
import { existsSync, constants as fileConstants, openSync, readSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { Socket } from 'node:net'
import { dirname } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import { LimitedOutput } from '../limited-output.ts'
import type { Host } from './host.ts'

const READ_BYTES = 65_536

export class ProbeOutput {
  readonly #file: number
  readonly #socket: Socket
  readonly #output = new LimitedOutput()

  /** Use `openProbeOutput`, which makes the FIFO. */
  constructor(path: string) {
    this.#file = openSync(path, fileConstants.O_RDWR | fileConstants.O_NONBLOCK)
    this.#drain(new LimitedOutput())
    this.#socket = new Socket({ fd: this.#file, readable: true, writable: false })
    this.#socket.on('data', (bytes) => this.#output.push(bytes))
    this.#socket.on('error', () => undefined)
  }

  /** All that was written before this call. */
  finish(): string {
    this.#drain(this.#output)
    return this.#output.text()
  }

  close(): void {
    this.#socket.destroy()
  }

  #drain(output: LimitedOutput): void {
    const buffer = new Uint8Array(READ_BYTES)
    try {
      for (let size = -1; size !== 0; ) {
        size = readSync(this.#file, buffer)
        output.push(buffer.subarray(0, size))
      }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
    }
  }
}

/** The FIFO at `path` exists and is read. */
export async function openProbeOutput(path: string, host: Host): Promise<ProbeOutput> {
  if (!existsSync(path)) {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    const { stderr } = await host.run(['mkfifo', '-m', '0600', path])
    if (!existsSync(path)) {
      throw new SwarmError('internal', `the pipe ${path} cannot be made: ${stderr}`)
    }
  }
  return new ProbeOutput(path)
}
