/** The other side of SyncEndpoint: a thread that holds the connection, publishes what it is told to, and says what became of it. */
import { workerData } from 'node:worker_threads'
import { EventailError, PublishError } from '../errors.ts'
import { resolveEndpoint } from './endpoint.ts'
import { Link } from './link.ts'
import type { Failure, Order, SyncWorkerData } from './sync-endpoint.ts'

const { options, port, flag } = workerData as SyncWorkerData
const link = new Link({ ...resolveEndpoint(options), replyTo: '', onReply: () => {}, onGivenUp: () => {} })

port.on('message', (order: Order) => void obey(order))

async function obey(order: Order): Promise<void> {
  if (order.kind === 'log') {
    link.log(order.message)
    return
  }
  const failure = await (order.kind === 'publish' ? link.publish(order.message) : link.close()).then(
    () => undefined,
    failureOf,
  )
  port.postMessage({ id: order.id, failure })
  Atomics.store(flag, 0, 1)
  Atomics.notify(flag, 0)
}

function failureOf(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error)
  const code = error instanceof EventailError ? error.code : ''
  return { code, text: error instanceof PublishError ? error.problem : text }
}
