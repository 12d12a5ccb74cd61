/** Each example as a program of its own, with the probe in the place of the services that it talks to. */
import { decode } from 'cborg'
import type { ConsumeMessage } from 'amqplib'
import { expect } from 'vitest'
import { recordOf, test } from '../bus/bus.ts'
import { Program } from '../dev/programs.ts'

/** Starts an example; resolves when it works. */
async function start(url: string, name: string, ...args: string[]): Promise<Program> {
  const program = new Program(['--import', 'tsx', `examples/${name}.ts`, ...args, url], {
    EVENTAIL_AMQP_URL: undefined,
  })
  await expect.poll(() => program.output, { timeout: 15_000 }).toMatch(/ready|waiting for the configuration/)
  return program
}

async function stopsWell(program: Program): Promise<void> {
  program.kill('SIGTERM')
  expect(await program.ended, program.output).toBe(0)
}

function payloadOf({ content, properties }: ConsumeMessage): unknown {
  expect(properties.contentType).toBe('application/cbor')
  return decode(content)
}

test('clock tells the time, each second', async ({ url, probe }) => {
  const seconds = await probe.listen('events', 'SecondTicked')
  await using clock = await start(url, 'clock')
  const first = payloadOf(await seconds.next()) as { unix_time: number }
  expect(Math.abs(first.unix_time - Date.now() / 1000)).toBeLessThan(2)
  const second = payloadOf(await seconds.next()) as { unix_time: number }
  expect(second.unix_time).toBeGreaterThan(first.unix_time)
  await stopsWell(clock)
})

test('ping sends pong a message, and logs what comes back under its own name', async ({ url, probe }) => {
  const commands = await probe.listen('commands', 'pong.EchoMessage')
  const logs = await probe.logs('my-ping.INFO')
  await using ping = await start(url, 'ping', 'my-ping')
  const { properties, ...command } = await commands.next()
  expect(payloadOf({ properties, ...command })).toEqual({ message: 'hello number 1' })
  expect(properties).toMatchObject({ replyTo: 'my-ping.EchoReturn', correlationId: '1', appId: 'my-ping' })
  await probe.command('my-ping.EchoReturn', { echo: 'HELLO NUMBER 1' }, answerTo(properties))
  await expect
    .poll(() => logs.received.map((log) => recordOf(log)['short_message']))
    .toContain('success: {"echo":"HELLO NUMBER 1"} (1)')
  await stopsWell(ping)
})

test('pong answers in capitals at once, and acknowledges in batches', async ({ url, probe }) => {
  const results = await probe.listen('commands', 'probe.Result')
  await using pong = await start(url, 'pong')
  await probe.command('pong.EchoMessage', { message: 'hello' })
  const result = await results.next()
  expect(payloadOf(result)).toEqual({ echo: 'HELLO' })
  expect(result.properties).toMatchObject({
    correlationId: 'k1',
    headers: { conversation_id: 'c1', status: 'success' },
  })
  await stopsWell(pong)
  expect(await probe.counts('pong.commands')).toEqual({ messages: 0, consumers: 0 })
})

test('ping-conf asks for its configuration, and says nothing before it has one', async ({ url, probe }) => {
  const requests = await probe.listen('configurations', 'EchoMessagesRequested')
  const commands = await probe.listen('commands', 'pong.EchoMessage')
  await using pingConf = await start(url, 'ping-conf')
  expect(payloadOf(await requests.next())).toEqual({})
  expect(await probe.counts('ping-conf.commands')).toEqual({ messages: 0, consumers: 0 })
  expect(commands.size).toBe(0)
  await probe.publish({
    exchange: 'configurations',
    routingKey: 'EchoMessagesDefined',
    body: { messages: ['this and nothing else'] },
  })
  const command = await commands.next()
  expect(payloadOf(command)).toEqual({ message: 'this and nothing else' })
  expect(command.properties.replyTo).toBe('ping-conf.EchoReturn')
  await stopsWell(pingConf)
})

test('echo-messages says what may be said when it starts, and to whoever asks', async ({ url, probe }) => {
  const defined = await probe.listen('configurations', 'EchoMessagesDefined')
  await using echoMessages = await start(url, 'echo-messages')
  const messages = { messages: ['good morning', 'how do you do', 'see you later'] }
  expect(payloadOf(await defined.next())).toEqual(messages)
  await probe.publish({ exchange: 'configurations', routingKey: 'EchoMessagesRequested', body: {} })
  expect(payloadOf(await defined.next())).toEqual(messages)
  await stopsWell(echoMessages)
})

test('prime tells primes, and refuses what cannot be one with an error result', async ({ url, probe }) => {
  const results = await probe.listen('commands', 'probe.Result')
  await using prime = await start(url, 'prime')
  const outcomes: unknown[] = []
  for (const number of [2, 9, 1_000_003, -7]) {
    await probe.command('prime.CheckPrime', { number })
    const result = await results.next()
    outcomes.push([result.properties.headers?.['status'], payloadOf(result)])
  }
  expect(outcomes).toEqual([
    ['success', { 'is_prime?': true }],
    ['success', { 'is_prime?': false }],
    ['success', { 'is_prime?': true }],
    ['error', { reason: 'only natural numbers can be prime' }],
  ])
  await stopsWell(prime)
})

test('prime-time asks prime about each second, and tells which were prime', async ({ url, probe }) => {
  const commands = await probe.listen('commands', 'prime.CheckPrime')
  const primeTimes = await probe.listen('events', 'PrimeTimeTicked')
  await using primeTime = await start(url, 'prime-time')
  for (const unix_time of [6, 7]) {
    await probe.event('SecondTicked', { unix_time })
    const { properties, ...command } = await commands.next()
    expect(payloadOf({ properties, ...command })).toEqual({ number: unix_time })
    expect(properties).toMatchObject({ replyTo: 'prime_time.CheckPrimeResult', correlationId: String(unix_time) })
    expect(properties.headers).toMatchObject({ conversation_id: 'c1' })
    await probe.command('prime_time.CheckPrimeResult', { 'is_prime?': unix_time === 7 }, answerTo(properties))
  }
  const ticked = await primeTimes.next()
  expect(payloadOf(ticked)).toEqual({ prime_time: 7 })
  expect(ticked.properties.headers).toMatchObject({ conversation_id: 'c1' })
  await stopsWell(primeTime)
})

test('healthy tells that it is ready, and how often it was told the time', async ({ url, probe }) => {
  await using healthy = await start(url, 'healthy')
  const base = /http:\/\/127\.0\.0\.1:\d+/.exec(healthy.output)?.[0] ?? ''
  await expect.poll(async () => (await fetch(`${base}/readyz`)).status).toBe(200)
  for (const unix_time of [1, 2]) await probe.event('SecondTicked', { unix_time })
  await expect
    .poll(async () => (await fetch(`${base}/metrics`)).text())
    .toContain(
      'eventail_messages_total{service="healthy",kind="event",handler="SecondTicked",outcome="acknowledged"} 2\n',
    )
  await stopsWell(healthy)
})

test('minute-clock makes a minute of sixty seconds, and an incomplete one of the rest', async ({ url, probe }) => {
  const minutes = await probe.listen('events', 'MinuteTicked', 'IncompleteMinuteTicked')
  await using minute = await start(url, 'minute-clock')
  for (let unix_time = 1; unix_time <= 63; unix_time++) await probe.event('SecondTicked', { unix_time })
  const full = await minutes.next()
  expect(full.fields.routingKey).toBe('MinuteTicked')
  expect(payloadOf(full)).toEqual({ iso_time: '1970-01-01T00:01:00.000Z' })
  // the last three are on their way once the minute is acknowledged
  await expect.poll(() => probe.counts('minute.events')).toEqual({ messages: 0, consumers: 1 })
  await stopsWell(minute)
  const rest = await minutes.next()
  expect(rest.fields.routingKey).toBe('IncompleteMinuteTicked')
  expect(payloadOf(rest)).toEqual({ iso_time: '1970-01-01T00:01:03.000Z' })
  expect(await probe.counts('minute.events')).toEqual({ messages: 0, consumers: 0 })
})

test('grumpy gets a second chance with fives, and none with twelves', async ({ url, probe, dead }) => {
  const logs = await probe.logs('grumpy.ALERT', 'grumpy.EMERGENCY', 'grumpy.DEBUG')
  await using grumpy = await start(url, 'grumpy')
  const levels = async (count: number): Promise<unknown[]> => {
    const shown: unknown[] = []
    while (shown.length < count) shown.push(recordOf(await logs.next())['_levelname'])
    return shown
  }
  await probe.event('SecondTicked', { unix_time: 1 })
  expect(await levels(1)).toEqual(['DEBUG'])
  await probe.event('SecondTicked', { unix_time: 5 })
  expect(await levels(2)).toEqual(['ALERT', 'DEBUG'])
  await probe.event('SecondTicked', { unix_time: 12 })
  expect(await levels(3)).toEqual(['ALERT', 'ALERT', 'EMERGENCY'])
  expect((await dead.next()).properties.headers).toMatchObject({ 'x-first-death-queue': 'grumpy.events' })
  await stopsWell(grumpy)
})

/** What makes a message of the command exchange the successful result of a command. */
function answerTo(command: ConsumeMessage['properties']): object {
  const correlationId: unknown = command.correlationId
  return { replyTo: undefined, correlationId, headers: { ...command.headers, status: 'success' } }
}

test('sync-clock tells the time, and blocks until the broker has it', async ({ url, probe }) => {
  const seconds = await probe.listen('events', 'SecondTicked')
  await using clock = new Program(['--import', 'tsx', 'examples/sync-clock.ts', url])
  const told = payloadOf(await seconds.next({ timeoutMs: 15_000 })) as { unix_time: number }
  expect(Math.abs(told.unix_time - Date.now() / 1000)).toBeLessThan(5)
  await expect.poll(() => clock.lines).toContain(`the broker has ${told.unix_time}`)
})

test('http-prime answers requests with the results of commands', async ({ url, probe }) => {
  await probe.deleteQueue('prime.commands')
  await using server = await start(url, 'http-prime')
  const base = /http:\/\/127\.0\.0\.1:\d+/.exec(server.output)?.[0] ?? ''
  const get = async (path: string): Promise<[number, unknown]> => {
    const response = await fetch(`${base}${path}`)
    return [response.status, await response.json()]
  }
  expect(await get('/prime/7')).toEqual([503, { problem: expect.stringContaining('no queue is bound for it') }])
  await using prime = await start(url, 'prime')
  expect(await get('/prime/7')).toEqual([200, { 'is_prime?': true }])
  expect(await get('/prime/8')).toEqual([200, { 'is_prime?': false }])
  expect(await get('/prime/-1')).toEqual([422, { problem: { reason: expect.stringContaining('natural numbers') } }])
  expect(await get('/elsewhere')).toEqual([404, { problem: 'ask for /prime/NUMBER' }])
  await stopsWell(prime)
  await stopsWell(server)
})
