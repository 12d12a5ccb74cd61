/** How long a service may look for its first broker. */
import { ConnectionError, defineService } from 'eventail'
import { expect, vi } from 'vitest'
import { test } from '../bus/bus.ts'
import { Records } from '../bus/watched.ts'

test('a start that finds no broker in the time for it rejects, with why the last try failed', async () => {
  const records = new Records()
  const starting = defineService({ name: 'brokerless', startTimeoutMs: 900 }).start({
    urls: ['amqp://user:c4nary@127.0.0.1:1'],
    stderrLevel: 'NONE',
    onLog: records.onLog,
  })
  const error: unknown = await starting.catch((e: unknown) => e)
  expect(error).toBeInstanceOf(ConnectionError)
  const message = expect.stringMatching(/^no broker was found within 900 ms \(startTimeoutMs\): .*ECONNREFUSED/)
  expect(error).toMatchObject({ message })
  expect(records.of('EMERGENCY')).toEqual([message])
  expect(JSON.stringify(records.all)).not.toContain('c4nary')
})

test('a service that has found its broker is not held to the time for its start', async ({ url }) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    await using worker = await defineService({ name: 'in-time', startTimeoutMs: 900 }).start({
      urls: [url],
      stderrLevel: 'NONE',
    })
    vi.advanceTimersByTime(2000)
    expect([worker.state, worker.failure]).toEqual(['ready', undefined])
  } finally {
    vi.useRealTimers()
  }
})
