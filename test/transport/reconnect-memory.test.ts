/** What is left of a connection that was lost: nothing. */
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Endpoint } from 'eventail'
import { expect, test as plain } from 'vitest'
import { unlessAborted } from '../../src/transport/reconnect.ts'
import { test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'

const MIB = 2 ** 20

/** Bytes outside of the heap that are still used: each connection has buffers of some 128 kB there. */
function externalBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().external
}

test('connections that were lost take no memory, however many they were', async ({ url }) => {
  await using proxy = await Proxy.start(Number(new URL(url).port))
  const endpoints = Array.from(
    { length: 10 },
    () => new Endpoint({ name: 'source', urls: [proxy.through(url)], stderrLevel: 'NONE' }),
  )
  const publish = (): Promise<unknown> => Promise.all(endpoints.map((endpoint) => endpoint.publish('Forget', 0)))
  const reconnect = async (): Promise<void> => {
    const opened = proxy.opened
    proxy.cut()
    await expect.poll(() => proxy.opened, { timeout: 20_000 }).toBe(opened + 10)
    await publish()
  }
  await publish()
  // the latest of each may still be known
  await reconnect()
  const before = externalBytes()
  await reconnect()
  await reconnect()
  const grown = externalBytes() - before
  await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  expect(grown).toBeLessThan(MIB)
}, 60_000)

plain('whoever waited until a signal aborts leaves no listener at it', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
  expect(getEventListeners(signal, 'abort')).toEqual([])
  expect(await unlessAborted(new Promise(() => {}), AbortSignal.abort())).toBeUndefined()
})
