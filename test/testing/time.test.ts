/** Time that a test lets pass: timers, batches, retries and the store go by it. */
import { createBatch, defineService, type EventContext, onEvent } from 'eventail'
import { describe, expect, test } from 'vitest'
import { BUSES } from './buses.ts'

describe.for(BUSES)('on a bus %s', ([, startBus]) => {
  test('timers run at their times, each after everything that followed from the one before', async () => {
    const heard: string[] = []
    await using bus = await startBus()
    const began = bus.clock.now()
    const at = (what: string): void => void heard.push(`${what} at ${bus.clock.now() - began}`)
    const ticking = defineService({
      name: 'ticking',
      handlers: [
        onEvent('Ticked', ({ payload, callLater }) => {
          at(`tick ${String(payload)}`)
          if (payload === 2) callLater(500, () => at('later'))
        }),
      ],
      hooks: {
        onReady: ({ every, callLater, publish }) => {
          let ticks = 0
          every(1_000, () => publish('Ticked', (ticks += 1)))
          const cancel = callLater(1_500, () => at('never'))
          callLater(1_200, cancel)
        },
      },
    })
    await bus.start(ticking)
    await bus.settled()
    expect(heard).toEqual([])
    await bus.advance(3_100)
    expect(heard).toEqual(['tick 1 at 1000', 'tick 2 at 2000', 'later at 2500', 'tick 3 at 3000'])
    expect(bus.clock.now() - began).toBe(3_100)
    await bus.advance(900)
    expect(heard.at(-1)).toBe('tick 4 at 4000')
  })

  test('an hour of a timer that does nothing passes in no time', async () => {
    let calls = 0
    const idle = defineService({
      name: 'idle',
      hooks: { onReady: ({ every }) => void every(1_000, () => (calls += 1)) },
    })
    await using bus = await startBus()
    await bus.start(idle)
    await bus.advance(3_600_000)
    expect(calls).toBe(3_600)
  })

  test('a batch that is not full is handled when its time is over', async () => {
    const handled: unknown[][] = []
    const batch = createBatch<EventContext>({
      maxEntries: 100,
      timeoutMs: 5_000,
      handle: async (messages) => {
        handled.push(messages.map(({ payload }) => payload))
        await messages[0]?.publish('BatchHandled', messages.length)
      },
    })
    await using bus = await startBus()
    await bus.start(defineService({ name: 'batching', prefetch: 10, handlers: [onEvent('Entry', batch.push)] }))
    await bus.publish('Entry', 1)
    await bus.advance(3_000)
    await bus.publish('Entry', 2)
    await bus.advance(1_999)
    expect(handled).toEqual([])
    await bus.advance(1)
    expect(handled).toEqual([[1, 2]])
    expect(bus.published({ routingKey: 'BatchHandled' })).toHaveLength(1)
    await bus.publish('Entry', 3)
    await bus.advance(5_000)
    expect(handled).toEqual([[1, 2], [3]])
  })

  test('a handler may wait for a timer', async () => {
    const patient = defineService({
      name: 'patient',
      handlers: [
        onEvent('Work', async ({ callLater, publish }) => {
          await new Promise<void>((resolve) => void callLater(60_000, resolve))
          await publish('Worked', null)
        }),
      ],
    })
    await using bus = await startBus()
    await bus.start(patient)
    await bus.publish('Work', null)
    await bus.advance(59_999)
    expect(bus.published({ routingKey: 'Worked' })).toEqual([])
    await bus.advance(1)
    expect(bus.published({ routingKey: 'Worked' })).toHaveLength(1)
    await bus.settled()
  })

  test('the outage brake holds messages back until its pauses are over', async () => {
    let isUp = false
    let tries = 0
    const fragile = defineService({
      name: 'fragile',
      outageBrake: { afterFailures: 2 },
      handlers: [
        onEvent('Work', () => {
          tries += 1
          if (!isUp) throw new Error('what it depends on is down')
        }),
      ],
    })
    await using bus = await startBus()
    await bus.start(fragile)
    await bus.publish('Work', 1)
    await bus.settled()
    expect(tries).toBe(2)
    // nothing is given up now
    await bus.publish('Work', 2)
    await bus.publish('Work', 3)
    await bus.settled()
    expect(tries).toBe(2)
    await bus.advance(1_000)
    expect(tries).toBe(3)
    isUp = true
    await bus.advance(1_999)
    expect(tries).toBe(3)
    await bus.advance(1)
    expect(tries).toBe(6)
    await bus.settled()
    expect(bus.deadLetters()).toEqual([])
  })

  test('what is in the store lives by it, and what was done once is remembered by it', async () => {
    await using bus = await startBus()
    let done = 0
    const careful = defineService({
      name: 'careful',
      handlers: [
        onEvent('Work', () => void (done += 1), { once: { store: bus.store, key: () => 'the same', ttlMs: 60_000 } }),
      ],
    })
    await bus.start(careful)
    await bus.store.set('rates', 1, { ttlMs: 1_000 })
    await bus.publish('Work', 1)
    await bus.publish('Work', 2)
    await bus.settled()
    expect(done).toBe(1)
    await bus.advance(999)
    expect(await bus.store.peek('rates')).toBe(1)
    await bus.advance(1)
    expect(await bus.store.peek('rates')).toBeUndefined()
    await bus.advance(60_000)
    await bus.publish('Work', 3)
    await bus.settled()
    expect(done).toBe(2)
  })
})
