/** When the exchange of logs is gone, or forbidden: the work goes on, and what matters shows on stderr. */
import { AMQPChannel } from '@cloudamqp/amqp-client'
import { defineService, onEvent } from 'eventail'
import { afterEach, expect, vi } from 'vitest'
import { isDevelopmentBroker, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, Records } from '../bus/watched.ts'

const REOPEN_MS = 10_000
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** A service that logs with each message. */
function logging(name: string) {
  const handled: unknown[] = []
  let readies = 0
  const service = defineService({
    name,
    handlers: [
      onEvent(`${name}.Work`, ({ payload, log }) => {
        handled.push(payload)
        log.info(`working ${String(payload)}`)
        log.warning(`warned ${String(payload)}`)
      }),
    ],
    hooks: { onReady: () => void (readies += 1) },
  })
  return { service, handled, readies: () => readies }
}

test.skipIf(isDevelopmentBroker)(
  'a worker that may not write logs works all the same, says so, and warns on stderr',
  async ({ url, probe, management }) => {
    using stderr = new CapturedStderr()
    await management.createUser('logless', 'logless', { configure: '.*', write: '^(?!logs$).*', read: '.*' })
    const restricted = new URL(url)
    restricted.username = restricted.password = 'logless'
    const { service, handled, readies } = logging('forbidden')
    const records = new Records()
    await using worker = await service.start({
      urls: [restricted.href],
      stderrLevel: 'EMERGENCY',
      onLog: records.onLog,
    })
    await expect.poll(() => stderr.lines('log records cannot be sent')).toHaveLength(1)
    expect(stderr.lines('log records cannot be sent')[0]).toMatch(/WARNING +forbidden +.*ACCESS_REFUSED/)
    for (const n of upTo(300)) await probe.event('forbidden.Work', n)
    await expect.poll(() => handled).toEqual(upTo(300))
    await expect.poll(() => probe.counts('forbidden.events')).toEqual({ messages: 0, consumers: 1 })
    expect(readies()).toBe(1)
    expect(worker.state).toBe('ready')
    expect(stderr.lines('warned 299')).toHaveLength(1)
  },
)

test('an exchange of logs that was deleted costs at most what was on its way, and is there again', async ({
  url,
  probe,
}) => {
  using _stderr = new CapturedStderr()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { service, handled, readies } = logging('deleted')
  const records = new Records()
  await using _worker = await service.start({ urls: [url], stderrLevel: 'EMERGENCY', onLog: records.onLog })
  const troubles = (): string[] => records.of('WARNING').filter((line) => line.includes('log records'))
  await probe.deleteExchange('logs')
  await probe.event('deleted.Work', 'lost')
  await vi.waitFor(() => expect(troubles()).toHaveLength(1))
  for (const n of upTo(20)) await probe.event('deleted.Work', n)
  await vi.waitFor(() => expect(handled).toEqual(['lost', ...upTo(20)]))
  const logs = await probe.logs('deleted.INFO')
  vi.advanceTimersByTime(REOPEN_MS + 1)
  await vi.waitFor(() =>
    expect(logs.received.map((message) => recordOf(message)['short_message'])).toContain('working 19'),
  )
  expect(logs.size).toBe(20)
  expect(readies()).toBe(1)
})

test('an exchange of logs that is not declared here is not made again, but waited for', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { service, handled } = logging('waiting')
  const records = new Records()
  await using _worker = await service.start({
    urls: [url],
    declare: 'queues',
    stderrLevel: 'EMERGENCY',
    onLog: records.onLog,
  })
  await probe.deleteExchange('logs')
  await probe.event('waiting.Work', 'lost')
  await vi.waitFor(() => expect(records.of('WARNING').some((line) => line.includes('cannot be sent'))).toBe(true))
  await probe.event('waiting.Work', 'kept')
  await vi.waitFor(() => expect(handled).toEqual(['lost', 'kept']))
  const asked = vi.spyOn(AMQPChannel.prototype, 'basicQos')
  vi.advanceTimersByTime(REOPEN_MS + 1)
  await vi.waitFor(() => expect(asked).toHaveBeenCalled())
  const channel = await probe.channel()
  channel.on('error', () => {})
  await expect(channel.checkExchange('logs')).rejects.toThrow('NOT_FOUND')
  const again = await probe.channel()
  await again.assertExchange('logs', 'topic', { durable: true })
  await again.close()
}, 40_000)

test.skipIf(isDevelopmentBroker)(
  'what could not be kept while logs are forbidden is counted, and told when they may be written again',
  async ({ url, probe, management }) => {
    using stderr = new CapturedStderr()
    const mayNot = { configure: '.*', write: '^(?!logs$).*', read: '.*' }
    await management.createUser('loglater', 'loglater', mayNot)
    const restricted = new URL(url)
    restricted.username = restricted.password = 'loglater'
    const logs = await probe.logs('later.*')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await using worker = await defineService({ name: 'later' }).start({
      urls: [restricted.href],
      stderrLevel: 'EMERGENCY',
    })
    await vi.waitFor(() => expect(stderr.lines('log records cannot be sent')).toHaveLength(1))
    for (const n of upTo(1100)) worker.log.info(`kept ${n}`)
    // still forbidden: of what is tried one record is lost, and the rest is kept
    vi.advanceTimersByTime(REOPEN_MS + 1)
    await vi.waitFor(() => expect(worker.state).toBe('ready'))
    await management.createUser('loglater', 'loglater', { ...mayNot, write: '.*' })
    for (let tries = 0; logs.size === 0 && tries < 30; tries++) {
      vi.advanceTimersByTime(REOPEN_MS + 1)
      await management.connections()
    }
    const lines = (): unknown[] => logs.received.map((message) => recordOf(message)['short_message'])
    await vi.waitFor(() => expect(lines()).toContainEqual(expect.stringMatching(/^\d+ log records were dropped/)))
    const kept = lines().filter((line) => String(line).startsWith('kept'))
    const dropped = Number(
      /^(\d+) log records/.exec(String(lines().find((line) => /log records were/.test(String(line)))))?.[1],
    )
    expect(kept.at(-1)).toBe('kept 1099')
    expect(kept.length).toBeGreaterThan(990)
    // and the records of the worker itself, of which the first went when nobody knew yet
    expect(dropped).toBeGreaterThanOrEqual(1100 - kept.length)
    expect(dropped).toBeLessThanOrEqual(1100 - kept.length + 5)
  },
)
