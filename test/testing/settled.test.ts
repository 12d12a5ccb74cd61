/** Waiting until everything that followed has happened, and looking at it afterwards. */
import {
  CommandError,
  createBatch,
  defineService,
  NotSettledError,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
  Service,
  SETTLE_LATER,
  StoppedError,
  type EventContext,
} from 'eventail'
import { describe, expect, test } from 'vitest'
import { gate } from '../bus/watched.ts'
import { BUSES } from './buses.ts'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Sends a command for each order, and tells of its result. */
const shop = defineService({
  name: 'shop',
  handlers: [
    onEvent('OrderPlaced', ({ payload, sendCommand }) => sendCommand('stock.ReserveItem', payload)),
    onResult('ReserveItemResult', ({ status, payload, publish }) =>
      publish(status === 'success' ? 'OrderConfirmed' : 'OrderRefused', payload),
    ),
  ],
})

const stock = defineService({
  name: 'stock',
  handlers: [
    onCommand('ReserveItem', async ({ payload, log }) => {
      // anything else that a handler waits for
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (payload === 13) throw new CommandError('there is none')
      log.info(`reserved ${String(payload)}`)
      return payload
    }),
  ],
})

const broken = defineService({
  name: 'broken',
  handlers: [
    onEvent('OrderPlaced', () => {
      throw new Error('it never works')
    }),
  ],
})

describe.for(BUSES)('a bus %s', ([, startBus]) => {
  test('is settled when everything that followed from what was published is done', async () => {
    await using bus = await startBus()
    await bus.start(shop)
    await bus.start(stock)
    for (let round = 1; round <= 5; round++) {
      for (const n of upTo(10)) void bus.publish('OrderPlaced', n)
      await bus.settled()
      expect(bus.published({ routingKey: 'OrderConfirmed' })).toHaveLength(round * 10)
      expect(
        bus.logs({ service: 'stock', level: 'INFO' }).filter(({ short }) => short.startsWith('reserved')),
      ).toHaveLength(round * 10)
    }
    expect(bus.deadLetters()).toEqual([])
  })

  test('that is closed says so to who waits for it; a time that is none rejects', async () => {
    const bus = await startBus()
    await expect(bus.advance(-1)).rejects.toThrow('must be a whole number of milliseconds')
    await bus.close()
    await expect(bus.settled()).rejects.toThrow(StoppedError)
    await expect(bus.advance(1)).rejects.toThrow(StoppedError)
  })

  test('shows what was published, decoded, with who sent it and what it followed from', async () => {
    await using bus = await startBus({ name: 'customer' })
    await bus.start(shop)
    await bus.start(stock)
    await bus.publish('OrderPlaced', 13, { conversationId: 'c1', headers: { shop: 'no. 7' } })
    await bus.publish('OrderPlaced', 1, { conversationId: 'c2' })
    await bus.settled()
    const said = bus.published({ conversationId: 'c1' })
    expect(
      said.map(({ kind, routingKey, source, payload, status }) => [kind, routingKey, source, payload, status]),
    ).toEqual([
      ['event', 'OrderPlaced', 'customer', 13, undefined],
      ['command', 'stock.ReserveItem', 'shop', 13, undefined],
      ['result', 'shop.ReserveItemResult', 'stock', { reason: 'there is none' }, 'error'],
      ['event', 'OrderRefused', 'shop', { reason: 'there is none' }, undefined],
    ])
    const [placed, reserve, result] = said
    expect(placed?.headers).toEqual({ shop: 'no. 7' })
    expect(reserve).toMatchObject({ causationId: placed?.messageId, replyTo: 'shop.ReserveItemResult' })
    expect(result).toMatchObject({ causationId: reserve?.messageId, correlationId: reserve?.correlationId })
    expect(bus.published({ kind: 'command' })).toHaveLength(2)
    expect(bus.published({ source: 'stock', routingKey: 'shop.#' })).toHaveLength(2)
  })

  test('shows dead letters, where and why they died, and what was logged of them', async () => {
    await using bus = await startBus()
    await bus.start(broken)
    for (const n of upTo(3)) await bus.publish('OrderPlaced', n, { conversationId: `c${n}` })
    await bus.settled()
    expect(bus.deadLetters()).toHaveLength(3)
    const [letter] = bus.deadLetters({ conversationId: 'c1' })
    expect(letter).toMatchObject({ kind: 'event', routingKey: 'OrderPlaced', payload: 1, queue: 'broken.events' })
    expect(letter).toMatchObject({ reason: 'rejected', deaths: 1, source: 'test', headers: {} })
    const told = bus.logs({ service: 'broken', conversationId: 'c1', level: 'ALERT' })
    expect(told.map(({ level, short }) => `${level} ${short}`)).toEqual([
      'ALERT unexpected error while handling OrderPlaced: it never works',
      'ALERT unexpected error while handling OrderPlaced: it never works',
      'EMERGENCY Giving up on OrderPlaced',
    ])
  })

  test('calls commands, publishes configurations, and starts services of classes', async () => {
    class Greeter extends Service {
      constructor() {
        super({ name: 'greeter', commands: ['Greet'], configurations: ['Greeting'] })
      }
      #greeting = ''
      override handleConfiguration({ payload }: EventContext): boolean {
        this.#greeting = String(payload)
        return true
      }
      override handleCommand({ payload }: EventContext): string {
        return `${this.#greeting} ${String(payload)}`
      }
    }
    await using bus = await startBus()
    const greeter = await bus.start(new Greeter())
    expect(greeter.state).toBe('unconfigured')
    await bus.settled()
    await bus.publishConfiguration('Greeting', 'Hello')
    await bus.settled()
    expect(await bus.call('greeter.Greet', 'Ada')).toBe('Hello Ada')
    expect(bus.published({ kind: 'configuration' }).map(({ payload }) => payload)).toEqual(['Hello'])
  })

  test('that does not settle in time names what is going on, and the seed', async () => {
    const held = gate()
    const slow = defineService({
      name: 'slow',
      drainTimeoutMs: 0,
      handlers: [onEvent('Work', () => held.opened), onEvent('Kept', () => SETTLE_LATER)],
      hooks: { onReady: ({ callLater }) => void callLater(5_000, () => {}) },
    })
    await using bus = await startBus({ seed: 42 })
    await bus.start(slow)
    await bus.publish('Work', null, { conversationId: 'c1' })
    await bus.publish('Kept', null, { conversationId: 'c2' })
    const error = (await bus.settled({ timeoutMs: 100 }).catch((problem: unknown) => problem)) as NotSettledError
    expect(error).toBeInstanceOf(NotSettledError)
    expect(error.message).toMatch(/^not settled after 100 ms \(EVENTAIL_TEST_SEED=42\):\n/)
    expect(error.seed).toBe(42)
    expect(error.busy).toEqual([
      expect.stringMatching(
        /^slow: 'Work' its handler has been running for \d+ ms \(message [\w-]+, conversation c1\)$/,
      ),
      expect.stringMatching(/^slow: 'Kept' its handler left it to be settled later, and nobody has \(.*c2\)$/),
      'timers that wait for advance(): 1, the next of them for 5000 ms',
    ])
    held.open()
  })

  test('names queues whose messages nobody takes before there is a configuration', async () => {
    const configured = defineService({
      name: 'configured',
      handlers: [onEvent('Work', () => {}), onConfiguration('Rates', () => true)],
    })
    await using bus = await startBus()
    await bus.start(configured)
    await bus.publish('Work', 1)
    await expect(bus.settled({ timeoutMs: 100 })).rejects.toThrow(
      'configured.events: a message waits, and configured does not consume: it waits for its configuration',
    )
    await bus.publishConfiguration('Rates', 1)
    await bus.settled()
  })

  test('waits for what handlers still do after their messages are gone, and for hooks', async () => {
    let done = ''
    const late = defineService({
      name: 'late',
      handlers: [
        onEvent('Work', async ({ ack }) => {
          await ack()
          await new Promise((resolve) => setTimeout(resolve, 50))
          done += 'handler '
        }),
      ],
      hooks: {
        onReady: async ({ publish }) => {
          await new Promise((resolve) => setTimeout(resolve, 50))
          await publish('Ready', null)
          done += 'hook '
        },
      },
    })
    await using bus = await startBus()
    await bus.start(late)
    await bus.settled()
    expect(bus.published({ routingKey: 'Ready' })).toHaveLength(1)
    await bus.publish('Work', null)
    await bus.settled()
    expect(done).toBe('hook handler ')
  })

  test('is settled when all that is left waits for time to pass, also in queues of which no more is taken', async () => {
    const batch = createBatch<EventContext>({ maxEntries: 10, timeoutMs: 5_000, handle: () => {} })
    const batching = defineService({ name: 'batching', prefetch: 3, handlers: [onEvent('Entry', batch.push)] })
    await using bus = await startBus()
    await bus.start(batching)
    for (const n of upTo(5)) await bus.publish('Entry', n)
    await bus.settled()
    expect(batch.size).toBe(3)
  })

  test('that is closed has stopped its services, and may be closed again', async () => {
    const bus = await startBus()
    const running = await bus.start(shop)
    await bus.close()
    expect(running.state).toBe('stopped')
    await bus.close()
  })
})
