/**
 * Who a container's first process is: `USER[:GROUP]`, by name or number, looked up in the image's own
 * /etc/passwd and /etc/group as Docker does it. The texts come from `rootfs.ts`, which reads them
 * without following the image's links on the host.
 */
import { SwarmError } from '../../../../lib/errors.ts'

export type ContainerUser = {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
}

export type UserFiles = {
  /** The text of /etc/passwd and /etc/group; empty where there is none. */
  readonly passwd: string
  readonly group: string
}

type Account = { readonly name: string; readonly uid: number; readonly gid: number }
type Group = { readonly name: string; readonly gid: number; readonly members: readonly string[] }

const ID_MAX = 2 ** 31 - 1

/** Empty is root. SwarmError 'invalid-argument' in Docker's words for a name that is not there. */
export function resolveUser(user: string, files: UserFiles): ContainerUser {
  const [userPart = '', groupPart = ''] = user.split(':', 2)
  const account = findAccount(userPart, parsePasswd(files.passwd))
  const groups = parseGroup(files.group)
  if (groupPart !== '') {
    return { uid: account.uid, gid: findGid(groupPart, groups), additionalGids: [] }
  }
  const additionalGids = groups
    .filter((group) => account.name !== '' && group.members.includes(account.name))
    .map((group) => group.gid)
  return { uid: account.uid, gid: account.gid, additionalGids: [...new Set(additionalGids)] }
}

/** Whether the lookup could give something other than the numbers themselves. */
export function needsUserFiles(user: string): boolean {
  return !/^\d+:\d+$/.test(user)
}

function findAccount(text: string, accounts: readonly Account[]): Account {
  const uid = parseId(text)
  const wanted = text === '' ? 0 : uid
  const byName = accounts.find((account) => account.name === text)
  const byUid = accounts.find((account) => account.uid === wanted)
  const found = byName ?? byUid
  if (found !== undefined) return found
  if (wanted !== undefined) return { name: '', uid: wanted, gid: 0 }
  throw new SwarmError(
    'invalid-argument',
    `unable to find user ${text}: no matching entries in passwd file`,
    { facts: { user: text } },
  )
}

function findGid(text: string, groups: readonly Group[]): number {
  const gid = groups.find((group) => group.name === text)?.gid ?? parseId(text)
  if (gid !== undefined) return gid
  throw new SwarmError(
    'invalid-argument',
    `unable to find group ${text}: no matching entries in group file`,
    { facts: { group: text } },
  )
}

function parsePasswd(text: string): readonly Account[] {
  return parseLines(text).flatMap(([name = '', , uidText = '', gidText = '']) => {
    const uid = parseId(uidText)
    const gid = parseId(gidText)
    return name === '' || uid === undefined || gid === undefined ? [] : [{ name, uid, gid }]
  })
}

function parseGroup(text: string): readonly Group[] {
  return parseLines(text).flatMap(([name = '', , gidText = '', members = '']) => {
    const gid = parseId(gidText)
    return name === '' || gid === undefined ? [] : [{ name, gid, members: members.split(',') }]
  })
}

function parseLines(text: string): readonly (readonly string[])[] {
  const lines = text.split('\n').map((line) => line.trim())
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':').map((field) => field.trim()))
}

function parseId(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= ID_MAX ? id : undefined
}
