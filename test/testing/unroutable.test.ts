/** That a test watches does not make messages routable: what nobody takes comes back, as it does in production. */
import { defineService, onCommand, onEvent, UnroutableError } from 'eventail'
import { describe, expect, test } from 'vitest'
import { BUSES } from './buses.ts'

const shop = defineService({
  name: 'shop',
  handlers: [onEvent('OrderPlaced', ({ payload, sendCommand }) => sendCommand('stock.ReserveItem', payload))],
})

describe.for(BUSES)('a bus %s', ([, startBus]) => {
  test('brings a command that nobody takes back to the handler that sent it, which fails', async () => {
    await using bus = await startBus()
    await bus.start(shop)
    await bus.publish('OrderPlaced', 1)
    await bus.settled()
    expect(bus.deadLetters()).toMatchObject([{ routingKey: 'OrderPlaced', queue: 'shop.events' }])
    const [alert] = bus.logs({ service: 'shop', level: 'ALERT' })
    expect(alert?.short).toContain('no queue is bound for it')
  })

  test('tells a test that nobody takes its command, or its mandatory event; other events are for nobody, too', async () => {
    await using bus = await startBus()
    await expect(bus.sendCommand('stock.ReserveItem', 1)).rejects.toThrow(UnroutableError)
    await expect(bus.call('stock.ReserveItem', 1)).rejects.toThrow(UnroutableError)
    await expect(bus.publish('OrderPlaced', 1, { mandatory: true })).rejects.toThrow(UnroutableError)
    await bus.publish('OrderPlaced', 2)
    await bus.settled()
    expect(bus.published({ kind: 'event' }).map(({ payload }) => payload)).toEqual([1, 2])
  })

  test('calls the hook of a worker whose result nobody takes', async () => {
    const returned: string[] = []
    const stock = defineService({
      name: 'stock',
      handlers: [onCommand('ReserveItem', ({ payload }) => payload)],
      hooks: { onReturned: ({ routingKey }) => void returned.push(routingKey) },
    })
    await using bus = await startBus()
    await bus.start(stock)
    await bus.sendCommand('stock.ReserveItem', 1)
    await bus.settled()
    expect(returned).toEqual(['test.ReserveItemResult'])
    expect(bus.deadLetters()).toEqual([])
  })
})
