/** What services need for development, in this process and in memory: everything that `eventail dev` starts for them is started here. */
import { EMPTY_TABLE } from '../broker/field-table.ts'
import { DevBroker, type DevBrokerOptions } from '../broker/dev-broker.ts'
import { watchersOf } from '../broker/watchers.ts'
import { InvalidSettingError } from '../errors.ts'
import { StoreServer } from '../store-server/store-server.ts'
import { DEAD_LETTER_EXCHANGE, DEAD_LETTER_POLICY, DEAD_LETTER_QUEUE } from '../topology/dead-letters.ts'

/** What the command line looks for by itself. */
const MANAGEMENT_PORT = 15_672
/** What stores look for by themselves. */
const STORE_PORT = 6_379
const KEPT = { durable: true, autoDelete: false, arguments: EMPTY_TABLE }

export interface DevelopmentBus {
  /** Of the broker. */
  readonly url: string
  /** Of its management API. */
  readonly managementUrl: string
  /** Whether the command line finds the management API by itself. */
  readonly isManagementWhereExpected: boolean
  /** Of the store; undefined where the environment names one already, which is used then. */
  readonly storeUrl: string | undefined
  /** Whether stores find it by themselves. */
  readonly isStoreWhereExpected: boolean
  /** What services find all of it by. */
  readonly env: Readonly<Record<string, string>>
  readonly close: () => Promise<void>
}

/**
 * Starts the development broker, with a place for dead letters, so that failures can be seen, and the development store.
 * @param port of the broker; 0 is one that is free
 * @throws InvalidSettingError when it cannot listen there
 */
export async function startDevelopmentBus(host: string, port: number): Promise<DevelopmentBus> {
  const broker = await startBroker({ host, port })
  // the view is always there
  broker.hooks.isWatcher = watchersOf(broker)
  const store = await startStore(host)
  setUpDeadLetters(broker)
  const url = `amqp://${reached(host, broker.port)}`
  const storeUrl = store && `redis://${reached(host, store.port)}`
  const { managementUrl = '' } = broker
  return {
    url,
    managementUrl,
    isManagementWhereExpected: managementUrl.endsWith(`:${MANAGEMENT_PORT}`),
    storeUrl,
    isStoreWhereExpected: store === undefined || store.port === STORE_PORT,
    env: { EVENTAIL_AMQP_URL: url, ...(storeUrl !== undefined && { EVENTAIL_REDIS_URL: storeUrl }) },
    close: async () => {
      await Promise.all([broker.close(), store?.close()])
    },
  }
}

/** Another port will do where a Redis runs. */
async function startStore(host: string): Promise<StoreServer | undefined> {
  if ((process.env['EVENTAIL_REDIS_URL'] ?? '') !== '') return undefined
  try {
    return await StoreServer.start({ host, port: STORE_PORT })
  } catch {
    return StoreServer.start({ host })
  }
}

/** Where this machine reaches what listens on a host. */
function reached(host: string, port: number): string {
  const one = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `${one.includes(':') ? `[${one}]` : one}:${port}`
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
