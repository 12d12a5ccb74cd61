/**
 * Who only watches a bus: a queue with a name of the broker's own, to which everything goes that is published to an exchange. RabbitMQ takes
 * it for a receiver, so that there a mandatory message never comes back while somebody watches. In development and in tests somebody always
 * does, and a command that nobody takes must fail all the same.
 */
import type { DevBroker } from './dev-broker.ts'
import type { BrokerHooks } from './hooks.ts'

/** For the hook of this broker. */
export function watchersOf(broker: DevBroker): NonNullable<BrokerHooks['isWatcher']> {
  return (queue, exchange) =>
    queue.startsWith('amq.gen-') &&
    broker
      .vhosts()
      .some((vhost) =>
        vhost.exchanges
          .get(exchange)
          ?.bindings.some(({ destination, routingKey }) => destination === queue && routingKey === '#'),
      )
}
