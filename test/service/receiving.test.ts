/** What a worker makes of the messages that peers put on its queues, the malformed and the hostile ones included. */
import type { ConsumeMessage, Options } from 'amqplib'
import { encode } from 'cborg'
import { defineService, type EventContext, onCommand, onConfiguration, onEvent, onResult } from 'eventail'
import { describe, expect } from 'vitest'
import { type Listening, type Probe, test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

const IN_CONVERSATION = { headers: { conversation_id: 'c1' } }
/** Absent for amqplib, which would otherwise say that the body is JSON. */
const NO_TYPE = { contentType: undefined } as unknown as Options.Publish

/** Dead-lettered by its first and only rejection. */
function expectRejectedOnce(message: ConsumeMessage): void {
  expect(message.properties.headers?.['x-death']).toMatchObject([{ reason: 'rejected', count: 1 }])
  expect(message.properties.headers?.['x-death']).toHaveLength(1)
}

/** A service that keeps the events `Seen`, and what it logs from ERROR on. */
function seeing(name: string): {
  events: EventContext[]
  records: Records
  start: (url: string) => Promise<AsyncDisposable>
} {
  const events: EventContext[] = []
  const records = new Records()
  const service = defineService({ name, handlers: [onEvent('Seen', (event) => events.push(event))] })
  return {
    events,
    records,
    start: (url) => service.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog }),
  }
}

async function refusals(logs: Listening, count: number): Promise<unknown[]> {
  const records: unknown[] = []
  for (let n = 0; n < count; n++) {
    const { content } = await logs.next()
    const { _levelname, _conversation_id, short_message } = JSON.parse(content.toString())
    records.push([_levelname, _conversation_id, short_message])
  }
  return records
}

describe('a message without a conversation', () => {
  test('is dead at once: an event, a command or a result, without the header or with null', async ({
    url,
    probe,
    dead,
  }) => {
    const calls: unknown[] = []
    const strict = defineService({
      name: 'strict',
      handlers: [
        onEvent('Lost', ({ payload }) => calls.push(payload)),
        onCommand('Lost', ({ payload }) => calls.push(payload)),
        onResult('LostResult', ({ payload }) => calls.push(payload)),
      ],
    })
    const logs = await probe.logs('strict.EMERGENCY', 'strict.ALERT')
    await using _worker = await strict.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Lost', 1, { headers: {} })
    await probe.event('Lost', 1, { headers: undefined })
    await probe.event('Lost', 1, { headers: { conversation_id: null } })
    await probe.command('strict.Lost', 1, { headers: {} })
    await probe.publish({ exchange: 'commands', routingKey: 'strict.LostResult', headers: { status: 'success' } })
    for (let n = 0; n < 5; n++) expectRejectedOnce(await dead.next())
    const text = (key: string): unknown[] => [
      'EMERGENCY',
      '',
      `message '${key}' is not valid: it has no conversation_id header (dead-lettered)`,
    ]
    const told = await refusals(logs, 5)
    expect(told).toEqual(expect.arrayContaining([text('Lost'), text('strict.Lost'), text('strict.LostResult')]))
    expect(logs.size).toBe(0)
    expect(calls).toEqual([])
  })

  test('is welcome when it is a configuration', async ({ url, probe }) => {
    const conversations: string[] = []
    const lenient = defineService({
      name: 'lenient',
      handlers: [
        onConfiguration('Conf', ({ conversationId }) => {
          conversations.push(conversationId)
          return true
        }),
      ],
    })
    await using worker = await lenient.start({ urls: [url], stderrLevel: 'ERROR' })
    const configure = (headers: Record<string, unknown>): Promise<void> =>
      probe.publish({ exchange: 'configurations', routingKey: 'Conf', headers })
    await configure({})
    await configure({ conversation_id: '' })
    await configure({ conversation_id: 'c9' })
    await expect.poll(() => conversations).toEqual(['', '', 'c9'])
    expect(worker.state).toBe('ready')
  })
})

test('a conversation id of another type is used as text', async ({ url, probe, dead }) => {
  const { events, start } = seeing('texts')
  await using _worker = await start(url)
  const ids = [42, 1.5, true, [1, 'a'], { a: 1 }, { '!': 'int64', value: 7 }, { '!': 'timestamp', value: 0 }, '']
  for (const id of ids) await probe.event('Seen', null, { headers: { conversation_id: id } })
  await expect.poll(() => events.length).toBe(ids.length)
  expect(events.map(({ conversationId }) => conversationId)).toEqual([
    '42',
    '1.5',
    'true',
    '[1,"a"]',
    '{"a":1}',
    '7',
    '"1970-01-01T00:00:00.000Z"',
    '',
  ])
  expect(dead.size).toBe(0)
})

describe('a body', () => {
  test('that cannot be decoded is dead at once, and told with the conversation', async ({ url, probe, dead }) => {
    const { events, records, start } = seeing('decoding')
    const logs = await probe.logs('decoding.EMERGENCY')
    await using _worker = await start(url)
    const cbor = { contentType: 'application/cbor' }
    const json = { contentType: 'application/json' }
    const bad: [string, Buffer, Options.Publish][] = [
      ['truncated CBOR', Buffer.from([0x82, 0x01]), cbor],
      ['bytes behind CBOR', Buffer.from([0x01, 0x01]), cbor],
      ['JSON that is said to be CBOR', Buffer.from('{"a":1}'), cbor],
      ['CBOR that is said to be JSON', Buffer.from(encode({ a: 1 })), json],
      ['CBOR that is said to be nothing', Buffer.from(encode({ a: 1 })), NO_TYPE],
      ['truncated JSON', Buffer.from('{"a":'), json],
      ['JSON in Latin-1', Buffer.from('"\xe9"', 'latin1'), json],
      ['deep JSON', Buffer.from('['.repeat(5000) + ']'.repeat(5000)), json],
      ['deep CBOR', Buffer.concat([Buffer.alloc(5000, 0x81), Buffer.from([1])]), cbor],
    ]
    for (const [, body, type] of bad) await probe.event('Seen', body, { ...IN_CONVERSATION, ...type })
    for (const [what, body] of bad) {
      const message = await dead.next()
      expect(Buffer.compare(message.content, body), what).toBe(0)
      expectRejectedOnce(message)
    }
    for (const record of await refusals(logs, bad.length)) {
      expect(record).toEqual(['EMERGENCY', 'c1', expect.stringMatching(/^message 'Seen': .*\(dead-lettered\)$/)])
    }
    await probe.event('Seen', 'still here')
    await expect.poll(() => events.map(({ payload }) => payload)).toEqual(['still here'])
    expect(records.of('ALERT', 'ERROR', 'WARNING')).toEqual([])
  })

  test('that is empty is null, whatever its type', async ({ url, probe, dead }) => {
    const { events, start } = seeing('empty')
    await using _worker = await start(url)
    const empty = Buffer.alloc(0)
    await probe.event('Seen', empty, { ...IN_CONVERSATION, contentType: 'application/cbor' })
    await probe.event('Seen', empty, { ...IN_CONVERSATION, contentType: 'application/json' })
    await probe.event('Seen', empty, { ...IN_CONVERSATION, ...NO_TYPE })
    await expect.poll(() => events.map(({ payload }) => payload)).toEqual([null, null, null])
    expect(dead.size).toBe(0)
  })

  test('is CBOR when its type is exactly application/cbor, and JSON otherwise', async ({ url, probe, dead }) => {
    const { events, start } = seeing('typed')
    await using _worker = await start(url)
    // 0x31 is -18 in CBOR, and 1 in JSON
    const body = Buffer.from([0x31])
    const types = [
      'application/cbor',
      'application/json',
      'Application/CBOR',
      'application/cbor; x=1',
      'text/plain',
      '',
    ]
    for (const contentType of types) await probe.event('Seen', body, { ...IN_CONVERSATION, contentType })
    await probe.event('Seen', body, { ...IN_CONVERSATION, ...NO_TYPE })
    await expect.poll(() => events.map(({ payload }) => payload)).toEqual([-18, 1, 1, 1, 1, 1, 1])
    expect(dead.size).toBe(0)
  })
})

describe('on the command queue', () => {
  type Seen = ['command' | 'result', string, unknown, string]

  async function listening(name: string, url: string): Promise<{ seen: Seen[]; worker: AsyncDisposable }> {
    const seen: Seen[] = []
    const service = defineService({
      name,
      handlers: [
        onCommand('Do', ({ replyTo, payload, correlationId }) => {
          seen.push(['command', replyTo, payload, correlationId])
        }),
        onResult('Done', ({ status, payload, correlationId }) => {
          seen.push(['result', status, payload, correlationId])
        }),
      ],
    })
    return { seen, worker: await service.start({ urls: [url], stderrLevel: 'NONE' }) }
  }

  function put(probe: Probe, key: string, options: Options.Publish): Promise<void> {
    return probe.publish({ exchange: 'commands', routingKey: key, body: 1, ...options })
  }

  test('reply_to makes a command, else status makes a result, and empty is absent', async ({ url, probe, dead }) => {
    const { seen, worker } = await listening('reader', url)
    await using _worker = worker
    await put(probe, 'reader.Do', { ...IN_CONVERSATION, replyTo: 'probe.Result', correlationId: 'k1' })
    await put(probe, 'reader.Do', { headers: { conversation_id: 'c1', status: 'success' }, replyTo: 'probe.Result' })
    await put(probe, 'reader.Done', { headers: { conversation_id: 'c1', status: 'success' }, correlationId: 'k2' })
    await put(probe, 'reader.Done', {
      headers: { conversation_id: 'c1', status: 'error' },
      replyTo: '',
      correlationId: '',
    })
    await expect
      .poll(() => seen)
      .toEqual([
        ['command', 'probe.Result', 1, 'k1'],
        ['command', 'probe.Result', 1, ''],
        ['result', 'success', 1, 'k2'],
        ['result', 'error', 1, ''],
      ])
    expect(dead.size).toBe(0)
  })

  test('what is neither a command nor a result is dead at once', async ({ url, probe, dead }) => {
    const { seen, worker } = await listening('neither', url)
    await using _worker = worker
    const logs = await probe.logs('neither.EMERGENCY')
    await put(probe, 'neither.Do', IN_CONVERSATION)
    await put(probe, 'neither.Do', { ...IN_CONVERSATION, replyTo: '' })
    await put(probe, 'neither.Done', { headers: { conversation_id: 'c1', status: null } })
    await put(probe, 'neither.Done', { headers: { conversation_id: 'c1', status: 'maybe' } })
    await put(probe, 'neither.Done', { headers: { conversation_id: 'c1', status: ['success'] } })
    for (let n = 0; n < 5; n++) expectRejectedOnce(await dead.next())
    const problem = 'it has neither reply_to (a command) nor a status header (a result)'
    expect(await refusals(logs, 5)).toEqual([
      ['EMERGENCY', 'c1', `message 'neither.Do' is not valid: ${problem} (dead-lettered)`],
      ['EMERGENCY', 'c1', `message 'neither.Do' is not valid: ${problem} (dead-lettered)`],
      ['EMERGENCY', 'c1', `message 'neither.Done' is not valid: ${problem} (dead-lettered)`],
      ['EMERGENCY', 'c1', expect.stringContaining("its status is 'maybe'")],
      ['EMERGENCY', 'c1', expect.stringContaining('its status is \'["success"]\'')],
    ])
    expect(seen).toEqual([])
  })
})

test('what came along with a message reaches the handler', async ({ url, probe }) => {
  const { events, start } = seeing('metadata')
  await using _worker = await start(url)
  await probe.event('Seen', 1, {
    headers: { conversation_id: 'c1', causation_id: 'm0', 'x-own': 'mine', number: 7, table: { a: [1] }, status: 'x' },
    messageId: 'm1',
    timestamp: 1_700_000_000,
    expiration: '60000',
    userId: 'guest',
    appId: 'probe',
    contentEncoding: 'binary',
    priority: 0,
    type: 'ignored',
  })
  await probe.event('Seen', 2, { replyTo: '', correlationId: '' })
  await expect.poll(() => events.length).toBe(2)
  const [full, bare] = events
  const headers = { causation_id: 'm0', 'x-own': 'mine', number: 7, table: { a: [1] } }
  expect(full).toMatchObject({ messageId: 'm1', name: 'Seen', routingKey: 'Seen', service: 'metadata', headers })
  expect(full?.metadata).toEqual({
    headers,
    exchange: 'events',
    deliveryTag: expect.any(Number),
    redelivered: false,
    messageId: 'm1',
    causationId: 'm0',
    timestamp: new Date(1_700_000_000_000),
    expiration: '60000',
    userId: 'guest',
    appId: 'probe',
  })
  expect(bare?.metadata).toEqual({
    headers: {},
    exchange: 'events',
    deliveryTag: (full?.metadata.deliveryTag ?? 0) + 1,
    redelivered: false,
    messageId: undefined,
    causationId: undefined,
    timestamp: undefined,
    expiration: undefined,
    userId: undefined,
    appId: undefined,
  })
})

test('what comes by the default exchange, or by another one, is read by its queue and never as a configuration', async ({
  url,
  probe,
  dead,
}) => {
  const configurations: string[] = []
  const events: string[] = []
  const guarded = defineService({
    name: 'guarded',
    handlers: [
      onConfiguration('#', ({ routingKey }) => {
        configurations.push(routingKey)
        return true
      }),
      onEvent('Side', ({ routingKey, metadata }) => events.push(`${metadata.exchange}/${routingKey}`)),
      onCommand('Do', () => 1),
    ],
  })
  const logs = await probe.logs('guarded.ERROR', 'guarded.EMERGENCY')
  await using _worker = await guarded.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.publish({ exchange: 'configurations', routingKey: 'Go' })
  await expect.poll(() => configurations).toEqual(['Go'])
  await probe.publish({ routingKey: 'guarded.events', ...IN_CONVERSATION })
  expect((await dead.next()).fields.routingKey).toBe('guarded.events')
  await probe.publish({ routingKey: 'guarded.commands', ...IN_CONVERSATION, replyTo: 'probe.Result' })
  expect((await dead.next()).fields.routingKey).toBe('guarded.commands')
  expect(await refusals(logs, 2)).toEqual([
    ['ERROR', 'c1', 'unexpected event guarded.events; check your subscriptions! (dead-lettered)'],
    ['ERROR', 'c1', 'unexpected command guarded.commands; check your subscriptions! (dead-lettered)'],
  ])
  await probe.bind('guarded.events', 'side-exchange', '#')
  await probe.publish({ exchange: 'side-exchange', routingKey: 'Side', ...IN_CONVERSATION })
  await expect.poll(() => events).toEqual(['side-exchange/Side'])
  expect(configurations).toEqual(['Go'])
})
