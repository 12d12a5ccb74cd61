/** Contracts at work: what does not fit is refused on its way in and on its way out, and a newer version fits an older one. */
import {
  CommandError,
  ContractError,
  defineCommand,
  defineConfiguration,
  defineEvent,
  defineService,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
} from 'eventail'
import { describe, expect } from 'vitest'
import { z } from 'zod'
import { jsonOf, recordOf, test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

const Ordered = defineEvent(
  'Ordered',
  z.object({ items: z.array(z.object({ price: z.number() })), currency: z.string().default('EUR') }),
)

describe('an event that comes in', () => {
  test('is dead at once when it does not fit, and each issue is told with its path', async ({ url, probe, dead }) => {
    let calls = 0
    const shop = defineService({ name: 'shop', handlers: [onEvent(Ordered, () => (calls += 1))] })
    const logs = await probe.logs('shop.EMERGENCY', 'shop.ALERT')
    await using _worker = await shop.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Ordered', { items: [{ price: 1 }, { price: 'two' }], currency: 3 })
    const message = await dead.next()
    expect(message.properties.headers?.['x-death']).toMatchObject([{ reason: 'rejected', count: 1 }])
    const record = recordOf(await logs.next())
    expect(record).toMatchObject({ _levelname: 'EMERGENCY', _conversation_id: 'c1' })
    expect(record['short_message']).toMatch(
      /^payload of event 'Ordered' does not fit its contract: items\[1\]\.price: .+; currency: .+ \(dead-lettered\)$/,
    )
    expect([calls, logs.size]).toEqual([0, 0])
  })

  test('keeps the fields that the contract does not know, at every level, and gets its defaults', async ({
    url,
    probe,
  }) => {
    const payloads: unknown[] = []
    const newer = defineService({
      name: 'newer',
      handlers: [onEvent(Ordered, ({ payload }) => payloads.push(payload))],
    })
    await using _worker = await newer.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Ordered', { items: [{ price: 1, colour: 'red' }], version: 2 })
    await expect.poll(() => payloads).toEqual([{ items: [{ price: 1, colour: 'red' }], currency: 'EUR', version: 2 }])
  })

  test('may be checked by an asynchronous schema', async ({ url, probe, dead }) => {
    const Known = defineEvent(
      'Known',
      z.string().refine(async (name) => Promise.resolve(name !== 'stranger'), 'nobody knows them'),
    )
    const payloads: string[] = []
    const door = defineService({ name: 'door', handlers: [onEvent(Known, ({ payload }) => payloads.push(payload))] })
    const logs = await probe.logs('door.EMERGENCY')
    await using worker = await door.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Known', 'stranger')
    await dead.next()
    expect(recordOf(await logs.next())['short_message']).toContain('nobody knows them')
    await probe.event('Known', 'Ada')
    await expect.poll(() => payloads).toEqual(['Ada'])
    await expect(worker.publish(Known, 'stranger')).rejects.toThrow(/nobody knows them/)
    await worker.publish(Known, 'Grace')
    await expect.poll(() => payloads).toEqual(['Ada', 'Grace'])
  })
})

describe('what goes out', () => {
  test('is refused before anything is sent when it does not fit', async ({ url, probe }) => {
    const Conf = defineConfiguration('Conf', z.object({ n: z.number() }))
    const Do = defineCommand('anybody.Do', { payload: z.object({ n: z.number() }) })
    const sent = [
      await probe.listen('events', 'Ordered'),
      await probe.listen('configurations', 'Conf'),
      await probe.listen('commands', 'anybody.Do'),
    ]
    await using worker = await defineService({ name: 'careless', format: 'json' }).start({
      urls: [url],
      stderrLevel: 'NONE',
    })
    const wrong = { n: 'one', items: 'none' } as never
    for (const publish of [
      () => worker.publish(Ordered, wrong),
      () => worker.publishConfiguration(Conf, wrong),
      () => worker.sendCommand(Do, wrong),
    ]) {
      const failure: unknown = await publish().catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(ContractError)
      expect(failure).toMatchObject({ code: 'CONTRACT', issues: [{ path: expect.stringMatching(/^(n|items)$/) }] })
    }
    await worker.publish(Ordered, { items: [] })
    await worker.publishConfiguration(Conf, { n: 1 })
    await worker.sendCommand(Do, { n: 1 })
    // sent as it was given: defaults are for receivers
    expect(await Promise.all(sent.map(async (listening) => jsonOf(await listening.next())))).toEqual([
      { items: [] },
      { n: 1 },
      { n: 1 },
    ])
    expect(sent.map(({ size }) => size)).toEqual([0, 0, 0])
  })

  test('of a handler makes it fail, awaited or not', async ({ url, probe, dead }) => {
    const sloppy = defineService({
      name: 'sloppy',
      handlers: [
        onEvent('Order', ({ publish }) => {
          void publish(Ordered, {} as never)
        }),
      ],
    })
    const logs = await probe.logs('sloppy.ALERT', 'sloppy.EMERGENCY')
    await using _worker = await sloppy.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Order')
    await dead.next()
    const levels = [await logs.next(), await logs.next(), await logs.next()].map((log) => recordOf(log)['_levelname'])
    expect(levels).toEqual(['ALERT', 'ALERT', 'EMERGENCY'])
  })
})

describe('a command', () => {
  const Divide = defineCommand('maths.Divide', {
    payload: z.object({ by: z.number() }),
    result: z.object({ quotient: z.number() }),
    error: z.object({ reason: z.string() }),
  })

  test('is answered with results and error results that fit, and with nothing else', async ({ url, probe, dead }) => {
    const maths = defineService({
      name: 'maths',
      format: 'json',
      handlers: [
        onCommand(Divide, ({ payload: { by } }) => {
          if (by === 0) throw new CommandError('division by zero')
          if (by < 0) throw new CommandError({ why: 'negative' })
          return { quotient: by > 9 ? ('large' as never) : 9 / by }
        }),
      ],
    })
    const results = await probe.listen('commands', 'probe.Result')
    const logs = await probe.logs('maths.ALERT')
    await using _worker = await maths.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.command('maths.Divide', { by: 3 })
    expect(jsonOf(await results.next())).toEqual({ quotient: 3 })
    await probe.command('maths.Divide', { by: 0 })
    expect(jsonOf(await results.next())).toEqual({ reason: 'division by zero' })
    for (const [by, field] of [
      [10, 'quotient'],
      [-1, 'reason'],
    ] as const) {
      await probe.command('maths.Divide', { by })
      expect(jsonOf(await dead.next())).toEqual({ by })
      for (let n = 0; n < 2; n++) {
        expect(recordOf(await logs.next())['short_message']).toContain(
          `result of command 'maths.Divide' does not fit its contract: ${field}`,
        )
      }
    }
    await probe.command('maths.Divide', { by: 'x' })
    expect(jsonOf(await dead.next())).toEqual({ by: 'x' })
    expect([results.size, logs.size]).toEqual([0, 0])
  })

  test('has its results checked where they come in, by their status', async ({ url, probe, dead }) => {
    const seen: unknown[] = []
    const pupil = defineService({
      name: 'pupil',
      handlers: [
        onResult(Divide, (result) => {
          seen.push(result.status === 'success' ? result.payload.quotient : result.payload.reason)
        }),
      ],
    })
    await using _worker = await pupil.start({ urls: [url], stderrLevel: 'NONE' })
    const answer = (status: string, body: unknown): Promise<void> =>
      probe.publish({
        exchange: 'commands',
        routingKey: 'pupil.DivideResult',
        body,
        headers: { conversation_id: 'c1', status },
      })
    await answer('success', { quotient: 1 })
    await answer('error', { reason: 'zero' })
    await expect.poll(() => seen).toEqual([1, 'zero'])
    await answer('success', { reason: 'zero' })
    await answer('error', { quotient: 1 })
    expect([jsonOf(await dead.next()), jsonOf(await dead.next())]).toEqual([{ reason: 'zero' }, { quotient: 1 }])
    expect(seen).toHaveLength(2)
  })
})

test('a configuration that does not fit leaves its service waiting', async ({ url, probe }) => {
  const Limits = defineConfiguration('Limits', z.object({ most: z.number() }))
  const limited = defineService({
    name: 'limited',
    handlers: [onConfiguration(Limits, ({ payload }) => payload.most > 0)],
  })
  const logs = await probe.logs('limited.EMERGENCY')
  await using worker = await limited.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.publish({ exchange: 'configurations', routingKey: 'Limits', body: { most: 'all' } })
  expect(recordOf(await logs.next())['short_message']).toContain("payload of configuration 'Limits'")
  expect(worker.state).toBe('unconfigured')
  await probe.publish({ exchange: 'configurations', routingKey: 'Limits', body: { most: 1 } })
  await expect.poll(() => worker.state).toBe('ready')
})

test('a schema that fails for a reason of its own is a failure of the handler, and the message comes once more', async ({
  url,
  probe,
}) => {
  const records = new Records()
  let tries = 0
  const validate = (value: unknown): { value: unknown } => {
    tries += 1
    if (tries === 1) throw new Error('the database is down')
    return { value }
  }
  const Checked = defineEvent('Checked', { '~standard': { version: 1, vendor: 'test', validate } })
  const handled: unknown[] = []
  await using _worker = await defineService({
    name: 'looked-up',
    handlers: [onEvent(Checked, ({ payload }) => handled.push(payload))],
  }).start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
  await probe.event('Checked', {})
  await expect.poll(() => handled).toEqual([{}])
  expect(records.of('ALERT')).toEqual(['unexpected error while handling Checked: the database is down'])
  expect(records.all.find(({ level }) => level === 'ALERT')?.full).toContain('contracts.test.ts')
})
