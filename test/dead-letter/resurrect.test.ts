/** Replaying dead letters: what is replayed arrives as it was, and what is not stays; nothing is lost on the way. */
import { expect, inject } from 'vitest'
import { type Probe, test } from '../bus/bus.ts'
import { Eventail, eventail, objectsOf } from '../cli/eventail.ts'
import { bury, dig, drain, rejectAll } from './letters.ts'

const told = (n: number): { routingKey: string; body: unknown; headers: object } => ({
  routingKey: 'Told',
  body: { n },
  headers: { conversation_id: `c${n}` },
})

function messagesOf(probe: Probe, queue: string): Promise<number> {
  return probe.counts(queue).then(({ messages }) => messages)
}

test('a letter arrives with its exact bytes and all its properties, and without the death headers', async ({
  url,
  probe,
}) => {
  const grave = await dig(probe, 'exact', 'exact.Told')
  const properties = {
    contentType: 'application/cbor',
    contentEncoding: 'binary',
    headers: { conversation_id: 'c1', nested: { deep: [1, 'two', true] }, 'x-mine': 2 ** 40 },
    priority: 3,
    correlationId: 'k1',
    replyTo: 'exact.Done',
    messageId: 'm1',
    timestamp: 1_700_000_000,
    type: 'kind',
    appId: 'teller',
  }
  const body = Uint8Array.of(0xa1, 0xff, 0x00)
  await bury(probe, grave, 1, () => ({ routingKey: 'exact.Told', body, persistent: true, ...properties }))
  const events = await probe.listen('events', 'exact.Told')
  const { code, stderr } = await eventail(url, ['resurrect', grave.dead])
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('1 of 1 letters replayed') })
  const again = await events.next()
  expect(again.content).toEqual(Buffer.from(body))
  expect(again.properties).toMatchObject({ ...properties, deliveryMode: 2 })
  expect(again.properties.headers).toEqual(properties.headers)
  expect(await messagesOf(probe, grave.dead)).toBe(0)
})

test('letters that the filter leaves stay in their order, and do not stall the run', async ({ url, probe }) => {
  const grave = await dig(probe, 'filtered', 'filtered.#')
  await bury(probe, grave, 300, (n) => ({
    ...told(n),
    routingKey: n % 100 === 99 ? 'filtered.wanted' : 'filtered.other',
  }))
  const args = ['resurrect', grave.dead, '--filter', '*.wanted', '--where', 'payload.n > 100', '--batch_size', '7']
  const { code, stderr } = await eventail(url, args)
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('2 of 300 letters replayed, 298 left by the filter'),
  })
  expect((await drain(probe, grave.live)).toSorted()).toEqual(['{"n":199}', '{"n":299}'])
  const left = (await drain(probe, grave.dead)).map((text) => (JSON.parse(text) as { n: number }).n)
  expect(left).toEqual(Array.from({ length: 300 }, (_, n) => n).filter((n) => n !== 199 && n !== 299))
})

test('letters that no queue takes stay, also without message ids and when others like them are taken', async ({
  url,
  probe,
}) => {
  const grave = await dig(probe, 'nowhere', 'nowhere.#')
  await bury(probe, grave, 40, (n) => ({ ...told(n), routingKey: n % 2 === 0 ? 'nowhere.gone' : 'nowhere.here' }))
  const channel = await probe.channel()
  await channel.unbindQueue(grave.live, 'events', 'nowhere.#')
  await channel.close()
  await probe.bind(grave.live, 'events', 'nowhere.here')
  const { code, stderr } = await eventail(url, ['resurrect', grave.dead])
  expect(code).toBe(3)
  expect(stderr).toContain('nowhere.gone: stays: no queue takes it any more')
  expect(stderr).toContain('20 of 40 letters replayed, 0 left by the filter, 20 could not be replayed')
  expect(await messagesOf(probe, grave.live)).toBe(20)
  expect(await messagesOf(probe, grave.dead)).toBe(20)
})

test('a letter without death headers, and one whose exchange is gone, are reported and left; the rest goes on', async ({
  url,
  probe,
}) => {
  const grave = await dig(probe, 'odd', 'odd.Told')
  await probe.publish({ routingKey: grave.dead, body: 'no headers' })
  const headers = {
    'x-first-death-exchange': 'vanished',
    'x-first-death-queue': 'q',
    'x-first-death-reason': 'rejected',
  }
  await probe.publish({ routingKey: grave.dead, body: 'no exchange', headers })
  await bury(probe, grave, 1, (n) => ({ ...told(n), routingKey: 'odd.Told' }))
  const { code, stderr } = await eventail(url, ['resurrect', grave.dead])
  expect(code).toBe(3)
  expect(stderr).toContain('odd-dead: stays: its headers do not say where it died')
  expect(stderr).toContain("odd-dead: stays: its exchange 'vanished' does not exist any more")
  expect(await drain(probe, grave.live)).toEqual(['{"n":0}'])
  expect(await drain(probe, grave.dead)).toEqual(['"no headers"', '"no exchange"'])
})

test('letters that come back dead during the run are not replayed again', async ({ url, probe }) => {
  const grave = await dig(probe, 'loop', 'loop.Told')
  await bury(probe, grave, 50, (n) => ({ ...told(n), routingKey: 'loop.Told' }))
  const events = await probe.listen('events', 'loop.Told')
  const rejecting = rejectAll(probe, grave.live, 50)
  const { code } = await eventail(url, ['resurrect', grave.dead, '--batch-size', '1'])
  await rejecting
  expect(code).toBe(0)
  await expect.poll(() => messagesOf(probe, grave.dead)).toBe(50)
  expect(events.size).toBe(50)
})

test('a canary stops when letters come back dead', async ({ url, probe }) => {
  const grave = await dig(probe, 'canary', 'canary.Told')
  await bury(probe, grave, 30, (n) => ({ ...told(n), routingKey: 'canary.Told' }))
  const rejecting = rejectAll(probe, grave.live, 1)
  const { code, stderr } = await eventail(url, ['resurrect', grave.dead, '--canary'])
  await rejecting
  expect(code).toBe(3)
  expect(stderr).toContain('1 of 30 letters replayed')
  expect(stderr).toContain('came in dead again')
  await expect.poll(() => messagesOf(probe, grave.dead)).toBe(30)
})

test('a dry run sends nothing, and lists who would receive each letter', async ({ url, probe, management: _api }) => {
  const grave = await dig(probe, 'dry', 'dry.Told')
  await probe.declareQueue('bystander.events')
  await probe.bind('bystander.events', 'events', 'dry.*')
  await bury(probe, grave, 2, (n) => ({ ...told(n), routingKey: 'dry.Told' }))
  await drain(probe, 'bystander.events')
  const args = ['resurrect', grave.dead, '--dry-run', '--management-url', inject('managementUrl')]
  const [text, json] = [await eventail(url, args), await eventail(url, [...args, '--json', '--count', '1'])]
  expect(text).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('to exchange events, received by bystander.events, dry.events'),
    stderr: expect.stringContaining('2 of 2 letters would be replayed'),
  })
  expect(text.stdout).toContain('rejected by dry.events')
  expect(objectsOf(json.stdout)).toEqual([
    expect.objectContaining({ kind: 'event', outcome: 'would-replay', receivers: ['bystander.events', 'dry.events'] }),
  ])
  expect(await messagesOf(probe, grave.dead)).toBe(2)
  expect(await messagesOf(probe, 'bystander.events')).toBe(0)
  const blind = await eventail(url, ['resurrect', grave.dead, '--dry-run', '--management-url', 'http://127.0.0.1:1'])
  expect(blind).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('who would receive the letters is not known'),
  })
})

test('kill -9 in the middle loses nothing, and Ctrl-C neither', { timeout: 40_000 }, async ({ url, probe }) => {
  const grave = await dig(probe, 'killed', 'killed.Told')
  await bury(probe, grave, 2000, (n) => ({ ...told(n), routingKey: 'killed.Told' }))
  for (const [at, signal] of [
    [200, 'SIGKILL'],
    [700, 'SIGKILL'],
    [1200, 'SIGINT'],
  ] as const) {
    await using run = new Eventail(url, ['resurrect', grave.dead, '--rate', '2000', '--batch-size', '20'])
    await expect.poll(() => messagesOf(probe, grave.live), { timeout: 15_000, interval: 5 }).toBeGreaterThan(at)
    run.child.kill(signal)
    expect((await run.ended).code).toBe(signal === 'SIGINT' ? 130 : signal)
  }
  await expect
    .poll(async () => (await messagesOf(probe, grave.live)) + (await messagesOf(probe, grave.dead)))
    .toBeGreaterThanOrEqual(2000)
  expect(await messagesOf(probe, grave.dead)).toBeGreaterThan(0)
  const numbers = [...(await drain(probe, grave.live)), ...(await drain(probe, grave.dead))]
  expect(new Set(numbers).size).toBe(2000)
})

test('the live queue of a service is refused', async ({ url, probe }) => {
  await probe.declareQueue('pong.commands')
  expect(await eventail(url, ['resurrect', 'pong.commands'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('is a live queue'),
  })
})

test('a letter that only somebody who watches would receive stays', async ({ url, probe, management: _api }) => {
  const grave = await dig(probe, 'gone', 'gone.#')
  const other = await dig(probe, 'unbound', 'unbound.#')
  await bury(probe, grave, 2, (n) => ({ ...told(n), routingKey: 'gone.Told' }))
  await bury(probe, other, 2, (n) => ({ ...told(n), routingKey: 'unbound.Told' }))
  await probe.deleteQueue(grave.live)
  const channel = await probe.channel()
  await channel.unbindQueue(other.live, 'events', 'unbound.#')
  await channel.close()
  await using monitor = new Eventail(url, ['monitor', '--events'])
  await expect.poll(() => monitor.stderr, { timeout: 10_000 }).toContain('messages on')
  expect(await eventail(url, ['resurrect', grave.dead, '--management-url', 'http://127.0.0.1:1'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("the queue where it died, 'gone.events', does not exist any more"),
  })
  const api = ['--management-url', inject('managementUrl')]
  expect(await eventail(url, ['resurrect', other.dead, ...api])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('unbound.Told: stays: no queue takes it any more'),
  })
  expect(await messagesOf(probe, grave.dead)).toBe(2)
  expect(await messagesOf(probe, other.dead)).toBe(2)
})

test('a rate is kept from the first letter on', async ({ url, probe }) => {
  const grave = await dig(probe, 'paced', 'paced.Told')
  await bury(probe, grave, 8, (n) => ({ ...told(n), routingKey: 'paced.Told' }))
  const events = await probe.listen('events', 'paced.Told')
  const run = eventail(url, ['resurrect', grave.dead, '--rate', '10'])
  await events.next({ timeoutMs: 30_000 })
  const first = performance.now()
  for (let n = 0; n < 7; n++) await events.next()
  // 700 ms, less what the first one took longer to get here
  expect(performance.now() - first).toBeGreaterThan(350)
  expect((await run).code).toBe(0)
})

test('headers keep their types, also those that no other program here writes', async ({ url, probe }) => {
  const grave = await dig(probe, 'typed', 'typed.Told')
  const headers = {
    conversation_id: 'c1',
    decimal: { '!': 'decimal', value: { places: 2, digits: 125 } },
    float: { '!': 'float', value: 1.5 },
    byte: { '!': 'byte', value: -3 },
    time: { '!': 'timestamp', value: 1_700_000_000 },
  }
  await bury(probe, grave, 1, () => ({ routingKey: 'typed.Told', headers }))
  const read = async (queue: string): Promise<unknown> => {
    const channel = await probe.channel()
    const message = await channel.get(queue)
    if (message !== false) channel.nack(message)
    await channel.close()
    return message === false ? undefined : message.properties.headers
  }
  const before = (await read(grave.dead)) as Record<string, unknown>
  expect((await eventail(url, ['resurrect', grave.dead])).code).toBe(0)
  const after = (await read(grave.live)) as Record<string, unknown>
  expect(new Set(Object.keys(after))).toEqual(new Set(Object.keys(headers)))
  for (const name of Object.keys(headers)) expect([name, after[name]]).toEqual([name, before[name]])
})
