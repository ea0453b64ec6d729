/**
 * One daemon a state directory, held by a socket in it that answers while the process lives: a crash
 * leaves a file that nobody answers on, which the next daemon removes.
 */

import { rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'

/** Resolves when this process alone uses the directory; refuses while another does. */
export async function holdStateDirectory(directory: string): Promise<void> {
  const path = join(directory, 'daemon.lock')
  if (await isAnswered(path))
    throw new SwarmError('failed-precondition', `another daemon runs with --state-dir ${directory}`)
  rmSync(path, { force: true })
  const server = createServer((socket) => socket.end())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  server.unref()
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
