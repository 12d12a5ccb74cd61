/** What a service gives away to nobody: the password of its broker, and what is in the messages that it handles. */
import { inspect } from 'node:util'
import {
  CommandError,
  defineEvent,
  defineService,
  Endpoint,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
} from 'eventail'
import { expect } from 'vitest'
import { z } from 'zod'
import { isDevelopmentBroker, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, Records } from '../bus/watched.ts'
import { eventail } from '../cli/eventail.ts'

const QUIET = { stderrLevel: 'DEBUG', format: 'json' } as const
const PASSWORD = 'c4n@ry:/%'
const ALL = { configure: '.*', write: '.*', read: '.*' }

test.skipIf(isDevelopmentBroker)(
  'the password is in no record, on no bus and in no dump, whatever becomes of the connection',
  async ({ ownerUrl, probe, management }) => {
    using stderr = new CapturedStderr()
    const records = new Records()
    const logs = await probe.logs('#')
    const user = `secret-${new URL(ownerUrl).pathname.slice(1)}`
    await management.createUser(user, PASSWORD, ALL)
    const url = new URL(ownerUrl)
    url.username = user
    url.password = encodeURIComponent(PASSWORD)
    const options = { ...QUIET, urls: [url.href], onLog: records.onLog, declare: 'all' } as const
    const service = defineService({ name: 'keeper', handlers: [onEvent('Any', () => {})] })
    await using worker = await service.start(options)
    await using endpoint = new Endpoint({ ...options, name: 'keeping' })
    await endpoint.publish('Any', 1)
    await management.closeConnections('keeper')
    await expect.poll(() => records.of('NOTICE').filter((text) => text.includes('again'))).toHaveLength(1)
    await probe.declareQueue('keeper2.events', { durable: true, messageTtl: 1 })
    const failure: unknown = await defineService({ name: 'keeper2', handlers: [onEvent('Any', () => {})] })
      .start(options)
      .catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'TOPOLOGY' })
    await management.createUser(user, 'changed', ALL)
    await management.closeConnections('keeper')
    await expect.poll(() => records.of('ERROR')).toContainEqual(expect.stringContaining('refused user'))
    const dumps = [service, worker, endpoint, failure, options.onLog].map((one) => inspect(one, { depth: 20 }))
    const bus = logs.received.map(recordOf)
    expect(bus.length).toBeGreaterThan(2)
    const everything = [stderr.text, JSON.stringify(records.all), JSON.stringify(bus), ...dumps].join('\n')
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), 'c4n']) expect(everything).not.toContain(secret)
  },
)

test('what is in a message is in no record of the service, whatever becomes of it, and in no result that it did not return', async ({
  url,
  probe,
  dead,
}) => {
  using stderr = new CapturedStderr()
  const records = new Records()
  const logs = await probe.logs('#')
  const strict = z.object({ phone: z.number() })
  const nothing = (): void => {}
  await using _worker = await defineService({
    name: 'discreet',
    handlers: [
      onEvent(defineEvent('Strict', strict), nothing),
      onEvent('Fails', () => {
        throw new Error('it failed')
      }),
      onCommand('Fails', () => {
        throw new Error('it failed')
      }),
      onResult('Other', nothing),
      onConfiguration('Rates', () => true),
    ],
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  const answers = await probe.listen('commands', 'probe.Result')
  await probe.publish({ exchange: 'configurations', routingKey: 'Rates', body: { phone: 'canary' } })
  await probe.bind('discreet.events', 'events', '#')
  const body = { phone: 'canary' }
  await probe.event('Strict', body)
  await probe.event('Fails', body)
  await probe.event('Unknown', body)
  for (const text of ['canary', '"canary', '{"a": "canary" b}', '{"phone": canary', '{"canary": 1', '["canary",]'])
    await probe.event('Fails', Buffer.from(text), { contentType: 'application/json' })
  for (const bytes of [Buffer.from('fcanary'), Buffer.from('\u00a1ecanary'), Buffer.from('a1canary')])
    await probe.event('Fails', bytes, { contentType: 'application/cbor' })
  await probe.command('discreet.Fails', body)
  await expect.poll(() => dead.received.length).toBe(13)
  expect(records.all.length).toBeGreaterThan(12)
  await expect.poll(() => logs.received.length).toBeGreaterThan(12)
  const everything = [stderr.text, JSON.stringify(records.all), JSON.stringify(logs.received.map(recordOf))].join('\n')
  expect(everything).toContain('it failed')
  // V8 tells the one character that it does not expect
  expect(/.*(?:canary|anary).*/.exec(everything)?.[0]).toBeUndefined()
  expect(answers.received).toEqual([])
})

test('a stack goes to the logs, and never to a caller', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  await using _worker = await defineService({
    name: 'discloses',
    handlers: [
      onCommand('Refuse', () => {
        throw new CommandError('not today', { cause: new Error('inner') })
      }),
    ],
  }).start({ ...QUIET, urls: [url] })
  const answers = await probe.listen('commands', 'probe.Result')
  await probe.command('discloses.Refuse', 1)
  const answer = await answers.next()
  expect(JSON.parse(answer.content.toString())).toEqual({ reason: 'not today' })
  expect(JSON.stringify(answer.properties)).not.toMatch(/inner|\.ts:\d+|at /)
})

test('a letter that dies and is replayed again and again does not grow, nor does what is published because of it', async ({
  url,
  ownerUrl,
  probe,
  dead,
}) => {
  using _stderr = new CapturedStderr()
  let isMended = false
  const published = await probe.listen('events', 'Mended')
  await using _worker = await defineService({
    name: 'grows',
    handlers: [
      onEvent('Dies', ({ publish }) => {
        if (!isMended) throw new Error('again')
        return publish('Mended', 1)
      }),
    ],
  }).start({ ...QUIET, stderrLevel: 'NONE', urls: [url] })
  await probe.declareQueue('growing')
  await probe.bind('growing', 'am-dlx', 'Dies')
  await probe.event('Dies', 1, { headers: { conversation_id: 'c1', extra: 'x'.repeat(1000) } })
  const sizes: number[] = []
  for (let round = 0; round < 4; round++) {
    sizes.push(JSON.stringify((await dead.next()).properties.headers).length)
    if (round === 3) isMended = true
    await expect.poll(() => probe.counts('growing')).toMatchObject({ messages: 1 })
    expect(await eventail(ownerUrl, ['resurrect', 'growing'])).toMatchObject({ code: 0 })
  }
  // nothing but the digits of times may differ
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(20)
  const copy = await published.next()
  expect(Object.keys(copy.properties.headers ?? {})).toEqual(['conversation_id'])
})
