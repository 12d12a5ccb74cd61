/** What is on the wire, property by property, as a peer sees it that is not our code. */
import type { ConsumeMessage } from 'amqplib'
import { decode } from 'cborg'
import { CommandError, defineService, onCommand, onConfiguration, onEvent, onResult, UnroutableError } from 'eventail'
import { describe, expect } from 'vitest'
import { test } from '../bus/bus.ts'

const UUID7 = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)

/** The properties that are on the wire. */
function propertiesOf({ properties }: ConsumeMessage): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}

/** What every message of a service carries. */
function ofService(appId: string): Record<string, unknown> {
  return {
    deliveryMode: 2,
    contentType: 'application/cbor',
    messageId: UUID7,
    timestamp: expect.any(Number),
    appId,
  }
}

describe('an event', () => {
  test('that is initial begins a conversation, and carries these properties and no others', async ({ url, probe }) => {
    const events = await probe.listen('events', 'Began')
    await using worker = await defineService({ name: 'beginner' }).start({ urls: [url], stderrLevel: 'ERROR' })
    await worker.publish('Began', { n: 1 })
    await worker.publish('Began', { n: 2 })
    const [first, second] = [await events.next(), await events.next()]
    expect(first.fields).toMatchObject({ exchange: 'events', routingKey: 'Began', redelivered: false })
    expect(propertiesOf(first)).toEqual({ ...ofService('beginner'), headers: { conversation_id: UUID7 } })
    expect(Math.abs(first.properties.timestamp - Date.now() / 1000)).toBeLessThan(10)
    expect(decode(first.content)).toEqual({ n: 1 })
    expect(second.properties.messageId).not.toBe(first.properties.messageId)
    expect(second.properties.headers?.['conversation_id']).not.toBe(first.properties.headers?.['conversation_id'])
  })

  test('that is a reaction has the conversation and the id of its cause', async ({ url, probe }) => {
    const reactor = defineService({
      name: 'reactor',
      handlers: [onEvent('Cause', ({ publish }) => publish('Effect', null, { headers: { 'x-own': 7 } }))],
    })
    const events = await probe.listen('events', 'Effect')
    await using _worker = await reactor.start({ urls: [url], stderrLevel: 'ERROR' })
    await probe.event('Cause', 1, { messageId: 'm-1' })
    const effect = await events.next()
    expect(propertiesOf(effect)).toEqual({
      ...ofService('reactor'),
      headers: { conversation_id: 'c1', causation_id: 'm-1', 'x-own': 7 },
    })
    await probe.event('Cause', 1)
    expect((await events.next()).properties.headers).toEqual({ conversation_id: 'c1', 'x-own': 7 })
  })

  test('takes a conversation and an expiration where they are given', async ({ url, probe }) => {
    const events = await probe.listen('events', 'Given')
    await using worker = await defineService({ name: 'giver' }).start({ urls: [url], stderrLevel: 'ERROR' })
    await worker.publish('Given', 1, { conversationId: 'mine', expirationMs: 60_000 })
    expect((await events.next()).properties).toMatchObject({
      headers: { conversation_id: 'mine' },
      expiration: '60000',
    })
  })
})

describe('a command', () => {
  test('says where its result goes, and carries these properties and no others', async ({ url, probe }) => {
    const commands = await probe.listen('commands', 'worker.Do')
    await using worker = await defineService({ name: 'sender' }).start({ urls: [url], stderrLevel: 'ERROR' })
    const sent = await worker.sendCommand('worker.Do', { n: 1 })
    const message = await commands.next()
    expect(message.fields).toMatchObject({ exchange: 'commands', routingKey: 'worker.Do' })
    expect(propertiesOf(message)).toEqual({
      ...ofService('sender'),
      messageId: sent.messageId,
      correlationId: sent.correlationId,
      replyTo: 'sender.DoResult',
      headers: { conversation_id: UUID7 },
    })
    expect(sent).toEqual({ messageId: UUID7, correlationId: UUID7 })
  })

  test('takes the reply_to and correlation_id that its sender chose', async ({ url, probe }) => {
    const commands = await probe.listen('commands', 'worker.Choose')
    await using worker = await defineService({ name: 'chooser' }).start({ urls: [url], stderrLevel: 'ERROR' })
    await worker.sendCommand('worker.Choose', 1, { replyTo: 'Chosen', correlationId: 'k-9' })
    expect((await commands.next()).properties).toMatchObject({ replyTo: 'chooser.Chosen', correlationId: 'k-9' })
    await worker.sendCommand('worker.Choose', 1, { replyTo: 'other.Chosen' })
    expect((await commands.next()).properties).toMatchObject({ replyTo: 'other.Chosen' })
  })

  test('that is a reaction stays in the conversation', async ({ url, probe }) => {
    const delegator = defineService({
      name: 'delegator',
      handlers: [onEvent('Asked', ({ sendCommand }) => sendCommand('worker.Help', 1))],
    })
    const commands = await probe.listen('commands', 'worker.Help')
    await using _worker = await delegator.start({ urls: [url], stderrLevel: 'ERROR' })
    await probe.event('Asked', 1, { messageId: 'm-2' })
    expect((await commands.next()).properties.headers).toEqual({ conversation_id: 'c1', causation_id: 'm-2' })
  })
})

test('a result has the status, the correlation_id and the conversation of its command, and no reply_to', async ({
  url,
  probe,
}) => {
  const answerer = defineService({
    name: 'answerer',
    handlers: [
      onCommand('Succeed', () => ({ ok: true })),
      onCommand('Refuse', () => {
        throw new CommandError('no such thing')
      }),
    ],
  })
  const results = await probe.listen('commands', 'probe.Result')
  await using _worker = await answerer.start({ urls: [url], stderrLevel: 'ERROR' })
  await probe.command('answerer.Succeed', null, { messageId: 'm-3' })
  const success = await results.next()
  expect(success.fields).toMatchObject({ exchange: 'commands', routingKey: 'probe.Result' })
  expect(propertiesOf(success)).toEqual({
    ...ofService('answerer'),
    correlationId: 'k1',
    headers: { conversation_id: 'c1', causation_id: 'm-3', status: 'success' },
  })
  expect(decode(success.content)).toEqual({ ok: true })

  await probe.command('answerer.Refuse', null, { correlationId: '' })
  const refusal = await results.next()
  expect(propertiesOf(refusal)).toEqual({
    ...ofService('answerer'),
    headers: { conversation_id: 'c1', status: 'error' },
  })
  expect(decode(refusal.content)).toEqual({ reason: 'no such thing' })
})

test('a configuration is persistent and belongs to no conversation, unless it is given one', async ({ url, probe }) => {
  const configurer = defineService({
    name: 'configurer',
    handlers: [onEvent('Wanted', ({ publishConfiguration }) => publishConfiguration('Conf', { n: 2 }))],
  })
  const configurations = await probe.listen('configurations', 'Conf')
  await using worker = await configurer.start({ urls: [url], stderrLevel: 'ERROR' })
  await worker.publishConfiguration('Conf', { n: 1 })
  const message = await configurations.next()
  expect(message.fields).toMatchObject({ exchange: 'configurations', routingKey: 'Conf' })
  expect(propertiesOf(message)).toEqual({ ...ofService('configurer'), headers: { conversation_id: '' } })
  await probe.event('Wanted')
  expect((await configurations.next()).properties.headers).toEqual({ conversation_id: '' })
  await worker.publishConfiguration('Conf', 3, { conversationId: 'c3' })
  expect((await configurations.next()).properties.headers).toEqual({ conversation_id: 'c3' })
})

test('what follows from a configuration begins a conversation', async ({ url, probe }) => {
  const configured = defineService({
    name: 'configured',
    handlers: [
      onConfiguration('Start', async ({ publish }) => {
        await publish('Configured', 1)
        await publish('Configured', 2)
        return true
      }),
    ],
  })
  const events = await probe.listen('events', 'Configured')
  await using _worker = await configured.start({ urls: [url], stderrLevel: 'ERROR' })
  await probe.publish({ exchange: 'configurations', routingKey: 'Start', headers: { conversation_id: '' } })
  const [first, second] = [await events.next(), await events.next()]
  expect(first.properties.headers?.['conversation_id']).toEqual(UUID7)
  expect(second.properties.headers?.['conversation_id']).toBe(first.properties.headers?.['conversation_id'])
})

test('a log is UTF-8 JSON that the broker does not keep, with neither headers nor ids', async ({ url, probe }) => {
  const logs = await probe.logs('logging.INFO')
  await using worker = await defineService({ name: 'logging' }).start({ urls: [url], stderrLevel: 'ERROR' })
  await logs.next()
  worker.log.info('déjà vu')
  const message = await logs.next()
  expect(message.fields).toMatchObject({ exchange: 'logs', routingKey: 'logging.INFO' })
  const { deliveryMode, headers, ...properties } = propertiesOf(message)
  expect(deliveryMode ?? 1).toBe(1)
  expect(headers ?? {}).toEqual({})
  expect(properties).toEqual({ contentType: 'application/json' })
  expect(message.content.toString('utf8')).toContain('"short_message":"déjà vu"')
})

test('by default it is an error when no queue takes a command or a result, and none for events and configurations', async ({
  url,
  probe,
}) => {
  const returned: string[] = []
  const lonely = defineService({
    name: 'lonely',
    handlers: [onCommand('Answer', () => 1)],
    hooks: { onReturned: ({ routingKey }) => returned.push(routingKey) },
  })
  await using worker = await lonely.start({ urls: [url], stderrLevel: 'NONE' })
  await worker.publish('Unheard', 1)
  await worker.publishConfiguration('Unheard', 1)
  await worker.sendCommand('nobody.Optional', 1, { mandatory: false })
  expect(returned).toEqual([])
  await expect(worker.sendCommand('nobody.Do', 1)).rejects.toBeInstanceOf(UnroutableError)
  await expect(worker.publish('Needed', 1, { mandatory: true })).rejects.toBeInstanceOf(UnroutableError)
  await expect(worker.publishConfiguration('Needed', 1, { mandatory: true })).rejects.toBeInstanceOf(UnroutableError)
  expect(returned).toEqual(['nobody.Do', 'Needed', 'Needed'])
  await probe.command('lonely.Answer', null, { replyTo: 'gone.Result' })
  await expect.poll(() => returned.at(-1)).toBe('gone.Result')
  await expect.poll(() => probe.counts('lonely.commands')).toEqual({ messages: 0, consumers: 1 })
})

test('JSON payloads are UTF-8 in which nothing is escaped', async ({ url, probe }) => {
  const events = await probe.listen('events', 'Said')
  await using worker = await defineService({ name: 'speaker', format: 'json' }).start({
    urls: [url],
    stderrLevel: 'ERROR',
  })
  await worker.publish('Said', { text: 'déjà vu – 日本 🎈' })
  const message = await events.next()
  expect(message.properties.contentType).toBe('application/json')
  expect(message.content.toString('utf8')).toBe('{"text":"déjà vu – 日本 🎈"}')
})

describe('payloads', () => {
  test('of both formats reach the handler as what was sent', async ({ url }) => {
    const payload = { deep: [{ er: [null, true, -1.5, 'ü', [[]], {}] }], __proto_: 1, '': 0 }
    const seen: unknown[] = []
    const receiver = defineService({
      name: 'receiver',
      handlers: [onEvent('Sent', (event) => seen.push(event.payload))],
    })
    await using _worker = await receiver.start({ urls: [url], stderrLevel: 'ERROR' })
    for (const format of ['cbor', 'json'] as const) {
      await using sender = await defineService({ name: `in-${format}`, format }).start({
        urls: [url],
        stderrLevel: 'ERROR',
      })
      await sender.publish('Sent', payload)
    }
    await expect.poll(() => seen).toEqual([payload, payload])
  })

  test('of 5 MB of bytes, and integers of 64 bits, go there and back', async ({ url }) => {
    const audio = new Uint8Array(5_000_000).map((_, index) => (index * 31) % 251)
    const echoed: unknown[] = []
    const echo = defineService({ name: 'echo', handlers: [onCommand('Echo', ({ payload }) => payload)] })
    const caller = defineService({
      name: 'caller',
      handlers: [onResult('EchoResult', ({ payload }) => echoed.push(payload))],
    })
    await using _echo = await echo.start({ urls: [url], stderrLevel: 'ERROR' })
    await using worker = await caller.start({ urls: [url], stderrLevel: 'ERROR' })
    await worker.sendCommand('echo.Echo', { audio, big: 2n ** 63n, small: -(2n ** 64n), safe: 5n })
    await expect.poll(() => echoed.length).toBe(1)
    const { audio: back, ...integers } = echoed[0] as { audio: Uint8Array }
    expect(Buffer.compare(back, audio)).toBe(0)
    expect(integers).toEqual({ big: 2n ** 63n, small: -(2n ** 64n), safe: 5 })
  })

  test('that hold a key such as __proto__ change nothing but themselves', async ({ url, probe }) => {
    const passer = defineService({
      name: 'passer',
      format: 'json',
      handlers: [onEvent('Poison', ({ payload, publish }) => publish('Passed', payload))],
    })
    const events = await probe.listen('events', 'Passed')
    await using _worker = await passer.start({ urls: [url], stderrLevel: 'ERROR' })
    const body = Buffer.from('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')
    await probe.event('Poison', body, { contentType: 'application/json' })
    expect((await events.next()).content.toString()).toBe(body.toString())
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})
