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

test('twenty connections that were lost take no memory', async ({ url }) => {
  await using proxy = await Proxy.start(Number(new URL(url).port))
  await using endpoint = new Endpoint({ name: 'source', urls: [proxy.through(url)], stderrLevel: 'NONE' })
  const reconnect = async (times: number): Promise<void> => {
    for (const end = proxy.opened + times; proxy.opened < end; proxy.cut()) await endpoint.publish('Forget', 0)
  }
  await reconnect(3)
  const before = externalBytes()
  await reconnect(20)
  await endpoint.publish('Forget', 0)
  expect(externalBytes() - before).toBeLessThan(2 * MIB)
}, 60_000)

plain('whoever waited until a signal aborts leaves no listener at it', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
  expect(getEventListeners(signal, 'abort')).toEqual([])
  expect(await unlessAborted(new Promise(() => {}), AbortSignal.abort())).toBeUndefined()
})
