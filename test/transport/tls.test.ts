/** TLS: whom a client trusts, how it shows who it is, and that it says so where there is none. */
import net from 'node:net'
import tls from 'node:tls'
import { type BrokerTls, defineService, Endpoint, onEvent } from 'eventail'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { freePorts } from '../../dev/free-ports.mjs'
import { connectionOptionsOf } from '../../src/transport/broker-tls.ts'
import { test } from '../bus/bus.ts'
import { Certificates, type Server, SERVERS } from '../bus/certificates.ts'
import { CapturedStderr, outcomeOf, Records } from '../bus/watched.ts'
import { eventail } from '../cli/eventail.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

let certificates: Certificates
beforeAll(() => {
  certificates = new Certificates()
})
afterAll(() => certificates[Symbol.dispose]())

/** A server that takes connections over TLS and notes what a client says first. */
class TlsServer implements AsyncDisposable {
  readonly #server: tls.Server
  heard = ''

  constructor(options: tls.TlsOptions) {
    this.#server = tls.createServer(options, (socket) => {
      socket.on('error', () => {})
      socket.on('data', (data) => {
        this.heard += data.toString('latin1', 0, 4)
        socket.end()
      })
    })
    this.#server.on('tlsClientError', () => {})
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `amqps://guest:canary@localhost:${(this.#server.address() as net.AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** Why an endpoint cannot publish there. */
async function failureAt(url: string, options?: BrokerTls): Promise<Error> {
  await using endpoint = new Endpoint({
    ...QUIET,
    name: 'client',
    urls: [url],
    maxRetries: 0,
    connectTimeoutMs: 3_000,
    ...(options === undefined ? undefined : { tls: options }),
  })
  return (await endpoint.publish('Told', 1).catch((error: unknown) => error)) as Error
}

type Trust = 'nothing given' | 'ca' | 'ca and servername'
const optionsFor = (trust: Trust): BrokerTls | undefined => {
  const ca = certificates.pem('ca.pem')
  if (trust === 'nothing given') return undefined
  return trust === 'ca' ? { ca } : { ca, servername: 'example.org' }
}
const WHY: Record<Trust, Record<Server, RegExp | undefined>> = {
  'nothing given': {
    good: /is not trusted .*give the authority that signed it as tls\.ca/,
    wronghost: /is not trusted/,
    expired: /is not trusted|expired/,
    untrusted: /is not trusted/,
  },
  ca: {
    good: undefined,
    wronghost: /does not match certificate's altnames.*tell it as tls\.servername/,
    expired: /certificate has expired: renew/,
    untrusted: /is not trusted/,
  },
  'ca and servername': {
    good: /does not match certificate's altnames/,
    wronghost: undefined,
    expired: /expired|does not match/,
    untrusted: /is not trusted/,
  },
}

describe.for(SERVERS)('a broker whose certificate is %s', (server) => {
  test.for(Object.keys(WHY) as Trust[])('is spoken to only when it is verified: %s', async (trust) => {
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
    // whatever is in the environment of Node
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    try {
      const pems = { cert: certificates.pem(`${server}.pem`), key: certificates.pem(`${server}.key`) }
      await using listening = new TlsServer(pems)
      const failure = await failureAt(await listening.listen(), optionsFor(trust))
      const why = WHY[trust][server]
      expect(listening.heard).toBe(why === undefined ? 'AMQP' : '')
      if (why !== undefined) expect(failure.message).toMatch(why)
      expect(failure).toMatchObject({ code: 'CONNECTION' })
      expect(failure.message).not.toContain('canary')
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    }
  })
})

test('nothing older than TLS 1.2 is spoken, and verification cannot be turned off', async () => {
  expect(connectionOptionsOf()).toEqual({ rejectUnauthorized: true, minVersion: 'TLSv1.2' })
  expect(() => new Endpoint({ name: 'x', tls: { rejectUnauthorized: false } as BrokerTls })).toThrow(
    "tls: 'rejectUnauthorized' does not exist",
  )
  const pems = { cert: certificates.pem('good.pem'), key: certificates.pem('good.key') }
  await using old = new TlsServer({ ...pems, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' })
  const failure = await failureAt(await old.listen(), { ca: certificates.pem('ca.pem') })
  expect(failure.message).toMatch(/speaks no TLS of version 1\.2 or later/)
  expect(old.heard).toBe('')
})

test('what is no certificate, no key or not its key is refused at once, without its text', () => {
  const cert = certificates.pem('client.pem')
  const make = (options: BrokerTls) => () => new Endpoint({ name: 'x', tls: options })
  expect(make({ cert, key: certificates.pem('good.key') })).toThrow(/^tls: ca, cert, key or passphrase cannot be used/)
  expect(make({ cert, key: '/etc/canary.key' })).toThrow(/the content and not the path of a file/)
  expect(make({ cert, key: '/etc/canary.key' })).not.toThrow('canary')
  expect(make({ cert, key: certificates.pem('client-locked.key'), passphrase: 'wrong' })).toThrow(/^tls: /)
  expect(make({ cert, key: certificates.pem('client-locked.key'), passphrase: 'secret' })).not.toThrow()
})

describe('a broker that wants client certificates', () => {
  let broker: Awaited<ReturnType<typeof startBroker>>
  let url: string
  beforeAll(async () => {
    const [port = 0] = await freePorts(1)
    const path = (file: string): string => certificates.path(file)
    broker = await startBroker({
      config: [
        `listeners.ssl.default = 127.0.0.1:${port}`,
        `ssl_options.cacertfile = ${path('ca.pem')}`,
        `ssl_options.certfile = ${path('good.pem')}`,
        `ssl_options.keyfile = ${path('good.key')}`,
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = true',
      ],
    })
    url = `amqps://localhost:${port}`
  })
  afterAll(() => broker.dispose())

  test('takes a service with one, also with a locked key and by address', async () => {
    const seen: unknown[] = []
    const handlers = [onEvent('Told', ({ payload }) => void seen.push(payload))]
    const own = { ca: certificates.pem('ca.pem'), cert: certificates.pem('client.pem') }
    const locked = { ...own, key: certificates.pem('client-locked.key'), passphrase: 'secret' }
    await using worker = await defineService({ name: 'secure', handlers }).start({
      ...QUIET,
      urls: [url.replace('localhost', '127.0.0.1')],
      tls: locked,
      // nobody else has declared anything at this broker
      declare: 'all',
    })
    expect(await outcomeOf(worker.publish('Told', 1))).toBe('ok')
    await expect.poll(() => seen).toEqual([1])
    await using endpoint = new Endpoint({
      ...QUIET,
      name: 'web',
      urls: [url],
      tls: { ...own, key: certificates.pem('client.key') },
    })
    const large = 'x'.repeat(3_000_000)
    await endpoint.publish('Told', large)
    await expect.poll(() => seen).toEqual([1, large])
  })

  test('refuses a service without one, and the WARNING says what to give', async () => {
    using _stderr = new CapturedStderr()
    const records = new Records()
    const stop = new AbortController()
    const starting = defineService({ name: 'nameless' }).start({
      ...QUIET,
      urls: [url],
      tls: { ca: certificates.pem('ca.pem') },
      onLog: records.onLog,
      signal: stop.signal,
    })
    const outcome = outcomeOf(starting)
    await expect.poll(() => records.of('WARNING')[0]).toMatch(/give tls\.cert and tls\.key.*trying again/)
    stop.abort()
    expect(await outcome).toBe('STOPPED')
  })

  test('takes the command line with options, or with the environment', async () => {
    const files = (names: Record<string, string>): string[] =>
      Object.entries(names).flatMap(([option, file]) => [`--tls-${option}`, certificates.path(file)])
    const publish = ['publish-event', 'Told', '-']
    const [without, wrong, given] = await Promise.all([
      eventail(url, publish, '1'),
      eventail(url, [...publish, '--tls-ca', certificates.path('nowhere.pem')], '1'),
      eventail(url, [...publish, ...files({ ca: 'ca.pem', cert: 'client.pem', key: 'client.key' })], '1'),
    ])
    expect(without).toMatchObject({ code: 4, stderr: expect.stringContaining('is not trusted') })
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be read') })
    expect(given).toMatchObject({ code: 0, stderr: expect.stringContaining('1 × Told confirmed') })
    const variables = { CA: 'ca.pem', CERT: 'client.pem', KEY: 'client-locked.key' }
    for (const [name, file] of Object.entries(variables)) process.env[`EVENTAIL_TLS_${name}`] = certificates.path(file)
    process.env['EVENTAIL_TLS_PASSPHRASE'] = 'secret'
    try {
      expect(await eventail(url, [...publish, '--tls-servername', 'localhost'], '1')).toMatchObject({ code: 0 })
      expect(await eventail(url, ['trace', 'x', '--idle', '0.2', '--tls-servername', 'elsewhere'])).toMatchObject({
        code: 4,
      })
      // and what is no command line
      await using endpoint = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
      expect(await outcomeOf(endpoint.publish('Told', 2))).toBe('ok')
    } finally {
      for (const name of [...Object.keys(variables), 'PASSPHRASE']) delete process.env[`EVENTAIL_TLS_${name}`]
    }
  })
})

test('messages that travel in clear text to another host are warned of, once for each connection', async ({
  url,
  management,
}) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  // nobody can tell from the URL that this is the same machine
  const elsewhere = url.replace('127.0.0.1', '0.0.0.0')
  const handlers = [onEvent('Any', () => {})]
  await using worker = await defineService({ name: 'exposed', handlers }).start({
    ...QUIET,
    urls: [elsewhere],
    onLog: records.onLog,
  })
  const warnings = (): string[] =>
    records.of('WARNING').filter((text) => text.includes('travel in clear text; use amqps://'))
  expect(warnings()).toHaveLength(1)
  await management.closeConnections('exposed')
  await expect.poll(warnings).toHaveLength(2)
  await expect.poll(() => worker.state).toBe('ready')
  const quiet = new Records()
  await using _local = await defineService({ name: 'local' }).start({ ...QUIET, urls: [url], onLog: quiet.onLog })
  expect(quiet.of('WARNING')).toEqual([])
  expect((await eventail(elsewhere, ['trace', 'x', '--idle', '0.2'])).stderr).toMatch(
    /^warning: .* travel in clear text/,
  )
})
