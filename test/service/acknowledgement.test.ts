import { defineService, onCommand, onEvent, SETTLE_LATER } from 'eventail'
import { expect, onTestFinished } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import type { Management } from '../bus/management.ts'
import type { Probe } from '../bus/probe.ts'
import { outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

/** A queue that takes one message, and refuses (nacks) all others. It holds one already. */
async function fullQueue(probe: Probe, management: Management, queue: string, exchange: string, key: string) {
  await management.setPolicy(queue, `^${queue}$`, { 'max-length': 1, overflow: 'reject-publish' })
  await probe.declareQueue(queue)
  // the policy takes effect a moment later
  await expect.poll(async () => outcomeOf(probe.publish({ routingKey: queue })), { timeout: 5000 }).not.toBe('ok')
  await probe.bind(queue, exchange, key)
}

test('a message is acknowledged only when what its handler published is confirmed, and it holds back no other', async ({
  url,
  probe,
  management,
}) => {
  await fullQueue(probe, management, 'full-1', 'events', 'Held')
  const gone = await probe.listen('events', 'Gone')
  const ended: string[] = []
  const holder = defineService({
    name: 'holder',
    publishRetryDelayMs: 100,
    drainTimeoutMs: 100,
    handlers: [
      onEvent('Hold', ({ publish }) => {
        // not awaited: it holds back the acknowledgement all the same
        void publish('Held', 1)
        ended.push('Hold')
      }),
      onEvent('Go', ({ payload, publish }) => publish('Gone', payload)),
    ],
  })
  const records = new Records()
  const worker = await holder.start({ ...QUIET, urls: [url], onLog: records.onLog })
  await probe.event('Hold')
  for (let n = 0; n < 10; n++) await probe.event('Go', n)
  for (let n = 0; n < 10; n++) await gone.next()
  // several refusals, and one record about them
  await expect.poll(() => worker.pendingPublishes).toBe(1)
  expect(ended).toEqual(['Hold'])
  expect(records.of('ERROR')).toEqual([expect.stringContaining("refused message 'Held'")])
  await worker.stop()
  expect(await probe.counts('holder.events')).toEqual({ messages: 1, consumers: 0 })
  const back = await (await probe.consume('holder.events')).next()
  expect(back.fields).toMatchObject({ routingKey: 'Hold', redelivered: true })
})

test('what the broker refuses for now is sent again whole, until it is confirmed', async ({
  url,
  probe,
  management,
}) => {
  await fullQueue(probe, management, 'full-2', 'events', 'Refused')
  // another queue gets a copy each time
  const copies = await probe.listen('events', 'Refused')
  const refused = defineService({
    name: 'refused',
    publishRetryDelayMs: 50,
    handlers: [onEvent('Begin', ({ publish }) => publish('Refused', { n: 1 }, { headers: { own: 'header' } }))],
  })
  await using worker = await refused.start({ ...QUIET, urls: [url] })
  await probe.event('Begin', 1, { messageId: 'cause-1' })
  const [first, second] = [await copies.next(), await copies.next()]
  expect(first.properties.headers).toEqual({ conversation_id: 'c1', causation_id: 'cause-1', own: 'header' })
  expect(first.properties).toMatchObject({ appId: 'refused', deliveryMode: 2, contentType: 'application/json' })
  expect(second.properties).toEqual(first.properties)
  expect(second.content).toEqual(first.content)
  const room = await probe.consume('full-2')
  await expect.poll(() => worker.pendingPublishes, { timeout: 5000 }).toBe(0)
  await room.next()
  expect((await room.next()).properties).toEqual(first.properties)
  await expect.poll(() => probe.counts('refused.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a command that was refused for now is still mandatory, and keeps where its result goes', async ({
  url,
  probe,
  management,
}) => {
  await fullQueue(probe, management, 'full-3', 'commands', 'full3.Do')
  const returned: unknown[] = []
  const caller = defineService({
    name: 'caller',
    publishRetryDelayMs: 300,
    hooks: { onReturned: (message) => void returned.push(message) },
  })
  const records = new Records()
  await using worker = await caller.start({ ...QUIET, urls: [url], onLog: records.onLog })
  const options = { replyTo: 'caller.Done', correlationId: 'k7', conversationId: 'c7' }
  const sent = worker.sendCommand('full3.Do', 'it', options)
  const outcome = outcomeOf(sent)
  await expect.poll(() => records.of('ERROR')).toHaveLength(1)
  await probe.deleteQueue('full-3')
  expect(await outcome).toBe('UNROUTABLE')
  expect(returned).toEqual([
    expect.objectContaining({ routingKey: 'full3.Do', payload: 'it', ...options, messageId: expect.any(String) }),
  ])
})

test('a publish that fails without being awaited is a failure of its handler', async ({ url, probe, dead }) => {
  const careless = defineService({
    name: 'careless',
    maxPayloadBytes: 100,
    handlers: [onEvent('Careless', ({ publish }) => void publish('TooLarge', 'x'.repeat(200)))],
  })
  const records = new Records()
  await using _worker = await careless.start({ ...QUIET, urls: [url], onLog: records.onLog })
  await probe.event('Careless')
  expect((await dead.next()).fields.routingKey).toBe('Careless')
  expect(records.of('ALERT', 'EMERGENCY')).toEqual([
    expect.stringContaining('maxPayloadBytes'),
    expect.stringContaining('maxPayloadBytes'),
    'Giving up on Careless',
  ])
})

test('a command whose caller is gone is acknowledged, and its result is reported as returned', async ({
  url,
  probe,
  dead,
}) => {
  const returned: string[] = []
  const lonely = defineService({
    name: 'lonely',
    handlers: [onCommand('Do', () => 'done')],
    hooks: { onReturned: ({ routingKey, correlationId }) => void returned.push(`${routingKey} ${correlationId}`) },
  })
  const records = new Records()
  await using _worker = await lonely.start({ ...QUIET, urls: [url], onLog: records.onLog })
  await probe.command('lonely.Do', 1, { replyTo: 'gone.Result', correlationId: 'k9' })
  await expect.poll(() => returned).toEqual(['gone.Result k9'])
  await expect.poll(() => probe.counts('lonely.commands')).toEqual({ messages: 0, consumers: 1 })
  expect(records.of('ALERT', 'EMERGENCY')).toEqual([])
  expect(dead.size).toBe(0)
})

test('a publish outside of handlers that fails on its way makes no unhandled rejection', async ({ url }) => {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  onTestFinished(() => void process.off('unhandledRejection', onUnhandled))
  const returned: string[] = []
  const worker = await defineService({
    name: 'unawaited',
    hooks: { onReturned: ({ routingKey }) => void returned.push(routingKey) },
  }).start({ ...QUIET, urls: [url] })
  void worker.publish('Nowhere', 1, { mandatory: true })
  void worker.sendCommand('nobody.Do', 1)
  await expect.poll(() => returned).toEqual(['Nowhere', 'nobody.Do'])
  await worker.stop()
  void worker.publish('TooLate', 1)
  void worker.sendCommand('nobody.Do', 1)
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
})

test('a message can be settled only once, whoever tries', async ({ url, probe, management, dead }) => {
  const handled: unknown[] = []
  const twice = defineService({
    name: 'twice',
    prefetch: 10,
    handlers: [
      onEvent('Twice', async ({ payload, ack, nack }) => {
        await Promise.all([ack(), ack({ multiple: true })])
        await nack({ requeue: true })
        handled.push(payload)
      }),
      onEvent('Late', ({ payload, ack, nack, callLater }) => {
        callLater(1, async () => {
          await nack()
          await nack({ requeue: true, multiple: true })
          await ack({ multiple: true })
          handled.push(payload)
        })
        return SETTLE_LATER
      }),
    ],
  })
  const records = new Records()
  await using _worker = await twice.start({ ...QUIET, urls: [url], onLog: records.onLog })
  const names = async (): Promise<string[]> =>
    (await management.connections())
      .filter((one) => one.client_properties.connection_name?.startsWith('twice@'))
      .map(({ name }) => name)
  await expect.poll(names, { timeout: 10_000 }).toHaveLength(2)
  const before = await names()
  for (let n = 0; n < 20; n++) {
    await probe.event(n % 2 === 0 ? 'Twice' : 'Late', n)
    // one after the other: "all before" would be others, too
    await expect.poll(() => handled, { interval: 2 }).toHaveLength(n + 1)
  }
  for (let n = 0; n < 10; n++) expect((await dead.next()).fields.routingKey).toBe('Late')
  await expect.poll(() => probe.counts('twice.events')).toEqual({ messages: 0, consumers: 1 })
  expect(await names()).toEqual(before)
  expect(records.of('EMERGENCY', 'ALERT', 'ERROR', 'WARNING')).toEqual([])
})

test('a message that is settled later is acknowledged only after its publishes, alone or with all before it', async ({
  url,
  probe,
  management,
}) => {
  await fullQueue(probe, management, 'full-4', 'events', 'Slow')
  const acks: (() => Promise<void>)[] = []
  const later = defineService({
    name: 'later',
    prefetch: 10,
    publishRetryDelayMs: 50,
    drainTimeoutMs: 100,
    handlers: [
      onEvent('Later', ({ payload, publish, ack }) => {
        if (payload === 0) void publish('Slow', 0)
        acks.push(() => ack({ multiple: true }))
        return SETTLE_LATER
      }),
    ],
  })
  await using worker = await later.start({ ...QUIET, urls: [url] })
  for (let n = 0; n < 4; n++) await probe.event('Later', n)
  await expect.poll(() => acks).toHaveLength(4)
  let isDone = false
  const done = acks[2]?.().then(() => (isDone = true))
  await expect.poll(() => worker.pendingPublishes).toBe(1)
  expect(isDone).toBe(false)
  await probe.consume('full-4')
  await done
  await worker.stop()
  // the last one was not acknowledged
  expect(await probe.counts('later.events')).toEqual({ messages: 1, consumers: 0 })
})

test('what a handler publishes in the same breath as it acknowledges holds that back', async ({
  url,
  probe,
  management,
}) => {
  await fullQueue(probe, management, 'full-6', 'events', 'HeldInBreath')
  const ended: string[] = []
  const breath = defineService({
    name: 'breath',
    publishRetryDelayMs: 100,
    drainTimeoutMs: 100,
    handlers: [
      onEvent('Breathe', ({ ack, publish }) => {
        ack().catch(() => {})
        void publish('HeldInBreath', 1)
        ended.push('Breathe')
      }),
    ],
  })
  const worker = await breath.start({ ...QUIET, urls: [url] })
  await probe.event('Breathe', 1)
  await expect.poll(() => ended).toHaveLength(1)
  await worker.stop()
  expect(await probe.counts('breath.events')).toEqual({ messages: 1, consumers: 0 })
})

test('an error after the message was settled by hand is told all the same', async ({ url, probe }) => {
  const records = new Records()
  await using _worker = await defineService({
    name: 'hasty',
    handlers: [
      onEvent('Hasty', async ({ ack, nack, payload }) => {
        await (payload === 'ack' ? ack() : nack())
        throw new Error(`after ${String(payload)}`)
      }),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
  await probe.event('Hasty', 'ack')
  await probe.event('Hasty', 'nack')
  await expect
    .poll(() => records.of('ALERT'))
    .toEqual(['ack', 'nack'].map((how) => `unexpected error while handling Hasty: after ${how}`))
  expect(records.of('EMERGENCY')).toEqual([])
  await expect.poll(() => probe.counts('hasty.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a command gets one result, however many its handler sends', async ({ url, probe }) => {
  const results = await probe.listen('commands', 'probe.Result')
  const refused: string[] = []
  await using _worker = await defineService({
    name: 'talkative',
    format: 'json',
    handlers: [
      onCommand('Do', async ({ success, error, ack }) => {
        await success(1)
        for (const again of [success(2), error(3)]) await again.catch((problem: Error) => refused.push(problem.message))
        await ack()
        return SETTLE_LATER
      }),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE' })
  await probe.command('talkative.Do')
  await expect.poll(() => refused).toHaveLength(2)
  expect(refused[0]).toBe("success: command 'talkative.Do' has its result already: it gets only one")
  await expect.poll(() => probe.counts('talkative.commands')).toEqual({ messages: 0, consumers: 1 })
  expect(results.received.map(jsonOf)).toEqual([1])
})
