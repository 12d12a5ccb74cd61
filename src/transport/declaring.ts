/**
 * Declaring exchanges and queues, or only asking whether they are there, and what it means when the broker refuses.
 *
 * Asking needs no permission; declaring needs `configure`, even for what is there already.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'
import { ConnectionError, TopologyError } from '../errors.ts'
import { EXCHANGES } from '../topology/names.ts'
import type { QueueDeclaration } from '../topology/plan.ts'
import { type AmqpConnection, plain, within } from './amqp-connection.ts'

/**
 * Declares the exchanges of the bus.
 * @throws TopologyError when one exists with other arguments, or permission is missing
 */
export async function declareExchanges(channel: AMQPChannel, timeoutMs: number): Promise<void> {
  for (const exchange of Object.values(EXCHANGES)) {
    await answered(`exchange '${exchange}'`, channel.exchangeDeclare(exchange, 'topic', { durable: true }), timeoutMs)
  }
}

/**
 * Checks that the exchanges of the bus are there. What they are the broker does not say.
 * @throws TopologyError when one is missing
 */
export async function checkExchanges(channel: AMQPChannel, timeoutMs: number): Promise<void> {
  for (const exchange of Object.values(EXCHANGES)) {
    const asked = channel.exchangeDeclare(exchange, 'topic', { passive: true })
    await answered(
      `exchange '${exchange}'`,
      asked,
      timeoutMs,
      "create it (type topic, durable), or let it be declared here (declare: 'all')",
    )
  }
}

/**
 * Makes the exchanges of the bus unless they are there, so that who may not declare them can use them.
 * @throws TopologyError when one is missing and permission to declare it as well
 */
export async function ensureExchanges(connection: AmqpConnection, timeoutMs: number): Promise<void> {
  const asking = await connection.openChannel(() => {})
  try {
    await checkExchanges(asking, timeoutMs)
    await within(asking.close(), timeoutMs, 'closing a channel')
  } catch (error) {
    if (!(error instanceof TopologyError)) throw error
    // the answer cost the channel
    const channel = await connection.openChannel(() => {})
    await declareExchanges(channel, timeoutMs)
    await within(channel.close(), timeoutMs, 'closing a channel')
  }
}

/** Whether there is an exchange of this name. @throws ConnectionError when the broker does not answer */
export async function exchangeExists(connection: AmqpConnection, name: string, timeoutMs: number): Promise<boolean> {
  const channel = await connection.openChannel(() => {})
  try {
    await answered(`exchange '${name}'`, channel.exchangeDeclare(name, 'topic', { passive: true }), timeoutMs)
  } catch (error) {
    // the answer cost the channel
    if (error instanceof TopologyError) return false
    throw error
  }
  await within(channel.close(), timeoutMs, 'closing a channel')
  return true
}

/**
 * Checks that a queue is there. Its bindings and arguments the broker does not tell.
 * @throws TopologyError when it is missing
 */
export async function checkQueue(
  channel: AMQPChannel,
  { name, exchange, bindings }: QueueDeclaration,
  timeoutMs: number,
): Promise<void> {
  const keys = bindings.map((key) => `'${key}'`).join(', ')
  await answered(
    `queue '${name}'`,
    channel.queueDeclare(name, { passive: true }),
    timeoutMs,
    `create it (durable, without arguments) and bind it to '${exchange}' with ${keys}, or let it be declared here (declare: 'queues')`,
  )
}

/**
 * What the broker answered.
 * @param what names it in errors
 * @param missing the mend where it is not there
 * @throws TopologyError when the broker refuses; ConnectionError when it does not answer, or trying again may help
 */
export async function answered<T>(what: string, answer: Promise<T>, timeoutMs: number, missing = ''): Promise<T> {
  try {
    return await within(answer, timeoutMs, what)
  } catch (error) {
    throw explainRefusal(what, error, missing)
  }
}

function explainRefusal(what: string, error: unknown, missing: string): Error {
  const text = (error instanceof Error ? error.message : String(error)).replace(/^channel \d+ closed: /, '')
  if (/PRECONDITION_FAILED/.test(text)) {
    return new TopologyError(
      `${what} exists on the broker with other arguments: ${text}. Delete it there (once nothing uses it), or remove what declares it differently`,
      { cause: plain(error) },
    )
  }
  if (/ACCESS_REFUSED/.test(text)) {
    return new TopologyError(
      `${what}: the broker user lacks a permission: ${text}. Grant it; what is declared by others needs none with declare: 'queues' or 'nothing'`,
      { cause: plain(error) },
    )
  }
  if (/RESOURCE_LOCKED/.test(text)) {
    return new ConnectionError(
      `${what} belongs to another connection alone (exclusive), and may be free when that ends: ${text}`,
      { cause: plain(error) },
    )
  }
  // of a node that is down: waiting helps
  const isPassing = /down or inaccessible/.test(text)
  if (!isPassing && /NOT_FOUND|NOT_ALLOWED/.test(text)) {
    const mend = missing === '' ? '' : `. It is not declared here: ${missing}`
    return new TopologyError(`${what}: ${text}${mend}`, { cause: plain(error) })
  }
  return error instanceof ConnectionError ? error : new ConnectionError(`${what}: ${text}`, { cause: plain(error) })
}
