/** A Redis that is guarded: over TLS it is verified, and a user who may touch only his keys is enough. */
import { createTempStore, type RedisOptions } from 'eventail/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePorts } from '../../dev/free-ports.mjs'
import { startRedis } from '../../dev/redis.mjs'
import { Certificates } from '../bus/certificates.ts'
import { textOf } from '../docs/documents.ts'

const UNTRUSTED = /unable to (?:verify|get)|self-signed certificate/

/** For what works: a busy machine is not in a hurry. */
const PATIENT_MS = 15_000

let certificates: Certificates
beforeAll(() => {
  certificates = new Certificates()
})
afterAll(() => certificates[Symbol.dispose]())

/** A server that speaks TLS on a port of its own, with this certificate, and wants one of its clients. */
async function startTls(certificate: string) {
  const [port = 0] = await freePorts(1)
  const path = (file: string): string => certificates.path(file)
  const server = await startRedis([
    `tls-port ${port}`,
    `tls-cert-file ${path(`${certificate}.pem`)}`,
    `tls-key-file ${path(`${certificate}.key`)}`,
    `tls-ca-cert-file ${path('ca.pem')}`,
    'tls-auth-clients yes',
  ])
  return { url: `rediss://localhost:${port}`, [Symbol.asyncDispose]: () => server.dispose() }
}

const tlsFor = (servername?: string): NonNullable<RedisOptions['tls']> => ({
  ca: certificates.pem('ca.pem'),
  cert: certificates.pem('client.pem'),
  key: certificates.pem('client.key'),
  ...(servername === undefined ? undefined : { servername }),
})

/** Why the store is down, '' when it is up. */
async function whyDown(url: string, tls?: RedisOptions['tls'], timeoutMs = 5_000): Promise<string> {
  const own = tls === undefined ? {} : { tls }
  await using store = createTempStore({ namespace: 'x:', url, timeoutMs, ...own })
  // before it is closed
  return await store.isDown()
}

test('over TLS it is verified, whatever is in the environment, and shown our certificate', async () => {
  const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  try {
    await using good = await startTls('good')
    await using wrong = await startTls('wronghost')
    await using expired = await startTls('expired')
    await using untrusted = await startTls('untrusted')
    await using store = createTempStore({ namespace: 'x:', url: good.url, tls: tlsFor(), timeoutMs: PATIENT_MS })
    await store.set('k', { n: 1 })
    expect(await store.pop('k')).toEqual({ n: 1 })
    expect(await whyDown(wrong.url, tlsFor('example.org'), PATIENT_MS)).toBe('')
    const [unknown, nameless, wrongName, old, foreign, clear] = await Promise.all([
      whyDown(good.url),
      whyDown(good.url, { ca: certificates.pem('ca.pem') }),
      whyDown(wrong.url, tlsFor()),
      whyDown(expired.url, tlsFor()),
      whyDown(untrusted.url, tlsFor()),
      whyDown(good.url.replace('rediss', 'redis'), tlsFor()),
    ])
    expect(unknown).toMatch(UNTRUSTED)
    expect(nameless).not.toBe('')
    expect(wrongName).toMatch(/does not match certificate's altnames/)
    expect(old).toMatch(/certificate has expired/)
    expect(foreign).toMatch(UNTRUSTED)
    expect(clear).not.toBe('')
  } finally {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
  }
}, 60_000)

test('verification cannot be turned off', () => {
  const tls = { rejectUnauthorized: false } as object
  expect(() => createTempStore({ namespace: 'x:', url: 'rediss://localhost', tls })).toThrow(
    "tls: 'rejectUnauthorized' does not exist",
  )
})

test('a user who may use the keys of his namespace, and no administration, does all that a store does', async () => {
  const [user = ''] = /^user billing .*$/m.exec(textOf('docs/permissions.md')) ?? []
  await using guarded = await startRedis(['user default off', user.replace('PASSWORD', 'canary')])
  const url = guarded.url.replace('redis://', 'redis://billing:canary@')
  await using store = createTempStore({ namespace: 'billing:', url })
  expect(await store.isDown()).toBe('')
  await store.set('a', 1)
  await store.mset({ b: 2, c: 3 })
  expect(await store.peek('a')).toBe(1)
  expect(await store.pop('a')).toBe(1)
  expect(await store.mpop(['b', 'c'])).toEqual([2, 3])
  expect(await store.peekOrCreate('rates', () => Promise.resolve([1]))).toEqual([1])
  await using other = createTempStore({ namespace: 'payroll:', url })
  const failure: unknown = await other.set('k', 1).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'STORE', message: expect.stringContaining('NOPERM') })
  await using nobody = createTempStore({ namespace: 'billing:', url: guarded.url })
  expect(await nobody.isDown()).toMatch(/NOAUTH|[Aa]uthentication/)
})
