/** The permissions of users, as docs/permissions.md has them. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Permissions {
  readonly configure: string
  readonly write: string
  readonly read: string
}

const document = readFileSync(fileURLToPath(new URL('../../docs/permissions.md', import.meta.url)), 'utf8')

/**
 * What the page gives to a user.
 * @param heading a part of the heading above the line
 * @param service what is to stand in the place of the service `billing`, as a regular expression
 * @throws Error when the page has no such line
 */
export function permissionsFor(user: string, heading: string, service = 'billing'): Permissions {
  const section = document.split(/^## /m).find((text) => text.slice(0, text.indexOf('\n')).includes(heading)) ?? ''
  const line = new RegExp(`^rabbitmqctl set_permissions -p bus ${user} '(.*?)' '(.*?)' '(.*?)'$`, 'm').exec(section)
  if (line === null) throw new Error(`docs/permissions.md has no permissions of '${user}' under '${heading}'`)
  const [configure = '', write = '', read = ''] = line.slice(1).map((pattern) => pattern.replaceAll('billing', service))
  return { configure, write, read }
}
