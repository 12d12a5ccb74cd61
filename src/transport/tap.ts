/**
 * Watching exchanges: one exclusive queue that vanishes with the watcher, so that messages come in the order in which the broker
 * took them; reconnecting for ever, whatever the messages hold.
 */
import type { IncomingMessage } from '../wire/message.ts'
import { AccessRefusedError, TopologyError } from '../errors.ts'
import { AmqpConnection } from './amqp-connection.ts'
import type { BrokerTls } from './broker-tls.ts'
import type { BrokerUrl } from './broker-url.ts'
import { ConsumeChannel } from './consume-channel.ts'
import { ensureExchanges } from './declaring.ts'
import { Backoff, pause } from './reconnect.ts'

export interface TapOptions {
  /** Tried in turn. */
  readonly brokers: readonly BrokerUrl[]
  readonly tls?: BrokerTls | undefined
  /** Shown in the broker's list of connections. */
  readonly name: string
  /** Which messages of which exchange. */
  readonly patterns: Readonly<Record<string, readonly string[]>>
  /** Ends the watching. */
  readonly signal: AbortSignal
  onMessage(message: IncomingMessage): void
  onConnected?(broker: BrokerUrl): void
  /** The connection was lost, or none could be made; it is tried again. */
  onLost?(reason: Error): void
}

const PREFETCH = 1000
const TIMEOUT_MS = 5_000
const HEARTBEAT_MS = 30_000

/**
 * Watches until the signal aborts.
 * @throws AccessRefusedError when the broker refuses the user before it ever took it; TopologyError when an exchange is
 * missing or of another kind then
 */
export async function tap(options: TapOptions): Promise<void> {
  const { brokers, signal } = options
  const backoff = new Backoff()
  let everConnected = false
  for (let attempt = 0; !signal.aborted; attempt++) {
    const broker = brokers[attempt % brokers.length]
    if (broker === undefined) return
    const start = performance.now()
    let connected = false
    let reason: unknown
    try {
      reason = await watchOnce(broker, options, () => {
        connected = true
      })
    } catch (error) {
      reason = error
    }
    if (signal.aborted) return
    everConnected ||= connected
    if (!everConnected && (reason instanceof AccessRefusedError || reason instanceof TopologyError)) throw reason
    options.onLost?.(reason instanceof Error ? reason : new Error(String(reason)))
    await pause(backoff.next(connected ? performance.now() - start : undefined, reason), signal)
  }
}

/** @returns why the connection ended */
async function watchOnce(broker: BrokerUrl, options: TapOptions, onConnected: () => void): Promise<Error | undefined> {
  const { tls, name, signal, patterns } = options
  const connection = await AmqpConnection.open(
    broker,
    { name, tls, connectTimeoutMs: TIMEOUT_MS, heartbeatMs: HEARTBEAT_MS },
    signal,
  )
  let end: (reason: Error | undefined) => void = () => {}
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve
  })
  const onAbort = (): void => end(undefined)
  signal.addEventListener('abort', onAbort, { once: true })
  void connection.lost.then(end)
  try {
    const channel: ConsumeChannel<'tap'> = await ConsumeChannel.open(connection, PREFETCH, TIMEOUT_MS, {
      onDelivery: (_kind, message) => {
        channel.acknowledger.ack(message.deliveryTag)
        options.onMessage(message)
      },
      onEnd: end,
    })
    await ensureExchanges(connection, TIMEOUT_MS)
    let queue = ''
    for (const [exchange, bindings] of Object.entries(patterns)) {
      if (queue === '') queue = await channel.declareQueue({ name: '', exchange, bindings })
      else await channel.bind(queue, exchange, bindings)
    }
    await channel.consume('tap', queue)
    onConnected()
    options.onConnected?.(broker)
    return await ended
  } finally {
    signal.removeEventListener('abort', onAbort)
    await connection.shutDown(TIMEOUT_MS)
  }
}
