/**
 * Broker URLs: checked when they are given, and shown without the password, whatever is wrong with them.
 *
 * `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Parts that are left out are guest, guest, localhost,
 * 5672 (5671 with TLS) and the virtual host `/`.
 */
import { isIPv4 } from 'node:net'
import { InvalidSettingError } from '../errors.ts'

export interface BrokerUrl {
  readonly tls: boolean
  readonly host: string
  readonly port: number
  readonly vhost: string
  readonly user: string
  /** Never enumerable, so that it appears in no dump of this object. */
  readonly password: string
  /** The URL as it may be shown: without the password. */
  readonly shown: string
}

/** @throws InvalidSettingError that names the URL by its position, never by its text (it may hold a password). */
export function parseBrokerUrl(text: string, setting = 'url'): BrokerUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) {
    throw new InvalidSettingError(
      setting,
      `is not a URL like amqp://user:password@host:5672/vhost; percent-encode special characters (/ @ : %) in user, password and vhost`,
    )
  }
  if (url.protocol !== 'amqp:' && url.protocol !== 'amqps:') {
    throw new InvalidSettingError(
      setting,
      `starts with '${url.protocol}'; a broker's URL starts with amqp:// or amqps://`,
    )
  }
  // an '@' behind the host is what is left of a password with a '/' in it
  if (/@/.test(url.pathname + url.search + url.hash)) {
    throw new InvalidSettingError(
      setting,
      "has an '@' behind the host: percent-encode special characters (/ @ : %) in user and password",
    )
  }
  if (url.search !== '' || url.hash !== '') {
    throw new InvalidSettingError(
      setting,
      "ends with a query or a fragment ('?' or '#'): use the settings instead (heartbeatMs, connectTimeoutMs, tls…)",
    )
  }
  const tls = url.protocol === 'amqps:'
  const user = decode(url.username, 'the user name', setting) || 'guest'
  const vhost = decode(url.pathname.slice(1), 'the virtual host', setting) || '/'
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost'
  const port = url.port === '' ? (tls ? 5671 : 5672) : Number(url.port)
  const shownHost = host.includes(':') ? `[${host}]` : host
  const shown = `${url.protocol}//${encodeURIComponent(user)}@${shownHost}:${port}/${vhost === '/' ? '' : encodeURIComponent(vhost)}`
  const parsed = { tls, host, port, vhost, user, shown }
  const password = decode(url.password, 'the password', setting) || 'guest'
  return Object.defineProperty(parsed, 'password', { value: password, enumerable: false }) as BrokerUrl
}

/** The URL with the password, for programs that are started: not to be shown. */
export function secretUrlOf({ tls, host, port, vhost, user, password }: BrokerUrl): string {
  const address = host.includes(':') ? `[${host}]` : host
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
  return `${tls ? 'amqps' : 'amqp'}://${login}@${address}:${port}/${vhost === '/' ? '' : encodeURIComponent(vhost)}`
}

/** Whether passwords and messages could be read on their way: without TLS, to what is not this machine for certain. */
export function isExposed({ tls, host }: BrokerUrl): boolean {
  const address = host.replace(/^::ffff:(?=\d+\.)/, '')
  const isLocal =
    /^(?:.+\.)?localhost$/i.test(host) || host === '::1' || (isIPv4(address) && address.startsWith('127.'))
  return !tls && !isLocal
}

/** @throws InvalidSettingError when there is no URL, or when one is wrong. */
export function parseBrokerUrls(urls: readonly string[]): readonly BrokerUrl[] {
  if (!Array.isArray(urls)) throw new InvalidSettingError('urls', "must be a list: write ['amqp://…']")
  if (urls.length === 0) throw new InvalidSettingError('urls', 'is empty; give at least one broker URL')
  return urls.map((url, index) => parseBrokerUrl(url, `urls[${index}]`))
}

function decode(part: string, name: string, setting: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new InvalidSettingError(setting, `${name} in it is not percent-encoded properly; write '%' as '%25'`)
  }
}
