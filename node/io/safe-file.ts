/**
 * Whole files that must be there after a power cut: written beside, synced, renamed over, and the
 * directory synced. Mode 0600.
 */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Afterwards the file holds exactly `content`, durably; before, what it held. */
export function writeFileSafely(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.tmp`
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  withFile(temporary, 'w', (file) => {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
    fsyncSync(file)
  })
  renameSync(temporary, path)
  withFile(dirname(path), 'r', fsyncSync)
}

/** The file is gone, durably; nothing happens where it was not there. */
export function removeFileSafely(path: string): void {
  if (!existsSync(path)) return
  rmSync(path)
  withFile(dirname(path), 'r', fsyncSync)
}

function withFile(path: string, flags: string, work: (file: number) => void): void {
  const file = openSync(path, flags, 0o600)
  try {
    work(file)
  } finally {
    closeSync(file)
  }
}
