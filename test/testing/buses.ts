/** The brokers that a bus of tests may be on: all that it promises is shown on each. */
import { type BusOptions, startBus, type TestBus } from 'eventail/testing'
import { inject } from 'vitest'

const [url, managementUrl] = [inject('brokerUrl'), inject('managementUrl')]
type Start = (options?: BusOptions) => Promise<TestBus>
const onRabbitmq: Start = (options) => startBus({ url, managementUrl, ...options })

/** Each with how a bus is started there. A RabbitMQ that is not ours is left alone. */
export const BUSES: readonly (readonly [string, Start])[] = [
  ['in this process', startBus],
  ...(managementUrl === '' ? [] : [['on RabbitMQ', onRabbitmq] as const]),
]
