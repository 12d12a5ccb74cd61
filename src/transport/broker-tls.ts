/**
 * TLS to brokers: what may be set, checked when it is given. The server's certificate is verified in any case, and nothing
 * older than TLS 1.2 is spoken, whatever the environment of Node says.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext, type ConnectionOptions } from 'node:tls'
import { InvalidSettingError } from '../errors.ts'
import { checkOptions } from '../options.ts'

/** TLS settings for `amqps://` URLs, as Node's `tls.connect` takes them. The server's certificate is always verified. */
export interface BrokerTls {
  /** Certificate authorities to trust instead of the well-known ones, PEM. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[]
  /** Client certificate, PEM. */
  readonly cert?: string | Buffer
  /** Private key of the client certificate, PEM. */
  readonly key?: string | Buffer
  /** Of the private key. */
  readonly passphrase?: string
  /** The name to verify the server's certificate against, when it isn't the host of the URL. */
  readonly servername?: string
}

/** The names of the settings in files, each with the variable of the environment that holds the path. */
const FILES = { ca: 'EVENTAIL_TLS_CA', cert: 'EVENTAIL_TLS_CERT', key: 'EVENTAIL_TLS_KEY' } as const
const TEXTS = { servername: 'EVENTAIL_TLS_SERVERNAME', passphrase: 'EVENTAIL_TLS_PASSPHRASE' } as const
const NAMES: readonly string[] = [...Object.keys(FILES), ...Object.keys(TEXTS)]

/** @throws InvalidSettingError when there is more in it than should be, or what cannot be used */
export function checkTls(tls: BrokerTls): void {
  checkOptions('tls', tls, NAMES)
  // Node itself says what is wrong, but only when it connects
  try {
    createSecureContext(contextOf(tls))
  } catch (error) {
    throw new InvalidSettingError(
      'tls',
      `ca, cert, key or passphrase cannot be used (${error instanceof Error ? error.message : String(error)}): certificates and keys are given as PEM, the content and not the path of a file`,
    )
  }
}

/**
 * Certificates from files; what is not given comes from the environment: the paths in EVENTAIL_TLS_CA, EVENTAIL_TLS_CERT and
 * EVENTAIL_TLS_KEY, and EVENTAIL_TLS_SERVERNAME and EVENTAIL_TLS_PASSPHRASE themselves.
 * @param given paths, and the server name
 * @returns undefined when there are none
 * @throws InvalidSettingError
 */
export function readTls(
  given: Partial<Record<'ca' | 'cert' | 'key' | 'servername', string>> = {},
): BrokerTls | undefined {
  const tls: Record<string, string | Buffer> = {}
  for (const [name, variable] of Object.entries(FILES) as [keyof typeof FILES, string][]) {
    const path = given[name] ?? process.env[variable]
    if (path !== undefined && path !== '')
      tls[name] = read(path, given[name] === undefined ? variable : `the file for tls ${name}`)
  }
  for (const [name, variable] of Object.entries(TEXTS) as [keyof typeof TEXTS, string][]) {
    const text = (name === 'servername' ? given.servername : undefined) ?? process.env[variable]
    if (text !== undefined && text !== '') tls[name] = text
  }
  if (Object.keys(tls).length === 0) return undefined
  checkTls(tls)
  return tls
}

/** What a connection is opened with. */
export function connectionOptionsOf(tls: BrokerTls = {}): ConnectionOptions {
  return {
    ...contextOf(tls),
    ...(tls.servername === undefined ? undefined : { servername: tls.servername }),
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  }
}

/** What is wrong with the TLS of a connection that failed, and the mend; undefined when it was something else. */
export function tlsProblem(text: string): string | undefined {
  if (/wrong version number/.test(text))
    return 'this port does not speak TLS; amqps:// is mostly port 5671, and amqp:// is without TLS'
  if (/does not match certificate's altnames/.test(text))
    return `${text}: use the name of the certificate in the URL, or tell it as tls.servername`
  if (/certificate has expired|certificate is not yet valid/.test(text))
    return `${text}: renew the broker's certificate, or set the clock`
  if (/unable to (?:verify|get)|self[- ]signed certificate/.test(text))
    return `the broker's certificate is not trusted (${text}): give the authority that signed it as tls.ca`
  if (/alert (?:certificate|handshake|bad cert|unknown ca)/.test(text))
    return `the broker refused this client's certificate, or its lack (${text}): give tls.cert and tls.key`
  if (/unsupported protocol|protocol version/.test(text))
    return `the broker speaks no TLS of version 1.2 or later (${text}): let it`
  // the alert of the broker may be lost with the connection
  if (/^$|ECONNRESET|EPIPE|closed|ended/i.test(text))
    return `the broker ended the connection (${text}); if it wants to know its clients, give tls.cert and tls.key`
  return undefined
}

function contextOf({ ca, cert, key, passphrase }: BrokerTls): ConnectionOptions {
  return {
    ...(ca === undefined ? undefined : { ca: Array.isArray(ca) ? [...ca] : (ca as string | Buffer) }),
    ...(cert === undefined ? undefined : { cert }),
    ...(key === undefined ? undefined : { key }),
    ...(passphrase === undefined ? undefined : { passphrase }),
  }
}

function read(path: string, setting: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new InvalidSettingError(setting, `cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
