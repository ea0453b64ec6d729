/**
 * Credentials of a registry, as `docker login` left them: config.json of DOCKER_CONFIG or ~/.docker,
 * with credential helpers. They go to the daemon in the header X-Registry-Auth (swarm-mode.md 6.3),
 * with `--with-registry-auth` alone.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseReference } from '../../lib/image-reference.ts'
import { at, type Json, type JsonObject, parseJson, textAt } from '../json.ts'
import { usageError } from '../usage-error.ts'

const DOCKER_HUB = 'docker.io'
/** Under which `docker login` keeps the credentials of Docker Hub. */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/'

/** The header for the image's registry, empty where nothing is known of it. */
export function findRegistryAuth(
  image: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const { registry } = parseReference(image)
  const server = registry === DOCKER_HUB ? DOCKER_HUB_KEY : registry
  const folder = env['DOCKER_CONFIG'] ?? `${env['HOME'] ?? ''}/.docker`
  const found = findCredentials(readConfig(`${folder}/config.json`), server)
  if (found === undefined) return ''
  const json = JSON.stringify({ ...found, serveraddress: server })
  return Buffer.from(json).toString('base64url')
}

function readConfig(path: string): Json {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // Nobody has logged in.
    return undefined
  }
  const config = parseJson(text)
  if (config === undefined) throw usageError(`${path} is not JSON`)
  return config
}

function findCredentials(config: Json, server: string): JsonObject | undefined {
  const helper = textAt(config, 'credHelpers', server) || textAt(config, 'credsStore')
  if (helper !== '') return askHelper(helper, server)
  const entry = at(config, 'auths', server) ?? at(config, 'auths', `https://${server}`)
  if (entry === undefined) return undefined
  const identitytoken = textAt(entry, 'identitytoken')
  const [username = '', ...rest] = Buffer.from(textAt(entry, 'auth'), 'base64')
    .toString()
    .split(':')
  return { username, password: rest.join(':'), ...(identitytoken === '' ? {} : { identitytoken }) }
}

/** The protocol of docker-credential-helpers: the server on stdin, JSON on stdout. */
function askHelper(helper: string, server: string): JsonObject | undefined {
  const program = `docker-credential-${helper}`
  const { status, stdout, error } = spawnSync(program, ['get'], { input: server, encoding: 'utf8' })
  if (error !== undefined) throw usageError(`${program} cannot be run: ${error.message}`)
  if (status !== 0) return undefined
  const reply = parseJson(stdout)
  const username = textAt(reply, 'Username')
  const secret = textAt(reply, 'Secret')
  return username === '<token>' ? { identitytoken: secret } : { username, password: secret }
}
