/** When bytes leave: at once on a connection that is not busy, together where there are many. */
import { expect, onTestFinished } from 'vitest'
import { parseBrokerUrl } from '../../src/transport/broker-url.ts'
import { AmqpConnection } from '../../src/transport/amqp-connection.ts'
import { test } from '../bus/bus.ts'

const HEARTBEAT = Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0xce)

/** @returns how many bytes had not left after each */
function sendTimes(connection: AmqpConnection, times: number): readonly number[] {
  return Array.from({ length: times }, () => {
    void connection.send(HEARTBEAT)
    return connection.unsentBytes
  })
}

/** All that is sent in one turn of the event loop. */
function turn(connection: AmqpConnection, times: number): Promise<readonly number[]> {
  return new Promise((resolve) => {
    setImmediate(() => {
      const unsent = sendTimes(connection, times)
      // behind what the connection does at the end of the turn
      setImmediate(() => setImmediate(() => resolve(unsent)))
    })
  })
}

test('the first bytes of a turn leave at once, the others with its end; after a busy turn all do', async ({ url }) => {
  const settings = { name: 'writes', connectTimeoutMs: 5_000, heartbeatMs: 0 }
  const connection = await AmqpConnection.open(parseBrokerUrl(url), settings, new AbortController().signal)
  onTestFinished(() => connection.shutDown(1_000))
  expect(await turn(connection, 3)).toEqual([0, 8, 16])
  expect(connection.unsentBytes).toBe(0)
  // that was a busy one
  expect(await turn(connection, 2)).toEqual([8, 16])
  expect(connection.unsentBytes).toBe(0)
  expect(await turn(connection, 2)).toEqual([0, 8])
  expect(connection.unsentBytes).toBe(0)
})
