import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { defineService, onEvent, PublishRefusedError, SETTLE_LATER } from 'eventail'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../dev/broker.mjs'
import { jsonOf, type Listening, Probe } from '../bus/probe.ts'
import { Proxy } from '../bus/proxy.ts'
import { CapturedStderr, gate, outcomeOf, Records } from '../bus/watched.ts'

// These tests break their broker: it is their own, and each begins with a running one.

const FLOOD = fileURLToPath(new URL('../reliability/programs/flood.mjs', import.meta.url))
// what is said while the broker is away is said on stderr
const QUIET = { stderrLevel: 'EMERGENCY', format: 'json' } as const
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

let broker: Broker
let probe: Probe

beforeAll(async () => {
  broker = await startBroker({ config: ['max_message_size = 65536'] })
})
beforeEach(async () => {
  probe = await Probe.open(broker.url)
})
afterEach(async () => probe.close())
afterAll(async () => broker.dispose())

/** What dies in a queue: by policy, and an exchange that is bound to the probe. */
async function deadLettersOf(queue: string): Promise<Listening> {
  const dead = await probe.listen('am-dlx', '#')
  const definition = '[{<<"dead-letter-exchange">>, <<"am-dlx">>}]'
  await broker.evaluate(
    `ok = rabbit_policy:set(<<"/">>, <<"DLX">>, <<"${queue}">>, ${definition}, 0, <<"queues">>, <<"test">>)`,
  )
  return dead
}

const memoryLimit = (part: number): Promise<string> =>
  broker.evaluate(`ok = vm_memory_monitor:set_vm_memory_high_watermark(${part})`)
const alarm = (): Promise<string> => memoryLimit(0.00001)
const noAlarm = (): Promise<string> => memoryLimit(0.4)
const diskLimit = (size: string): Promise<string> =>
  broker.evaluate(`ok = rabbit_disk_monitor:set_disk_free_limit("${size}")`)
/** How long a message may be held, and how often the broker looks. */
const holdLimit = (ms: number, tickMs: number): Promise<string> =>
  broker.evaluate(
    `[ok = application:set_env(rabbit, N, V) || {N, V} <- [{consumer_timeout, ${ms}}, {channel_tick_interval, ${tickMs}}]]`,
  )

test('a message that is too large for the broker fails alone', async () => {
  const arrived = await probe.listen('events', 'Sized')
  await using worker = await defineService({ name: 'sized' }).start({ ...QUIET, urls: [broker.url] })
  const sizes = upTo(100).map((n) => (n === 40 ? 70_000 : n + 1))
  const outcomes = await Promise.all(sizes.map((size) => outcomeOf(worker.publish('Sized', 'x'.repeat(size)))))
  expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(99)
  expect(outcomes[40]).toBe('PUBLISH_REFUSED')
  const error: unknown = await worker.publish('Sized', 'x'.repeat(70_000)).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(PublishRefusedError)
  expect(error).toMatchObject({ message: expect.stringMatching(/PRECONDITION_FAILED.*65536/) })
  const distinct = (): number[] => [...new Set(arrived.received.map((message) => String(jsonOf(message)).length))]
  await expect.poll(distinct).toEqual(sizes.filter((size) => size !== 70_000))
})

test('while a memory alarm blocks publishers they wait, and consuming goes on; what waits too long is rejected', async () => {
  using _stderr = new CapturedStderr()
  const records = new Records()
  const goOn = gate()
  const handled: unknown[] = []
  await using patient = await defineService({
    name: 'patient',
    confirmTimeoutMs: 800,
    handlers: [
      onEvent('Consumed', async ({ payload }) => {
        await goOn.opened
        handled.push(payload)
      }),
    ],
  }).start({ ...QUIET, urls: [broker.url], onLog: records.onLog })
  const refusals = new Records()
  await using impatient = await defineService({
    name: 'impatient',
    blockedTimeoutMs: 1500,
    publishRetryDelayMs: 60_000,
  }).start({ ...QUIET, urls: [broker.url], onLog: refusals.onLog })
  await probe.declareQueue('choking', { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  await probe.bind('choking', 'events', 'Refused')
  expect(await outcomeOf(impatient.publish('Refused', 1))).toBe('ok')
  const refused = outcomeOf(impatient.publish('Refused', 2))
  await expect.poll(() => refusals.of('ERROR')).toHaveLength(1)
  const arrived = await probe.listen('events', 'Waiting')
  for (const n of upTo(50)) await probe.event('Consumed', n)
  let outcomes: Promise<string>[]
  try {
    await alarm()
    outcomes = upTo(200).map((n) => outcomeOf(patient.publish('Waiting', n)))
    await expect.poll(() => records.of('WARNING')).toHaveLength(1)
    goOn.open()
    await expect.poll(() => handled).toHaveLength(50)
    await expect.poll(() => probe.counts('patient.events')).toEqual({ messages: 0, consumers: 1 })
    // longer than a confirm may take: that clock stands still
    const began = performance.now()
    const rejected = await Promise.all(upTo(10).map((n) => outcomeOf(impatient.publish('Blocked', n))))
    expect(new Set(rejected)).toEqual(new Set(['BLOCKED_TIMEOUT']))
    // one that waits for its next try is no exception
    expect(await refused).toBe('BLOCKED_TIMEOUT')
    expect(performance.now() - began).toBeGreaterThan(1400)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(patient.pendingPublishes).toBe(200)
    expect(arrived.size).toBeLessThan(200)
  } finally {
    await noAlarm()
  }
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  await expect.poll(() => arrived.received.map(jsonOf)).toEqual(upTo(200))
  expect(records.of('WARNING')).toEqual([expect.stringContaining('the broker blocks publishers')])
  expect(records.of('NOTICE')).toEqual(['the broker takes messages again'])
  await expect.poll(() => outcomeOf(impatient.publish('Blocked', 'later')), { timeout: 10_000 }).toBe('ok')
  await Promise.all([patient.stop(), impatient.stop()])
  // each was acknowledged during the alarm
  expect(await probe.counts('patient.events')).toEqual({ messages: 0, consumers: 0 })
}, 60_000)

test('a service that connects during a memory alarm consumes, although its logs block its publishing at once', async () => {
  using _stderr = new CapturedStderr()
  await using proxy = await Proxy.start(broker.port)
  const goOn = gate()
  const begun: unknown[] = []
  const handled: unknown[] = []
  await using _worker = await defineService({
    name: 'reconnecting',
    prefetch: 1,
    handlers: [
      onEvent('Logged', async ({ payload, log }) => {
        begun.push(payload)
        log.info('working')
        await goOn.opened
        handled.push(payload)
      }),
    ],
  }).start({ ...QUIET, urls: [proxy.through(broker.url)] })
  for (const n of upTo(5)) await probe.event('Logged', n)
  await expect.poll(() => begun).toEqual([0])
  try {
    await alarm()
    proxy.cut()
    await expect.poll(() => begun, { timeout: 10_000 }).toEqual([0, 0])
    goOn.open()
    await expect.poll(() => handled).toEqual([0, 0, 1, 2, 3, 4])
    await expect.poll(() => probe.counts('reconnecting.events')).toEqual({ messages: 0, consumers: 1 })
  } finally {
    await noAlarm()
  }
}, 60_000)

test('20,000 messages that wait out a disk alarm take little memory, and are confirmed soon after its end, each once', async () => {
  const arrived = await probe.listen('events', 'Flood')
  const flood = spawn(process.execPath, [FLOOD, broker.url, '20000'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const told: Record<string, unknown>[] = []
  createInterface({ input: flood.stdout }).on('line', (line) => told.push(JSON.parse(line) as Record<string, unknown>))
  try {
    await expect.poll(() => told, { timeout: 30_000 }).toHaveLength(1)
    await diskLimit('900GB')
    await expect.poll(() => told, { timeout: 30_000 }).toHaveLength(2)
    expect(told[1]?.['queued']).toBeGreaterThanOrEqual(20_000)
    // of which the payloads are 20
    expect(told[1]?.['rssMiB']).toBeLessThanOrEqual(32)
  } finally {
    await diskLimit('1MB')
    if (told.length < 2) flood.kill('SIGKILL')
  }
  await expect.poll(() => told, { timeout: 30_000 }).toHaveLength(3)
  expect(told[2]).toMatchObject({ confirmed: 20_000 })
  // a second or two, where nothing else runs
  expect(told[2]?.['afterMs']).toBeLessThan(20_000)
  await expect.poll(() => arrived.size).toBe(20_000)
  expect(new Set(arrived.received.map(({ properties }) => String(properties.messageId))).size).toBe(20_000)
}, 60_000)

test('a message that its handler holds for longer than the broker waits is told, and dead after two deliveries', async () => {
  using _stderr = new CapturedStderr()
  const never = gate()
  const tries: unknown[] = []
  const records = new Records()
  const dead = await deadLettersOf('holding.events')
  // 30 minutes and a look each minute, as a rule
  await holdLimit(1000, 250)
  try {
    await using _worker = await defineService({
      name: 'holding',
      handlerTimeoutMs: Infinity,
      handlers: [
        onEvent('Hold', async ({ payload }) => {
          tries.push(payload)
          if (payload === 'held') await never.opened
          else if (payload === 'late') return SETTLE_LATER
        }),
      ],
    }).start({ ...QUIET, urls: [broker.url], onLog: records.onLog, drainTimeoutMs: 0 })
    for (const payload of ['held', 'late', 'quick']) await probe.event('Hold', payload)
    const letters = [await dead.next({ timeoutMs: 20_000 }), await dead.next()]
    expect(new Set(letters.map(jsonOf))).toEqual(new Set(['held', 'late']))
    expect(tries.map(String).toSorted()).toEqual(['held', 'held', 'late', 'late', 'quick'])
    expect(records.of('ALERT')[0]).toMatch(
      /^the handler of 'Hold' did not settle its message within the broker's consumer timeout of 1000 ms: set handlerTimeoutMs below/,
    )
    expect(records.of('EMERGENCY')).toEqual(['Giving up on Hold', 'Giving up on Hold'])
    await expect.poll(() => probe.counts('holding.events')).toEqual({ messages: 0, consumers: 1 })
  } finally {
    await holdLimit(1_800_000, 60_000)
  }
}, 60_000)

test('a broker that is killed and comes back finds its services again, and loses nothing', async () => {
  using stderr = new CapturedStderr()
  const handled = new Set<unknown>()
  let readies = 0
  await using worker = await defineService({
    name: 'survivor',
    handlers: [
      onEvent('Survived', ({ payload, publish }) => publish('Passed', payload).then(() => handled.add(payload))),
    ],
    hooks: { onReady: () => void (readies += 1) },
  }).start({ ...QUIET, urls: [broker.url] })
  await probe.declareQueue('kept')
  await probe.bind('kept', 'events', 'Passed')
  const confirmed = upTo(500).map((n) => outcomeOf(worker.publish('Survived', n)))
  await expect.poll(() => handled.size, { interval: 5 }).toBeGreaterThan(20)
  await broker.kill()
  confirmed.push(...upTo(100).map((n) => outcomeOf(worker.publish('Survived', 500 + n))))
  await broker.restart()
  const began = performance.now()
  expect(new Set(await Promise.all(confirmed))).toEqual(new Set(['ok']))
  await expect.poll(() => handled.size, { timeout: 10_000 }).toBe(600)
  expect(performance.now() - began).toBeLessThan(15_000)
  expect(worker.state).toBe('ready')
  expect(readies).toBe(2)
  expect(stderr.lines('survivor  connection lost')).toHaveLength(1)
  expect(stderr.lines('NOTICE')).toEqual([expect.stringMatching(/connected to .* again after \d+\.\d s/)])
  const after = await Probe.open(broker.url)
  const passed = await after.consume('kept')
  // what was confirmed, before or after, is there
  await expect.poll(() => new Set(passed.received.map(jsonOf)).size).toBe(600)
  await worker.stop()
  expect(await after.counts('survivor.events')).toEqual({ messages: 0, consumers: 0 })
  await after.close()
}, 60_000)

test('while its broker is stopped a service can be stopped, or waits for it with what it has to say', async () => {
  using stderr = new CapturedStderr()
  const goOn = gate()
  const ended: string[] = []
  await using waiter = await defineService({
    name: 'waiter',
    handlers: [
      onEvent('Interrupted', async ({ metadata, publish }) => {
        if (!metadata.redelivered) await goOn.opened
        ended.push(await outcomeOf(publish('Resumed', 1)))
      }),
    ],
  }).start({ ...QUIET, urls: [broker.url] })
  await using quitter = await defineService({ name: 'quitter' }).start({ ...QUIET, urls: [broker.url] })
  await probe.declareQueue('resumed')
  await probe.bind('resumed', 'events', 'Resumed')
  await probe.event('Interrupted')
  await expect.poll(() => probe.counts('waiter.events')).toMatchObject({ messages: 0 })
  await broker.stop()
  await expect.poll(() => [waiter.state, quitter.state]).toEqual(['connecting', 'connecting'])
  goOn.open()
  await expect.poll(() => ended).toEqual(['DELIVERY_LOST'])
  const kept = outcomeOf(waiter.publish('Resumed', 2))
  const unsent = outcomeOf(quitter.publish('Resumed', 3))
  const began = performance.now()
  await quitter.stop()
  expect(performance.now() - began).toBeLessThan(2000)
  expect(await unsent).toBe('STOPPED')
  await broker.restart()
  expect(await kept).toBe('ok')
  await expect.poll(() => ended, { timeout: 5000 }).toEqual(['DELIVERY_LOST', 'ok'])
  await waiter.stop()
  const after = await Probe.open(broker.url)
  const resumed = await after.consume('resumed')
  expect(new Set([jsonOf(await resumed.next()), jsonOf(await resumed.next())])).toEqual(new Set([1, 2]))
  expect(await after.counts('waiter.events')).toEqual({ messages: 0, consumers: 0 })
  await after.close()
  for (const name of ['waiter', 'quitter']) expect(stderr.lines(`${name}  connection lost`)).toHaveLength(1)
}, 60_000)

test('a frozen broker is found out by heartbeats, and used again when it goes on', async () => {
  using stderr = new CapturedStderr()
  await using worker = await defineService({
    name: 'frozen',
    heartbeatMs: 1000,
    connectTimeoutMs: 500,
  }).start({ ...QUIET, urls: [broker.url] })
  let outcomes: Promise<string>[]
  try {
    broker.freeze()
    const began = performance.now()
    outcomes = upTo(20).map((n) => outcomeOf(worker.publish('Thawed', n)))
    await expect.poll(() => worker.state, { timeout: 10_000 }).toBe('connecting')
    // three heartbeats, and what the old connections are given to close
    expect(performance.now() - began).toBeLessThan(4500)
  } finally {
    broker.thaw()
  }
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']))
  expect(stderr.lines('no sign of life')).toHaveLength(1)
})
