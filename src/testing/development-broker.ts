/** A bus of tests on the broker in this process: it goes by the time of the bus, and fails when it is told to. */
import { DevBroker } from '../broker/dev-broker.ts'
import type { Delivery, ShownMessage } from '../broker/hooks.ts'
import { watchersOf } from '../broker/watchers.ts'
import { EXCHANGES, serviceOfQueue } from '../topology/names.ts'
import { readProperties } from '../transport/read-properties.ts'
import type { FaultPlan } from './faults.ts'
import { DEAD_LETTER_POLICY } from '../topology/dead-letters.ts'
import type { TestBroker } from './test-broker.ts'
import type { TestClock } from './test-clock.ts'

const VHOST = '/'
/** Where messages are published with confirms. */
const CONFIRMED = new Set<string>([EXCHANGES.event, EXCHANGES.command, EXCHANGES.configuration])

/** @param busName in whose name the bus itself publishes: no fault is for that */
export async function startDevelopmentBroker(clock: TestClock, plan: FaultPlan, busName: string): Promise<TestBroker> {
  let timersRun = 0
  const counting = (callback: () => void) => (): void => {
    timersRun += 1
    callback()
  }
  const broker = await DevBroker.start({
    host: '127.0.0.1',
    port: 0,
    clock: {
      now: clock.now,
      after: (delayMs, callback) => clock.after(delayMs, counting(callback)),
      every: (intervalMs, callback) => clock.every(intervalMs, counting(callback)),
    },
  })
  broker.setPolicy({ vhost: VHOST, ...DEAD_LETTER_POLICY })
  broker.hooks.isWatcher = watchersOf(broker)
  broker.hooks.onPublish = (message) => {
    const service = senderOf(message)
    const isOurs = service === busName || !CONFIRMED.has(message.exchange)
    return !isOurs && plan.strikes('nackPublish', { service, routingKey: message.routingKey }) ? 'nack' : undefined
  }
  broker.hooks.onDeliver = (delivery) => {
    const candidate = candidateOf(delivery)
    if (candidate === undefined) return undefined
    if (plan.strikes('deliverTwice', candidate)) return 'twice'
    return plan.strikes('reorder', candidate) ? 'later' : undefined
  }
  broker.hooks.onAck = (delivery) => {
    const candidate = candidateOf(delivery)
    return candidate !== undefined && plan.strikes('dropConnectionBeforeAck', candidate) ? 'drop-connection' : undefined
  }
  return {
    kind: 'development',
    url: broker.url,
    activity: () => timersRun,
    release: () => broker.release(),
    close: () => broker.close(),
  }
}

/** Undefined for the queues of nobody: those of the recorder, and of calls. */
function candidateOf({ queue, message }: Delivery): { service: string; routingKey: string } | undefined {
  const service = serviceOfQueue(queue)
  return service === undefined ? undefined : { service, routingKey: message.routingKey }
}

function senderOf({ properties }: ShownMessage): string | undefined {
  return readProperties(properties).appId
}
