/** The master of the Redis in which `once` remembers is killed in the middle of the work, and a Sentinel puts its replica in its place. */
import { defineService, onEvent } from 'eventail'
import { createTempStore } from 'eventail/store'
import { expect } from 'vitest'
import { startRedis, startSentinel } from '../../dev/redis.mjs'
import { test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

const MESSAGES = 3_000

test('nothing is lost when the store fails over, and other handlers go on after it', async ({ url, probe }) => {
  await using master = await startRedis()
  await using _replica = await startRedis([`replicaof 127.0.0.1 ${master.port}`])
  await using sentinel = await startSentinel('bus', master.port)
  await using store = createTempStore({
    namespace: 'failover:',
    sentinel: { name: 'bus', nodes: [{ host: '127.0.0.1', port: sentinel.port }] },
  })
  await expect.poll(() => store.isDown(), { timeout: 15_000 }).toBe('')
  const done = new Map<number, number>()
  const beside: number[] = []
  const records = new Records()
  await using _worker = await defineService({
    name: 'failover',
    prefetch: 20,
    handlers: [
      onEvent(
        'Work',
        ({ payload }) => {
          const seq = Number(payload)
          done.set(seq, (done.get(seq) ?? 0) + 1)
        },
        { once: { store, lockMs: 2_000 } },
      ),
      onEvent('Beside', ({ payload }) => void beside.push(Number(payload))),
    ],
  }).start({ urls: [url], stderrLevel: 'NONE', format: 'json', onLog: records.onLog })
  for (let seq = 0; seq < MESSAGES; seq++) {
    await probe.event('Work', seq, { messageId: `m${seq}` })
    if (seq === MESSAGES / 3) await master.kill()
  }
  await expect.poll(() => done.size, { timeout: 120_000 }).toBe(MESSAGES)
  await expect.poll(() => probe.counts('failover.events'), { timeout: 60_000 }).toEqual({ messages: 0, consumers: 1 })
  // what was in hand, and what the replica had not got yet, may have been done twice
  const repeated = [...done.values()].reduce((sum, count) => sum + count - 1, 0)
  process.stdout.write(`${repeated} of ${MESSAGES} were done twice after the fail-over\n`)
  expect(repeated).toBeLessThan(200)
  expect(records.of('EMERGENCY')).toEqual([])
  await probe.event('Beside', 1)
  await expect.poll(() => beside).toEqual([1])
})
