/**
 * Both brokers hold up who publishes while memory is short, and nobody else. The RabbitMQ is one of its own: its alarm would hold up
 * the other tests.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Broker, startBroker } from '../../dev/broker.mjs'
import { DevBroker } from '../../src/broker/dev-broker.ts'
import { amqplibDriver } from './amqplib-driver.ts'
import { pikaDriver } from './pika-driver.ts'
import { Stage } from './stage.ts'
import type { Target } from './target.ts'
import { Transcript } from './transcript.ts'
import type { Driver } from './vocabulary.ts'

const LARGE = 'x'.repeat(100_000)
const MANY = 10

interface Alarming extends Pick<Target, 'name' | 'host' | 'port'> {
  /** Beside what lies in its queues. */
  readonly alarm: (on: boolean) => Promise<void>
}

describe.skipIf(inject('managementUrl') === '')('while memory is short', () => {
  let broker: Broker
  let development: DevBroker

  beforeAll(async () => {
    const memoryLimitBytes = (MANY - 0.5) * LARGE.length
    ;[broker, development] = await Promise.all([startBroker(), DevBroker.start({ memoryLimitBytes })])
  })

  afterAll(async () => {
    await Promise.all([broker.dispose(), development.close()])
  })

  test.for([
    ['amqplib', amqplibDriver],
    ['pika', pikaDriver],
  ] as const)('through %s: who publishes is held up and told, who does not goes on', async ([, openDriver]) => {
    const alarm = async (on: boolean): Promise<void> => {
      await broker.evaluate(`ok = vm_memory_monitor:set_vm_memory_high_watermark(${on ? 0.00001 : 0.4})`)
    }
    await using driver = openDriver()
    const real = await played({ name: 'RabbitMQ', host: '127.0.0.1', port: broker.port, alarm }, driver)
    const { host, port } = development
    const own = await played({ name: 'the development broker', host, port, alarm: async () => {} }, driver)
    expect(own).toEqual(real)
  })
})

async function played({ name, host, port, alarm }: Alarming, driver: Driver): Promise<readonly string[]> {
  const transcript = new Transcript()
  const never = async (): Promise<void> => {
    throw new Error('there is no policy here')
  }
  const url = `amqp://guest:guest@${host}:${port}/%2F`
  const target = { name, host, port, vhost: '/', url, setPolicy: never, clearPolicy: never }
  const stage = new Stage({ ...target, [Symbol.asyncDispose]: async () => {} }, driver, driver.name, transcript)
  const [publishes, reads] = [await stage.connect(), await stage.connect()]
  const [publisher, reader] = [await publishes.channel({ confirm: true }), await reads.channel()]
  const [full, heldUp] = [await publisher.declare(stage.name('full')), await publisher.declare(stage.name('held'))]
  for (let count = 0; count < MANY; count++) await publisher.send(full, LARGE)
  expect(await publisher.confirmed()).toEqual([])
  await alarm(true)
  try {
    await publisher.sendUntil(publishes.events, heldUp)
    expect(await publishes.next('connection.blocked')).toMatchObject({ reason: 'low on memory' })
    // who does not publish does its work, and may come now
    const late = await (await stage.connect()).channel()
    expect((await late.drained(full)).length).toBe(MANY)
    expect(await reader.counts(full)).toEqual([0, 0])
    expect(await reader.declare(stage.name('new'))).toBe(stage.name('new'))
  } finally {
    await alarm(false)
  }
  await publishes.next('connection.unblocked')
  await publisher.allConfirmed()
  await stage.end()
  return transcript.lines
}
