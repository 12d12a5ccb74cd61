import { defineService, onEvent, UnroutableError } from 'eventail'
import { expect } from 'vitest'
import { recordOf, test } from '../bus/bus.ts'
import { outcomeOf, Records } from '../bus/watched.ts'

const QUIET = { stderrLevel: 'NONE', format: 'json' } as const

test('each mandatory message that no queue takes comes back to its own publish, among others that are taken', async ({
  url,
  probe,
}) => {
  const taken = await probe.listen('events', 'Taken')
  const returned: { routingKey: string; messageId: string | undefined; payload: unknown }[] = []
  await using worker = await defineService({
    name: 'mixed',
    hooks: { onReturned: (message) => void returned.push(message) },
  }).start({ ...QUIET, urls: [url] })
  const keyOf = (n: number): string => (n % 3 === 0 ? 'Nowhere' : 'Taken')
  const outcomes = await Promise.all(
    Array.from({ length: 300 }, (_, n) => outcomeOf(worker.publish(keyOf(n), n, { mandatory: n % 2 === 0 }))),
  )
  const unroutable = Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 6 === 0)
  expect(outcomes.flatMap((outcome, n) => (outcome === 'UNROUTABLE' ? [n] : []))).toEqual(unroutable)
  expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(250)
  expect(returned.map(({ payload }) => payload)).toEqual(unroutable)
  expect(new Set(returned.map(({ messageId }) => messageId)).size).toBe(50)
  await expect.poll(() => taken.size).toBe(200)
})

test('of two identical publishes each gets its own return', async ({ url }) => {
  const ids: (string | undefined)[] = []
  await using worker = await defineService({
    name: 'twins',
    hooks: { onReturned: ({ messageId }) => void ids.push(messageId) },
  }).start({ ...QUIET, urls: [url] })
  const publish = (): Promise<string> =>
    outcomeOf(worker.publish('Nowhere', 1, { mandatory: true, conversationId: 'c' }))
  expect(await Promise.all([publish(), publish()])).toEqual(['UNROUTABLE', 'UNROUTABLE'])
  expect(new Set(ids).size).toBe(2)
})

test('a returned message is told with its routing key, payload and envelope, and its publish says what to do', async ({
  url,
}) => {
  const returned: unknown[] = []
  await using worker = await defineService({
    name: 'returner',
    format: 'cbor',
    hooks: { onReturned: (message) => void returned.push(message) },
  }).start({ urls: [url], stderrLevel: 'NONE' })
  const headers = { tenant: 'blue', nested: { deep: [1, 'two'] } }
  const options = { replyTo: 'returner.Done', correlationId: 'k1', conversationId: 'c1' }
  const error: unknown = await worker
    .sendCommand('nobody.Do', { n: 1 }, { ...options, headers })
    .catch((e: unknown) => e)
  expect(error).toBeInstanceOf(UnroutableError)
  expect(error).toMatchObject({ exchange: 'commands', routingKey: 'nobody.Do' })
  expect(error).toMatchObject({ message: expect.stringContaining('no queue is bound') })
  expect(returned).toEqual([
    {
      ...options,
      exchange: 'commands',
      routingKey: 'nobody.Do',
      payload: { n: 1 },
      messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      headers,
    },
  ])
})

test('a returned message is an ERROR in the log where there is no hook, in its conversation', async ({
  url,
  probe,
}) => {
  const logs = await probe.logs('hookless.ERROR')
  await using worker = await defineService({ name: 'hookless' }).start({ ...QUIET, urls: [url] })
  expect(await outcomeOf(worker.sendCommand('nobody.Do', 1, { conversationId: 'c5' }))).toBe('UNROUTABLE')
  const record = recordOf(await logs.next())
  expect(record).toMatchObject({ _conversation_id: 'c5', short_message: expect.stringContaining("'nobody.Do'") })
})

test('an event that nobody listens to is no error, unless it is mandatory', async ({ url, probe }) => {
  const outcomes: string[] = []
  await using worker = await defineService({
    name: 'shouter',
    handlers: [
      onEvent('Shout', async ({ publish }) => {
        outcomes.push(await outcomeOf(publish('Unheard', 1)))
        outcomes.push(await outcomeOf(publish('Unheard', 1, { mandatory: true })))
      }),
    ],
  }).start({ ...QUIET, urls: [url] })
  expect(await outcomeOf(worker.publish('Unheard', 1))).toBe('ok')
  await probe.event('Shout')
  // its handler has dealt with the return: the message is not handled again
  await expect.poll(() => outcomes).toEqual(['ok', 'UNROUTABLE'])
  await expect.poll(() => probe.counts('shouter.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a returned-message hook whose own command comes back stops the service, and does not go round in circles', async ({
  url,
}) => {
  const records = new Records()
  let calls = 0
  const worker = await defineService({
    name: 'circular',
    hooks: {
      onReturned: (_message, { sendCommand }) => {
        calls += 1
        return sendCommand('nobody.Complain', 1)
      },
    },
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  void worker.sendCommand('nobody.Do', 1)
  await worker.stopped
  expect(worker.failure).toMatchObject({ code: 'UNROUTABLE' })
  expect(records.of('EMERGENCY')[0]).toContain("the onReturned hook failed for 'nobody.Do'")
  expect(calls).toBeLessThan(10)
})

test('an error in the returned-message hook stops the service with an EMERGENCY', async ({ url }) => {
  const records = new Records()
  const worker = await defineService({
    name: 'fragile',
    hooks: {
      onReturned: () => {
        throw new Error('what now?')
      },
    },
  }).start({ ...QUIET, urls: [url], onLog: records.onLog })
  void worker.sendCommand('nobody.Do', 1)
  await worker.stopped
  expect(worker.failure?.message).toBe('what now?')
  expect(records.of('EMERGENCY')).toEqual([expect.stringContaining('what now?')])
})
