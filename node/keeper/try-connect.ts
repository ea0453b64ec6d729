/**
 * One attempt to reach a unix socket, whose failure is an answer: nobody listens there.
 */
import { connect, type Socket } from 'node:net'

/** The connection, or undefined where nobody listens at `path`. */
export function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined))
  })
}
