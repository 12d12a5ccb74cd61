import { expect, test } from 'vitest'
import { Acknowledger } from '../../src/transport/acknowledger.ts'

type Channel = ConstructorParameters<typeof Acknowledger>[0]

/** What a broker does with acknowledgements: it closes the channel for one of a tag that it does not hold. */
class BrokerSide {
  readonly held = new Set<number>()
  readonly acked: number[] = []
  frames = 0

  get channel(): Channel {
    const basicAck = async (tag: number, multiple = false): Promise<void> => {
      this.frames += 1
      this.#take(tag)
      for (const other of multiple ? [...this.held] : []) if (other < tag) this.#take(other)
    }
    const basicNack = async (tag: number): Promise<void> => {
      this.frames += 1
      if (!this.held.delete(tag)) throw new Error(`unknown delivery tag ${tag}`)
    }
    return { basicAck, basicNack } as unknown as Channel
  }

  #take(tag: number): void {
    if (!this.held.delete(tag)) this.acked.push(Number.NaN)
    this.acked.push(tag)
  }
}

function delivering(count: number): { broker: BrokerSide; acknowledger: Acknowledger } {
  const broker = new BrokerSide()
  const acknowledger = new Acknowledger(broker.channel)
  for (let tag = 1; tag <= count; tag++) {
    broker.held.add(tag)
    acknowledger.delivered(tag)
  }
  return { broker, acknowledger }
}

test('the acknowledgements of one turn go out together', async () => {
  const { broker, acknowledger } = delivering(100)
  for (let tag = 1; tag <= 100; tag++) acknowledger.ack(tag)
  expect(broker.frames).toBe(0)
  await new Promise((resolve) => setImmediate(resolve))
  expect(broker.frames).toBe(1)
  expect(broker.held.size).toBe(0)
})

test('a tag is settled once, however often it is asked for', () => {
  const { broker, acknowledger } = delivering(3)
  acknowledger.ack(2)
  acknowledger.ack(2)
  acknowledger.nack(2, true)
  acknowledger.nack(3, false)
  acknowledger.ack(3)
  acknowledger.ack(99)
  acknowledger.flush()
  acknowledger.ack(2)
  acknowledger.flush()
  expect(broker.acked).toEqual([2])
  expect([...broker.held]).toEqual([1])
  expect(acknowledger.outstanding).toBe(1)
})

test('in whatever order deliveries are settled, exactly those are acknowledged', () => {
  for (let round = 0; round < 300; round++) {
    const { broker, acknowledger } = delivering(40)
    const expected = new Set<number>()
    for (let step = 0; step < 60; step++) {
      const tag = 1 + Math.floor(Math.random() * 40)
      const wasHeld = broker.held.has(tag)
      if (Math.random() < 0.8) {
        acknowledger.ack(tag)
        if (wasHeld) expected.add(tag)
      } else acknowledger.nack(tag, true)
      if (Math.random() < 0.2) acknowledger.flush()
    }
    acknowledger.flush()
    expect(new Set(broker.acked)).toEqual(expected)
    expect(broker.acked).toHaveLength(expected.size)
    expect(acknowledger.outstanding).toBe(broker.held.size)
  }
})
