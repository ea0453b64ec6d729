/**
 * The Signer, loaded when it is first used: the library behind it is needed at init, join, renewal
 * and by a manager that signs, but would cost every idle node its memory.
 */
import type { Signer } from '../../manager/ca/signer.ts'

export const lazySigner: Signer = {
  createRoot: async (nowMs) => (await load()).createRoot(nowMs),
  createRequest: async () => (await load()).createRequest(),
  sign: async (csrPem, claims, root) => (await load()).sign(csrPem, claims, root),
}

let loaded: Promise<Signer> | undefined

function load(): Promise<Signer> {
  loaded ??= import('./signer.ts').then((module) => module.newSigner())
  return loaded
}
