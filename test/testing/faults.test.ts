/** Faults that a test asks for: what each does, to which messages, and that chance is the same with the same seed. */
import { defineService, type EventContext, InvalidSettingError, onEvent } from 'eventail'
import { startBus, type TestBus } from 'eventail/testing'
import { expect, inject, test } from 'vitest'

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** A service that keeps what it handled. */
function keeping(name: string, handle: (context: EventContext) => unknown = () => {}) {
  const handled: unknown[] = []
  const service = defineService({
    name,
    concurrency: 1,
    handlers: [
      onEvent('Work', (context) => {
        handled.push(context.payload)
        return handle(context)
      }),
    ],
  })
  return { handled, service }
}

async function publishAll(bus: TestBus, count: number): Promise<void> {
  for (const n of upTo(count)) void bus.publish('Work', n)
  await bus.settled()
}

test('a connection that breaks before the acknowledgement brings the message again', async () => {
  await using bus = await startBus()
  const redelivered: boolean[] = []
  const { handled, service } = keeping('careful', ({ metadata }) => void redelivered.push(metadata.redelivered))
  await bus.start(service)
  const drop = bus.faults.dropConnectionBeforeAck()
  await publishAll(bus, 1)
  expect(drop.count).toBe(1)
  expect(handled).toEqual([0, 0])
  expect(redelivered).toEqual([false, true])
  await publishAll(bus, 1)
  expect(handled).toEqual([0, 0, 0])
  expect(bus.deadLetters()).toEqual([])
})

test('a message that the broker refuses is sent again after the retry delay, and that of the bus itself is none', async () => {
  await using bus = await startBus()
  const { service } = keeping('asking', ({ payload, publish }) => publish('Worked', payload))
  await bus.start(service, { publishRetryDelayMs: 2_000 })
  const nack = bus.faults.nackPublish({ times: 2 })
  await publishAll(bus, 1)
  expect(bus.published().map(({ routingKey }) => routingKey)).toEqual(['Work'])
  await bus.advance(2_000)
  expect(nack.count).toBe(2)
  expect(bus.published({ routingKey: 'Worked' })).toEqual([])
  await bus.advance(1_999)
  expect(bus.published({ routingKey: 'Worked' })).toEqual([])
  await bus.advance(1)
  expect(bus.published({ routingKey: 'Worked' })).toHaveLength(1)
})

test('a message that is delivered twice is handled twice', async () => {
  await using bus = await startBus()
  const { handled, service } = keeping('twice')
  await bus.start(service)
  const twice = bus.faults.deliverTwice({ times: 2 })
  await publishAll(bus, 3)
  expect(twice.count).toBe(2)
  expect(upTo(3).map((n) => handled.filter((one) => one === n).length)).toEqual([2, 2, 1])
})

test('a message comes after the one behind it, and all the same when there is none', async () => {
  await using bus = await startBus()
  const { handled, service } = keeping('ordered')
  await bus.start(service)
  bus.faults.reorder()
  await publishAll(bus, 3)
  expect(handled).toEqual([1, 0, 2])
  bus.faults.reorder()
  await publishAll(bus, 1)
  expect(handled).toEqual([1, 0, 2, 0])
})

test('a fault is only for messages that fit, and none once it is ended', async () => {
  await using bus = await startBus()
  const [one, other] = [keeping('one'), keeping('other')]
  await bus.start(one.service)
  await bus.start(other.service)
  bus.faults.deliverTwice({ service: 'one' })
  bus.faults.deliverTwice({ routingKey: 'Play.#' })
  bus.faults.deliverTwice({ probability: 0 })
  bus.faults.deliverTwice({ service: 'other', times: 5 }).end()
  await publishAll(bus, 2)
  expect([one.handled.length, other.handled.length]).toEqual([3, 2])
})

test('chance brings the same faults to the same messages with the same seed, and others with another', async () => {
  const doubled = async (seed: number): Promise<unknown[]> => {
    await using bus = await startBus({ seed })
    const { handled, service } = keeping('chancy')
    await bus.start(service)
    bus.faults.deliverTwice({ probability: 0.5 })
    await publishAll(bus, 20)
    return upTo(20).filter((n) => handled.filter((one) => one === n).length === 2)
  }
  const first = await doubled(1)
  expect(first.length).toBeGreaterThan(3)
  expect(first.length).toBeLessThan(17)
  expect(await doubled(1)).toEqual(first)
  expect(await doubled(2)).not.toEqual(first)
})

test('what cannot be a fault is refused', async () => {
  await using bus = await startBus()
  expect(() => bus.faults.nackPublish({ probability: 2 })).toThrow('faults.nackPublish.probability')
  expect(() => bus.faults.reorder({ times: 0 })).toThrow(InvalidSettingError)
  expect(() => bus.faults.deliverTwice({ routingKey: 'a..b' })).toThrow(InvalidSettingError)
})

test.skipIf(inject('managementUrl') === '')('a RabbitMQ cannot be asked for faults, and says so', async () => {
  await using bus = await startBus({ url: inject('brokerUrl'), managementUrl: inject('managementUrl') })
  expect(() => bus.faults.nackPublish()).toThrow(
    'faults.nackPublish: needs the broker in this process, and the bus is on a RabbitMQ',
  )
})
