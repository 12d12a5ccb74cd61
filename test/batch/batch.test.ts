/** Batches: when they are handled, and that no message of one is lost or acknowledged before its time. */
import { createBatch, defineService, type EventContext, InvalidSettingError, onEvent } from 'eventail'
import { describe, expect } from 'vitest'
import { jsonOf, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, gate, Records } from '../bus/watched.ts'

const NEVER_MS = 600_000

/** A batch that keeps what it handled. */
function keeping(
  limits: { maxEntries: number; timeoutMs: number },
  then: (messages: readonly EventContext[]) => unknown = () => {},
) {
  const handled: unknown[][] = []
  const batch = createBatch<EventContext>({
    ...limits,
    handle: (messages) => {
      handled.push(messages.map(({ payload }) => payload))
      return then(messages)
    },
  })
  return { batch, handled }
}

describe('a batch is handled', () => {
  test('when it is full, in the order of arrival, and acknowledged after that', async ({ url, probe }) => {
    const busy = gate()
    const { batch, handled } = keeping({ maxEntries: 3, timeoutMs: NEVER_MS }, () => busy.opened)
    const full = defineService({
      name: 'full',
      prefetch: 10,
      drainTimeoutMs: 0,
      handlers: [onEvent('Entry', batch.push)],
    })
    const worker = await full.start({ urls: [url], stderrLevel: 'NONE' })
    for (let n = 0; n < 4; n++) await probe.event('Entry', n)
    await expect.poll(() => handled).toEqual([[0, 1, 2]])
    await expect.poll(() => batch.size).toBe(1)
    // handled but not done: all are still the broker's
    await worker.stop()
    expect(await probe.counts('full.events')).toEqual({ messages: 4, consumers: 0 })
    busy.open()
    handled.length = 0
    await using again = await full.start({ urls: [url], stderrLevel: 'NONE', drainTimeoutMs: 10_000 })
    await expect.poll(() => handled).toEqual([[0, 1, 2]])
    await expect.poll(() => batch.size).toBe(1)
    await again.stop()
    expect(handled).toEqual([[0, 1, 2], [3]])
    expect(await probe.counts('full.events')).toEqual({ messages: 0, consumers: 0 })
  })

  test('when its time is over, with what is there', async ({ url, probe }) => {
    const { batch, handled } = keeping({ maxEntries: 100, timeoutMs: 100 })
    const timed = defineService({ name: 'timed', prefetch: 100, handlers: [onEvent('Entry', batch.push)] })
    await using _worker = await timed.start({ urls: [url], stderrLevel: 'NONE' })
    for (let n = 0; n < 3; n++) void probe.event('Entry', n)
    await expect.poll(() => handled).toEqual([[0, 1, 2]])
    await probe.event('Entry', 3)
    await expect.poll(() => handled).toEqual([[0, 1, 2], [3]])
    await expect.poll(() => probe.counts('timed.events')).toEqual({ messages: 0, consumers: 1 })
    expect(batch.size).toBe(0)
  })

  test('in no more than its size at a time, and the rest waits for more', async ({ url, probe }) => {
    const { batch, handled } = keeping({ maxEntries: 3, timeoutMs: NEVER_MS })
    const many = defineService({ name: 'many', prefetch: 10, handlers: [onEvent('Entry', batch.push)] })
    await (await many.start({ urls: [url], stderrLevel: 'NONE' })).stop()
    // all of them come in one go
    for (let n = 0; n < 8; n++) await probe.event('Entry', n)
    const worker = await many.start({ urls: [url], stderrLevel: 'NONE' })
    await expect.poll(() => handled.flat().length).toBeGreaterThan(5)
    await probe.event('Entry', 8)
    await expect
      .poll(() => handled)
      .toEqual([
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
      ])
    await worker.stop()
    expect(await probe.counts('many.events')).toEqual({ messages: 0, consumers: 0 })
  })

  test('in the time of its own first message, also what is left over from a full one', async ({ url, probe }) => {
    const { batch, handled } = keeping({ maxEntries: 3, timeoutMs: 150 })
    const left = defineService({ name: 'left', prefetch: 10, handlers: [onEvent('Entry', batch.push)] })
    await (await left.start({ urls: [url], stderrLevel: 'NONE' })).stop()
    for (let n = 0; n < 4; n++) await probe.event('Entry', n)
    await using _worker = await left.start({ urls: [url], stderrLevel: 'NONE' })
    await expect.poll(() => handled).toEqual([[0, 1, 2], [3]])
  })

  test('by hand at any time', async ({ url, probe }) => {
    const { batch, handled } = keeping({ maxEntries: 100, timeoutMs: NEVER_MS })
    const byHand = defineService({ name: 'by-hand', prefetch: 100, handlers: [onEvent('Entry', batch.push)] })
    await using _worker = await byHand.start({ urls: [url], stderrLevel: 'NONE' })
    await batch.flush()
    await probe.event('Entry', 1)
    await probe.event('Entry', 2)
    await expect.poll(() => batch.size).toBe(2)
    await batch.flush()
    expect([handled, batch.size]).toEqual([[[1, 2]], 0])
    await batch.flush()
    expect(handled).toHaveLength(1)
    await expect.poll(() => probe.counts('by-hand.events')).toEqual({ messages: 0, consumers: 1 })
  })

  test('when its service stops, before it has', async ({ url, probe }) => {
    const { batch, handled } = keeping({ maxEntries: 100, timeoutMs: NEVER_MS }, ([first]) =>
      first?.publish('Flushed', 'at the end'),
    )
    const stopping = defineService({
      name: 'stopping',
      prefetch: 100,
      format: 'json',
      handlers: [onEvent('Entry', batch.push)],
    })
    const events = await probe.listen('events', 'Flushed')
    const worker = await stopping.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Entry', 1)
    await probe.event('Entry', 2)
    await expect.poll(() => batch.size).toBe(2)
    await worker.stop()
    expect(handled).toEqual([[1, 2]])
    expect(jsonOf(await events.next())).toBe('at the end')
    expect(await probe.counts('stopping.events')).toEqual({ messages: 0, consumers: 0 })
  })
})

test('a batch that fails gets each of its messages once more, and then they are dead', async ({ url, probe, dead }) => {
  const { batch, handled } = keeping({ maxEntries: 2, timeoutMs: NEVER_MS }, () => {
    throw new Error('spoilt')
  })
  const spoiling = defineService({ name: 'spoiling', prefetch: 2, handlers: [onEvent('Entry', batch.push)] })
  const logs = await probe.logs('spoiling.ALERT', 'spoiling.EMERGENCY')
  await using _worker = await spoiling.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Entry', 1, { headers: { conversation_id: 'c1' } })
  await probe.event('Entry', 2, { headers: { conversation_id: 'c2' } })
  const bodies = [jsonOf(await dead.next()), jsonOf(await dead.next())]
  expect(new Set(bodies)).toEqual(new Set([1, 2]))
  expect(handled.map((messages) => new Set(messages))).toEqual([new Set([1, 2]), new Set([1, 2])])
  const records = [await logs.next(), await logs.next(), await logs.next(), await logs.next()].map(recordOf)
  expect(records.map(({ _levelname, short_message }) => `${String(_levelname)} ${String(short_message)}`)).toEqual([
    'ALERT unexpected error while handling a batch of 2: spoilt',
    'ALERT unexpected error while handling a batch of 2: spoilt',
    'EMERGENCY Giving up on Entry',
    'EMERGENCY Giving up on Entry',
  ])
  expect(new Set(records.slice(2).map(({ _conversation_id }) => _conversation_id))).toEqual(new Set(['c1', 'c2']))
  expect(records[0]?.['full_message']).toContain('batch.test.ts')
})

test('messages of a lost connection leave their batch, and are in it again when they come again', async ({
  url,
  probe,
  management,
}) => {
  using _stderr = new CapturedStderr()
  const { batch, handled } = keeping({ maxEntries: 3, timeoutMs: NEVER_MS })
  const records = new Records()
  const sizes: number[] = []
  records.once(/connection lost/, () => sizes.push(batch.size))
  const cut = defineService({ name: 'cut', handlers: [onEvent('Entry', batch.push)] })
  await using _worker = await cut.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
  await probe.event('Entry', 1)
  await probe.event('Entry', 2)
  await expect.poll(() => batch.size).toBe(2)
  await management.closeConnections(`cut@${process.pid} (consume)`)
  await expect.poll(() => [...sizes, batch.size], { timeout: 5000 }).toEqual([0, 2])
  await probe.event('Entry', 3)
  await expect.poll(() => handled.map((messages) => new Set(messages))).toEqual([new Set([1, 2, 3])])
  await expect.poll(() => probe.counts('cut.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a message whose own publish fails is not acknowledged with its batch', async ({ url, probe, dead }) => {
  const { batch, handled } = keeping({ maxEntries: 2, timeoutMs: NEVER_MS }, (messages) => {
    for (const { payload, publish } of messages) void publish('Entered', payload === 'bad' ? () => {} : payload)
  })
  const partial = defineService({ name: 'partial', prefetch: 2, handlers: [onEvent('Entry', batch.push)] })
  await using _worker = await partial.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Entry', 'good')
  await probe.event('Entry', 'bad')
  await expect.poll(() => handled).toEqual([['good', 'bad']])
  await probe.event('Entry', 'better')
  expect(jsonOf(await dead.next())).toBe('bad')
  expect(handled.flat().map(String).toSorted()).toEqual(['bad', 'bad', 'better', 'good'])
  await expect.poll(() => probe.counts('partial.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a batch that can never be full is told of, once', async ({ url, probe }) => {
  const { batch, handled } = keeping({ maxEntries: 5, timeoutMs: 30 })
  const records = new Records()
  const narrow = defineService({ name: 'narrow', prefetch: 2, handlers: [onEvent('Entry', batch.push)] })
  await using _worker = await narrow.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
  for (let n = 0; n < 4; n++) await probe.event('Entry', n)
  await expect.poll(() => handled.flat()).toEqual([0, 1, 2, 3])
  expect(records.of('WARNING')).toEqual([
    expect.stringMatching(/^prefetch is 2 and a batch takes 5: .*raise prefetch$/),
  ])
})

test.for([
  ['maxEntries', { maxEntries: 0, timeoutMs: 1 }],
  ['maxEntries', { maxEntries: 1.5, timeoutMs: 1 }],
  ['timeoutMs', { maxEntries: 1, timeoutMs: 0 }],
  ['timeoutMs', { maxEntries: 1, timeoutMs: Infinity }],
] as const)('a limit that cannot work is refused: %s', ([setting, limits]) => {
  const make = (): unknown => createBatch({ ...limits, handle: () => {} })
  expect(make).toThrow(InvalidSettingError)
  expect(make).toThrow(`${setting} of a batch:`)
})

test('a handler that forgets to return what push returns does not lose its message', async ({ url, probe, dead }) => {
  const batch = createBatch<EventContext>({
    maxEntries: 2,
    timeoutMs: 100,
    handle: () => {
      throw new Error('no luck with batches')
    },
  })
  const forgetful = defineService({
    name: 'forgetful',
    prefetch: 2,
    handlers: [
      onEvent('Forgotten', (context) => {
        batch.push(context)
      }),
    ],
  })
  await using _worker = await forgetful.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Forgotten', 1)
  expect((await dead.next()).fields.routingKey).toBe('Forgotten')
})

test('a batch that fails because its connection was lost is told by nobody, and handled when it comes again', async ({
  url,
  probe,
  management,
}) => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const goOn = gate()
  let runs = 0
  const { batch, handled } = keeping({ maxEntries: 2, timeoutMs: NEVER_MS }, async ([first]) => {
    runs += 1
    if (runs > 1) return
    await goOn.opened
    await first?.publish('Counted', 1)
  })
  await using _worker = await defineService({
    name: 'cut-off',
    handlers: [onEvent('Entry2', batch.push)],
  }).start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
  for (const n of [1, 2]) await probe.event('Entry2', n)
  await expect.poll(() => runs).toBe(1)
  await management.closeConnections('cut-off')
  await expect.poll(() => records.of('WARNING').some((text) => text.startsWith('connection lost'))).toBe(true)
  goOn.open()
  await expect
    .poll(() => handled)
    .toEqual([
      [1, 2],
      [1, 2],
    ])
  await expect.poll(() => probe.counts('cut-off.events')).toEqual({ messages: 0, consumers: 1 })
  expect(records.of('ALERT', 'EMERGENCY')).toEqual([])
})

test('a message whose handler fails after it was pushed is in its batch once', async ({ url, probe }) => {
  const { batch, handled } = keeping({ maxEntries: 2, timeoutMs: NEVER_MS })
  await using _worker = await defineService({
    name: 'twofold',
    handlers: [
      onEvent('Entry3', (context) => {
        const settleLater = batch.push(context)
        if (!context.metadata.redelivered) throw new Error('after the push')
        return settleLater
      }),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE' })
  for (const n of [1, 2]) await probe.event('Entry3', n)
  await expect.poll(() => probe.counts('twofold.events')).toEqual({ messages: 0, consumers: 1 })
  await expect.poll(() => handled.flat()).toHaveLength(2)
  expect(new Set(handled.flat())).toEqual(new Set([1, 2]))
})
