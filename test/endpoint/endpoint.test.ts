/** Programs that are not services: what they publish and call, and what becomes of it when the broker is away. */
import {
  CommandError,
  defineCommand,
  defineEvent,
  defineService,
  Endpoint,
  onCommand,
  type Endpoint as EndpointType,
} from 'eventail'
import { describe, expect, expectTypeOf } from 'vitest'
import { z } from 'zod'
import { isDevelopmentBroker, jsonOf, recordOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { gate, outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const
const proxyTo = (url: string): Promise<Proxy> => Proxy.start(Number(new URL(url).port))
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

const Greeted = defineEvent('Greeted', z.object({ who: z.string() }))
const Greet = defineCommand('greeter.Greet', {
  payload: z.object({ who: z.string() }),
  result: z.object({ text: z.string() }),
  error: z.object({ why: z.string() }),
})

const greeter = defineService({
  name: 'greeter',
  handlers: [
    onCommand(Greet, ({ payload }) => {
      if (payload.who === 'nobody') throw new CommandError({ why: 'there is nobody' })
      return { text: `Hello ${payload.who}` }
    }),
  ],
})

describe('an endpoint publishes', () => {
  test('events, configurations and logs, with the envelopes of a service', async ({ url, probe }) => {
    const events = await probe.listen('events', 'Greeted')
    const configurations = await probe.listen('configurations', 'Rates')
    const logs = await probe.logs('web.INFO')
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
    await web.publish(Greeted, { who: 'Ada' }, { headers: { mine: 1 } })
    await web.publishConfiguration('Rates', { eur: 2 })
    web.log.info('said', { conversationId: 'c7' })
    const event = await events.next()
    expect(jsonOf(event)).toEqual({ who: 'Ada' })
    expect(event.properties).toMatchObject({
      appId: 'web',
      deliveryMode: 2,
      headers: { mine: 1, conversation_id: expect.stringMatching(/^[\da-f-]{36}$/) },
    })
    expect((await configurations.next()).properties.headers?.['conversation_id']).toBe('')
    expect(recordOf(await logs.next())).toMatchObject({ short_message: 'said', _conversation_id: 'c7' })
  })

  test('nothing that does not fit its contract, and says when nobody takes what somebody must', async ({ url }) => {
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
    expect(await outcomeOf(web.publish(Greeted, { who: 1 } as never))).toBe('CONTRACT')
    expect(await outcomeOf(web.publish(Greeted, { who: 'x' }, { mandatory: true }))).toBe('UNROUTABLE')
    expect(await outcomeOf(web.sendCommand('nobody.Do', 1))).toBe('UNROUTABLE')
  })

  test('connects only when it is used, and leaves nothing behind', async ({ url }) => {
    await using proxy = await proxyTo(url)
    const web = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)] })
    await web.close()
    expect(proxy.opened).toBe(0)
    expect(await outcomeOf(web.publish('Late', 1))).toBe('STOPPED')
    expect(proxy.opened).toBe(0)
  })
})

describe('while the broker is away', () => {
  test('publishes wait, and are sent in order to whichever URL works', async ({ url, probe }) => {
    const arrived = await probe.listen('events', 'Kept')
    await using proxy = await proxyTo(url)
    proxy.refuse()
    await using web = new Endpoint({
      ...QUIET,
      name: 'web',
      urls: ['amqp://127.0.0.1:1', proxy.through(url)],
    })
    const outcomes = upTo(20).map((n) => outcomeOf(web.publish('Kept', n)))
    await expect.poll(() => proxy.opened).toBeGreaterThan(0)
    expect(web.pendingPublishes).toBe(20)
    proxy.pass()
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
    await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(20))
  })

  test('a lost connection is made again, and nothing is lost or twice', async ({ url, probe }) => {
    const arrived = await probe.listen('events', 'Survives')
    await using proxy = await proxyTo(url)
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)] })
    await web.publish('Survives', 0)
    proxy.cut()
    const outcomes = upTo(5).map((n) => outcomeOf(web.publish('Survives', n + 1)))
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
    await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(6))
  })

  test('after as many tries as were asked for everything rejects with the cause, and what comes later begins anew', async ({
    url,
    probe,
  }) => {
    const arrived = await probe.listen('events', 'Anew')
    await using proxy = await proxyTo(url)
    proxy.refuse()
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)], maxRetries: 1 })
    const failure: unknown = await web.publish('Anew', 1).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      code: 'CONNECTION',
      message: expect.stringMatching(/^message 'Anew' was not sent: no broker could be reached after 2 tries: /),
      cause: { code: 'CONNECTION' },
    })
    expect(proxy.opened).toBe(2)
    expect(await outcomeOf(web.call(Greet, { who: 'x' }))).toBe('CONNECTION')
    proxy.pass()
    await web.publish('Anew', 2)
    expect(jsonOf(await arrived.next())).toBe(2)
  })

  test('closing waits for the confirms as long as it may, and says what was not confirmed', async ({ url, probe }) => {
    const arrived = await probe.listen('events', 'Closing')
    await using proxy = await proxyTo(url)
    proxy.delay(50)
    const web = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)] })
    const outcomes = upTo(10).map((n) => outcomeOf(web.publish('Closing', n)))
    await web.close()
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
    expect(arrived.size).toBe(10)
    proxy.refuse()
    const stuck = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)], drainTimeoutMs: 100 })
    const outcome = outcomeOf(stuck.publish('Closing', 1))
    await Promise.all([stuck.close(), stuck.close()])
    expect(await outcome).toBe('STOPPED')
  })

  test('a log record that waits for the line goes out when there is room, and holds up no closing', async ({
    url,
    probe,
  }) => {
    await using proxy = await proxyTo(url)
    const drainTimeoutMs = 16_000
    await using endpoint = new Endpoint({ ...QUIET, name: 'slow', urls: [proxy.through(url)], drainTimeoutMs })
    const logs = await probe.logs('slow.INFO')
    await endpoint.publish('Fine', 1)
    proxy.slow(5_000_000)
    const sent = outcomeOf(endpoint.publish('Large', 'x'.repeat(15_000_000)))
    endpoint.log.info('last words')
    const began = performance.now()
    await endpoint.close()
    expect(performance.now() - began).toBeLessThan(drainTimeoutMs / 2)
    expect(await sent).toBe('ok')
    await expect.poll(() => logs.received.map((message) => recordOf(message)['short_message'])).toEqual(['last words'])
  })

  test('its signal closes it', async ({ url }) => {
    const stop = new AbortController()
    const web = new Endpoint({ ...QUIET, name: 'web', urls: [url], signal: stop.signal })
    await web.publish('Before', 1)
    stop.abort()
    await web.close()
    expect(await outcomeOf(web.publish('After', 1))).toBe('STOPPED')
  })
})

describe('a call', () => {
  test('returns the payload of the result, typed, or throws that of the error result', async ({ url }) => {
    await using _greeter = await greeter.start({ ...QUIET, urls: [url] })
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
    // connected before the first call
    await web.publish('Warm', 1)
    const result = await web.call(Greet, { who: 'Ada' })
    expectTypeOf(result).toEqualTypeOf<{ text: string }>()
    expect(result).toEqual({ text: 'Hello Ada' })
    expect(await web.call('greeter.Greet', { who: 'Bob' })).toEqual({ text: 'Hello Bob' })
    const failure: unknown = await web.call(Greet, { who: 'nobody' }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CommandError)
    expect(failure).toMatchObject({ payload: { why: 'there is nobody' } })
    const many = await Promise.all(upTo(200).map((n) => web.call(Greet, { who: String(n) })))
    expect(many.map(({ text }) => text)).toEqual(upTo(200).map((n) => `Hello ${n}`))
  })

  test('never gets the result of another, also not of an endpoint of the same name', async ({ url }) => {
    await using _greeter = await greeter.start({ ...QUIET, urls: [url] })
    const endpoints = upTo(3).map(() => new Endpoint({ ...QUIET, name: 'web', urls: [url] }))
    const texts = await Promise.all(
      endpoints.flatMap((endpoint: EndpointType, n) =>
        upTo(20).map(async (m) => (await endpoint.call(Greet, { who: `${n}-${m}` })).text),
      ),
    )
    expect(texts).toEqual(upTo(3).flatMap((n) => upTo(20).map((m) => `Hello ${n}-${m}`)))
    await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  })

  test('says that nobody takes the command, that nobody answered, or that it was aborted', async ({ url, probe }) => {
    await probe.declareQueue('mute.commands')
    await probe.bind('mute.commands', 'commands', 'mute.#')
    const web = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
    expect(await outcomeOf(web.call('nobody.Do', 1))).toBe('UNROUTABLE')
    const late: unknown = await web.call('mute.Do', 1, { timeoutMs: 500 }).catch((error: unknown) => error)
    expect(late).toMatchObject({
      code: 'CALL_TIMEOUT',
      message:
        "no result of command 'mute.Do' within 500 ms; a queue took it, and nobody has answered yet; one that died gets no answer (see the logs, and the dead letters)",
    })
    const stop = new AbortController()
    const aborted = web.call('mute.Do', 1, { signal: stop.signal })
    stop.abort(new Error('gone home'))
    await expect(aborted).rejects.toThrow('gone home')
    const closed = outcomeOf(web.call('mute.Do', 1))
    await web.close()
    expect(await closed).toBe('STOPPED')
    expect(await outcomeOf(web.call('mute.Do', 1))).toBe('STOPPED')
  })

  test('refuses a result that does not fit the contract, or cannot be decoded', async ({ url, probe }) => {
    await probe.declareQueue('liar.commands')
    await probe.bind('liar.commands', 'commands', 'liar.#')
    const Lie = defineCommand('liar.Lie', { result: z.object({ n: z.number() }) })
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [url] })
    const commands = await probe.consume('liar.commands')
    const answer = async (body: unknown): Promise<string> => {
      const outcome = outcomeOf(web.call(Lie, null))
      const { properties } = await commands.next()
      const headers = { conversation_id: 'c1', status: 'success' }
      const to = { exchange: 'commands', routingKey: String(properties.replyTo) }
      await probe.publish({ ...to, body, headers, correlationId: String(properties.correlationId) })
      return outcome
    }
    expect(await answer({ n: 'one' })).toBe('CONTRACT')
    expect(await answer(Buffer.from('{'))).toBe('PAYLOAD_DECODE')
    expect(await answer({ n: 1 })).toBe('ok')
  })

  test('goes on over a lost connection: its queue is there again before the result can come', async ({ url }) => {
    const goOn = gate()
    await using _slow = await defineService({
      name: 'slow',
      handlers: [
        onCommand('Do', async () => {
          await goOn.opened
          return 'done'
        }),
      ],
    }).start({ ...QUIET, urls: [url] })
    await using proxy = await proxyTo(url)
    const records = new Records()
    await using web = new Endpoint({ ...QUIET, name: 'web', urls: [proxy.through(url)], onLog: records.onLog })
    const result = web.call('slow.Do', 1)
    await expect.poll(() => proxy.opened).toBe(1)
    await web.publish('Sent', 1)
    proxy.cut()
    await web.publish('Again', 1)
    goOn.open()
    expect(await result).toBe('done')
    expect(records.of('WARNING')).toEqual([expect.stringContaining('connection lost')])
  })
})

describe('an endpoint whose queue for results', () => {
  test('was answered for too late goes on with another connection', async ({ url }) => {
    await using proxy = await proxyTo(url)
    await using _greeter = await greeter.start({ ...QUIET, urls: [url] })
    await using caller = new Endpoint({ ...QUIET, name: 'late', urls: [proxy.through(url)], connectTimeoutMs: 500 })
    await caller.publish('Warm', 1)
    proxy.freeze('down')
    const first = outcomeOf(caller.call(Greet, { who: 'Ada' }, { timeoutMs: 10_000 }))
    await expect.poll(() => proxy.opened, { timeout: 10_000 }).toBeGreaterThan(1)
    proxy.pass()
    expect(await first).toBe('ok')
    expect(await outcomeOf(caller.call(Greet, { who: 'Bob' }, { timeoutMs: 10_000 }))).toBe('ok')
  })

  test.skipIf(isDevelopmentBroker)(
    'is not allowed says so to each call, and publishes all the same',
    async ({ url, management }) => {
      const own = '^(events|commands|configurations|logs)$'
      await management.createUser('no-queues', 'secret', { configure: own, write: '.*', read: '.*' })
      const limited = new URL(url)
      limited.username = 'no-queues'
      limited.password = 'secret'
      await using caller = new Endpoint({ ...QUIET, name: 'limited', urls: [limited.href] })
      const outcomes: string[] = []
      for (let n = 0; n < 2; n++) {
        outcomes.push(await outcomeOf(caller.publish('Told', n)))
        outcomes.push(await outcomeOf(caller.call(Greet, { who: 'Ada' }, { timeoutMs: 10_000 })))
      }
      outcomes.push(await outcomeOf(caller.publish('Told', 'last')))
      expect(outcomes).toEqual(['ok', 'TOPOLOGY', 'ok', 'TOPOLOGY', 'ok'])
    },
  )
})

test('an endpoint that has given up closes at once', async ({ url }) => {
  await using proxy = await proxyTo(url)
  proxy.refuse()
  const gone = new Endpoint({
    ...QUIET,
    name: 'gone',
    urls: [proxy.through(url)],
    maxRetries: 0,
    drainTimeoutMs: 15_000,
  })
  expect(await outcomeOf(gone.publish('Lost', 1))).toBe('CONNECTION')
  const closing = gone.close().then(() => 'closed')
  expect(await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, 5_000, 'waits'))])).toBe('closed')
})

test('a wrong option is refused with what is wrong', () => {
  expect(() => new Endpoint({ name: 'web', prefetch: 3 } as never)).toThrow("endpoint: 'prefetch' does not exist")
  expect(() => new Endpoint({ name: 'web', maxRetries: -1 })).toThrow('maxRetries: must be a whole number of 0 or more')
  expect(() => new Endpoint({ name: 'a b' })).toThrow('service name')
  expect(() => new Endpoint({ name: 'web', urls: ['no'] })).toThrow('urls[0]')
})
