/** What a user may do least so that a service works: the permissions of docs/permissions.md, and what is declared or only checked. */
import {
  CommandError,
  defineService,
  type Declare,
  Endpoint,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
  SyncEndpoint,
  TopologyError,
} from 'eventail'
import { beforeEach, describe, expect } from 'vitest'
import { isDevelopmentBroker, jsonOf, recordOf, test } from '../bus/bus.ts'
import { permissionsFor } from '../bus/permissions.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, outcomeOf, Records } from '../bus/watched.ts'
import { eventail } from '../cli/eventail.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

let users = 0
/** A user of this file that nobody else has. */
const anybody = (url: string): string => `user-${(users += 1)}-${new URL(url).pathname.slice(1)}`

/** The service of the page: it waits for its configuration, handles events and commands, and sends commands itself. */
function billing(configured: unknown[] = []) {
  return defineService({
    name: 'billing',
    handlers: [
      onConfiguration('Rates', ({ payload }) => {
        configured.push(payload)
        return true
      }),
      onEvent('OrderPlaced', async ({ payload, publish, sendCommand, log }) => {
        log.critical('placed')
        await publish('InvoiceSent', payload)
        await sendCommand('billing.Book', payload)
      }),
      onEvent('OrderLost', () => {
        throw new Error('lost')
      }),
      onCommand('Book', ({ payload }) => {
        if (payload === 'none') throw new CommandError('nothing to book')
        return { booked: payload }
      }),
      onResult('BookResult', ({ payload, publish }) => publish('Booked', payload)),
    ],
  })
}

const KEYS = {
  events: ['OrderPlaced', 'OrderLost'],
  commands: ['billing.Book', 'billing.BookResult'],
} as const

beforeEach<{ probe: { declareExchanges(): Promise<void> } }>(async ({ probe }) => probe.declareExchanges())

describe.for<{ declare: Declare; heading: string }>([
  { declare: 'queues', heading: 'declares its queues' },
  { declare: 'nothing', heading: 'declares nothing' },
])('with declare: $declare, the permissions of the page are enough', ({ declare, heading }) => {
  test.skipIf(isDevelopmentBroker)(
    'for configurations, events, commands with results, logs, dead letters and reconnecting',
    async ({ ownerUrl, probe, management, dead }) => {
      if (declare === 'nothing') {
        for (const [exchange, keys] of Object.entries(KEYS)) {
          await probe.declareQueue(`billing.${exchange}`)
          for (const key of keys) await probe.bind(`billing.${exchange}`, exchange, key)
        }
      }
      const url = await management.userUrl(ownerUrl, anybody(ownerUrl), permissionsFor('billing', heading))
      await using proxy = await Proxy.start(Number(new URL(url).port))
      const [sent, booked] = [await probe.listen('events', 'InvoiceSent'), await probe.listen('events', 'Booked')]
      const answers = await probe.listen('commands', 'probe.Result')
      const logs = await probe.logs('billing.CRITICAL')
      const configured: unknown[] = []
      const records = new Records()
      await using worker = await billing(configured).start({
        ...QUIET,
        declare,
        urls: [proxy.through(url)],
        onLog: records.onLog,
      })
      for (const round of [1, 2]) {
        await probe.publish({ exchange: 'configurations', routingKey: 'Rates', body: round })
        await expect.poll(() => worker.state).toBe('ready')
        await probe.event('OrderPlaced', round)
        expect(jsonOf(await sent.next())).toBe(round)
        expect(jsonOf(await booked.next())).toEqual({ booked: round })
        expect(recordOf(await logs.next())).toMatchObject({ short_message: 'placed' })
        await probe.command('billing.Book', 'none')
        expect((await answers.next()).properties.headers).toMatchObject({ status: 'error' })
        await probe.event('OrderLost', round)
        expect((await dead.next()).fields.routingKey).toBe('OrderLost')
        if (round === 2) break
        proxy.cut()
        // it asks for its configuration again
        await expect.poll(() => worker.state).toBe('unconfigured')
      }
      expect(configured).toEqual([1, 2])
      expect(records.of('EMERGENCY').filter((text) => !text.includes('OrderLost'))).toEqual([])
      expect(records.of('ERROR')).toEqual([])
      await worker.stop()
      await probe.deleteQueue('billing.events')
      await probe.deleteQueue('billing.commands')
    },
  )
})

test.skipIf(isDevelopmentBroker)(
  'by default the exchanges are declared, which a limited user may not: the error says what needs no permission',
  async ({ ownerUrl, management }) => {
    using _stderr = new CapturedStderr()
    const permissions = permissionsFor('billing', 'declares its queues')
    const url = await management.userUrl(ownerUrl, anybody(ownerUrl), permissions)
    const failure: unknown = await billing()
      .start({ ...QUIET, declare: 'all', urls: [url] })
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(TopologyError)
    expect(failure).toHaveProperty(
      'message',
      expect.stringMatching(
        /^exchange 'events': the broker user lacks a permission: .*with declare: 'queues' or 'nothing'$/,
      ),
    )
  },
)

test('an exchange that is missing and not declared stops the start, with what to create', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  await probe.deleteExchange('configurations')
  const records = new Records()
  const outcome = await billing()
    .start({ ...QUIET, declare: 'queues', urls: [url], onLog: records.onLog })
    .catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(TopologyError)
  expect(records.of('EMERGENCY')).toEqual([
    expect.stringMatching(
      /^exchange 'configurations': NOT_FOUND .*It is not declared here: create it \(type topic, durable\)/,
    ),
  ])
})

test('a queue that is missing and not declared stops the start, with its bindings; deleted while running, it is awaited', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const listens = defineService({ name: 'listens', handlers: [onEvent('A', () => {}), onEvent('b.#', () => {})] })
  const options = { ...QUIET, declare: 'nothing', urls: [url], onLog: records.onLog } as const
  const failure: unknown = await listens.start(options).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(TopologyError)
  expect(failure).toHaveProperty(
    'message',
    expect.stringMatching(
      /^queue 'listens.events': NOT_FOUND .*create it \(durable, without arguments\) and bind it to 'events' with 'A', 'b\.#'/,
    ),
  )
  await probe.declareQueue('listens.events')
  await using worker = await listens.start(options)
  await probe.deleteQueue('listens.events')
  await expect.poll(() => records.of('EMERGENCY')).toHaveLength(2)
  await probe.declareQueue('listens.events')
  await expect.poll(() => worker.state, { timeout: 15_000 }).toBe('ready')
})

test('who declares nothing leaves the bindings as they are', async ({ url, probe, management }) => {
  await probe.declareQueue('bare.events')
  const bare = defineService({ name: 'bare', handlers: [onEvent('Unbound', () => {})] })
  await using _worker = await bare.start({ ...QUIET, declare: 'nothing', urls: [url] })
  const path = `queues${new URL(url).pathname}/bare.events/bindings`
  expect(await management.api('GET', path)).toEqual([expect.objectContaining({ source: '' })])
})

test('EVENTAIL_DECLARE is what is declared where the settings do not say, and is checked', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  const before = process.env['EVENTAIL_DECLARE']
  try {
    process.env['EVENTAIL_DECLARE'] = 'nothing'
    const listens = defineService({ name: 'told', handlers: [onEvent('A', () => {})] })
    expect(await outcomeOf(listens.start({ ...QUIET, urls: [url] }))).toBe('TOPOLOGY')
    await using _worker = await listens.start({ ...QUIET, declare: 'queues', urls: [url] })
    expect(await probe.counts('told.events')).toMatchObject({ consumers: 1 })
    process.env['EVENTAIL_DECLARE'] = 'passive'
    expect(() => new Endpoint({ name: 'web' })).toThrow(/^EVENTAIL_DECLARE: must be one of all, queues, nothing/)
  } finally {
    if (before === undefined) delete process.env['EVENTAIL_DECLARE']
    else process.env['EVENTAIL_DECLARE'] = before
  }
})

test.skipIf(isDevelopmentBroker)(
  'an endpoint publishes, logs and calls with its permissions; one that only publishes needs less',
  async ({ ownerUrl, url, probe, management }) => {
    using _stderr = new CapturedStderr()
    const seen = await probe.listen('events', 'Visited')
    const logs = await probe.logs('#')
    const obeys = defineService({ name: 'obeys', handlers: [onCommand('Echo', ({ payload }) => payload)] })
    await using _worker = await obeys.start({ ...QUIET, urls: [url] })
    const urlOf = (user: string): Promise<string> =>
      management.userUrl(ownerUrl, anybody(ownerUrl), permissionsFor(user, 'An endpoint'))
    await using web = new Endpoint({ ...QUIET, name: 'web', declare: 'nothing', urls: [await urlOf('web')] })
    expect(await web.call('obeys.Echo', 1)).toBe(1)
    await web.publish('Visited', 2)
    const cron = await urlOf('cron')
    using sync = new SyncEndpoint({ ...QUIET, name: 'cron', declare: 'nothing', urls: [cron] })
    sync.publish('Visited', 3)
    sync.log.info('done')
    expect([jsonOf(await seen.next()), jsonOf(await seen.next())]).toEqual([2, 3])
    await expect
      .poll(() => logs.received.map(recordOf).map(({ host }) => String(host)))
      .toContainEqual(expect.stringMatching(/^cron@/))
    await using caller = new Endpoint({ ...QUIET, name: 'caller', declare: 'nothing', urls: [cron] })
    expect(await outcomeOf(caller.call('obeys.Echo', 1))).toBe('TOPOLOGY')
  },
)

test.skipIf(isDevelopmentBroker)(
  'an operator sends, calls, looks at dead letters and replays them; an observer only watches',
  async ({ ownerUrl, url, probe, management, dead: _dead }) => {
    const urlOf = (user: string): Promise<string> =>
      management.userUrl(ownerUrl, anybody(ownerUrl), permissionsFor(user, 'An operator'))
    const [operator, observer] = [await urlOf('operator'), await urlOf('observer')]
    const obeys = defineService({
      name: 'mends',
      handlers: [onCommand('Echo', ({ payload }) => payload), onEvent('Broken', () => Promise.reject(new Error('no')))],
    })
    await using _worker = await obeys.start({ ...QUIET, urls: [url] })
    await probe.declareQueue('dead-letters')
    await probe.bind('dead-letters', 'am-dlx', '#')
    await probe.event('Broken', 1)
    await expect.poll(() => probe.counts('dead-letters')).toMatchObject({ messages: 1 })
    const [published, answered, inspected] = [
      await eventail(operator, ['publish-event', 'Told', '-'], '1'),
      await eventail(operator, ['send-command', 'mends.Echo', '-'], '1'),
      await eventail(operator, ['inspect-queue', 'dead-letters']),
    ]
    expect([published.code, answered.code, inspected.code]).toEqual([0, 0, 0])
    expect(inspected.stdout).toContain('Broken')
    expect(await eventail(operator, ['resurrect', 'dead-letters'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('1 of 1 letters replayed'),
    })
    expect(await eventail(observer, ['trace', 'nobody', '--idle', '0.3'])).toMatchObject({ code: 124 })
    expect(await eventail(observer, ['publish-event', 'Told', '-'], '1')).toMatchObject({ code: 7 })
  },
  60_000,
)
