/** What services need for development, in this process and in memory: everything that `eventail dev` starts for them is started here. */
import { EMPTY_TABLE } from '../broker/field-table.ts'
import { DevBroker, type DevBrokerOptions } from '../broker/dev-broker.ts'
import { InvalidSettingError } from '../errors.ts'
import { DEAD_LETTER_EXCHANGE, DEAD_LETTER_POLICY, DEAD_LETTER_QUEUE } from '../topology/dead-letters.ts'

/** What the command line looks for by itself. */
const MANAGEMENT_PORT = 15_672
const KEPT = { durable: true, autoDelete: false, arguments: EMPTY_TABLE }

export interface DevelopmentBus {
  /** Of the broker. */
  readonly url: string
  /** Of its management API. */
  readonly managementUrl: string
  /** Whether the command line finds the management API by itself. */
  readonly isManagementWhereExpected: boolean
  /** What services find all of it by. */
  readonly env: Readonly<Record<string, string>>
  readonly close: () => Promise<void>
}

/**
 * Starts the development broker, with a place for dead letters, so that failures can be seen.
 * @param port 0 is one that is free
 * @throws InvalidSettingError when it cannot listen there
 */
export async function startDevelopmentBus(host: string, port: number): Promise<DevelopmentBus> {
  const broker = await startBroker({ host, port })
  setUpDeadLetters(broker)
  const reached = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  const url = `amqp://${reached.includes(':') ? `[${reached}]` : reached}:${broker.port}`
  const { managementUrl = '' } = broker
  return {
    url,
    managementUrl,
    isManagementWhereExpected: managementUrl.endsWith(`:${MANAGEMENT_PORT}`),
    env: { EVENTAIL_AMQP_URL: url },
    close: () => broker.close(),
  }
}

/** The port of the management API may well be taken, by that of a RabbitMQ: another one will do. */
async function startBroker(options: DevBrokerOptions): Promise<DevBroker> {
  try {
    return await DevBroker.start({ ...options, managementPort: MANAGEMENT_PORT })
  } catch (error) {
    if (!(error instanceof InvalidSettingError) || error.setting !== 'managementPort') throw error
    return DevBroker.start({ ...options, managementPort: 0 })
  }
}

function setUpDeadLetters(broker: DevBroker): void {
  broker.setPolicy(DEAD_LETTER_POLICY)
  const [vhost] = broker.vhosts()
  vhost?.addExchange(DEAD_LETTER_EXCHANGE, 'topic', { ...KEPT, internal: false })
  vhost?.addQueue(DEAD_LETTER_QUEUE, { ...KEPT, owner: undefined })
  vhost?.bind({
    source: DEAD_LETTER_EXCHANGE,
    destination: DEAD_LETTER_QUEUE,
    destinationKind: 'queue',
    routingKey: '#',
    arguments: EMPTY_TABLE,
  })
}
