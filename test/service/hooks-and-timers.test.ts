/** Hooks and timers: when they run, what ends them, and what becomes of errors in there. */
import { defineService, type Hooks, onEvent, type ReturnedMessage, UnroutableError } from 'eventail'
import { describe, expect } from 'vitest'
import { jsonOf, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, gate, Records } from '../bus/watched.ts'

/** The connection of a worker of this process that consumes: without it the session ends. */
const consumerOf = (service: string): string => `${service}@${process.pid} (consume)`

describe('hooks', () => {
  test('run in their turn: onStart once, onReady after each reconnect, onStop at the end', async ({
    url,
    management,
  }) => {
    const happened: string[] = []
    const turns = defineService({
      name: 'turns',
      handlers: [onEvent('Any', () => {})],
      hooks: {
        onStart: async ({ service }) => {
          await Promise.resolve()
          happened.push(`${service} starts`)
        },
        onReady: () => happened.push('ready'),
        onUnconfigured: () => happened.push('never: there is nothing to be configured'),
        onStop: () => happened.push('stops'),
      },
    })
    using _stderr = new CapturedStderr()
    const worker = await turns.start({ urls: [url], stderrLevel: 'NONE' })
    await management.closeConnections(consumerOf('turns'))
    await expect.poll(() => happened, { timeout: 5000 }).toEqual(['turns starts', 'ready', 'ready'])
    await worker.stop()
    expect(happened).toEqual(['turns starts', 'ready', 'ready', 'stops'])
    expect(worker.failure).toBeUndefined()
  })

  test('may publish, send commands and log, and what they publish is initial', async ({ url, probe }) => {
    const events = await probe.listen('events', 'Started', 'Readied', 'Stopped')
    const logs = await probe.logs('talkative.NOTICE')
    const talkative = defineService({
      name: 'talkative',
      hooks: {
        onStart: ({ publish }) => void publish('Started', 1),
        onReady: ({ publish, log }) => {
          log.notice('here I am')
          return publish('Readied', 2)
        },
        onStop: ({ publish }) => publish('Stopped', 3),
      },
    })
    const worker = await talkative.start({ urls: [url], stderrLevel: 'NONE' })
    const [started, readied] = [await events.next(), await events.next()]
    await worker.stop()
    const stopped = await events.next()
    expect([started, readied, stopped].map(({ fields }) => fields.routingKey)).toEqual([
      'Started',
      'Readied',
      'Stopped',
    ])
    const conversations = [started, readied, stopped].map(({ properties }) => properties.headers?.['conversation_id'])
    expect(new Set(conversations).size).toBe(3)
    expect(recordOf(await logs.next())).toMatchObject({ short_message: 'here I am', _conversation_id: '' })
  })

  const failing: [keyof Hooks, Hooks][] = [
    ['onStart', { onStart: () => Promise.reject(new Error('no way')) }],
    [
      'onReady',
      {
        onReady: () => {
          throw new Error('no way')
        },
      },
    ],
  ]
  test.for(failing)('an error in %s stops the service, which says why', async ([name, hooks], { url }) => {
    using _stderr = new CapturedStderr()
    const records = new Records()
    const failures: unknown[] = []
    const service = defineService({ name: `fails-in-${name}`, hooks })
    await service.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog }).then(
      async (worker) => {
        await worker.stopped
        failures.push(worker.failure)
      },
      (error: unknown) => failures.push(error),
    )
    expect(failures).toEqual([expect.objectContaining({ message: 'no way' })])
    expect(records.of('EMERGENCY')).toEqual([`the ${name} hook failed, and the service stops: no way`])
    expect(records.all.find(({ level }) => level === 'EMERGENCY')?.full).toContain('hooks-and-timers.test.ts')
  })

  test('that end because nobody takes their command are told as ERROR, and stop nothing', async ({ url }) => {
    const records = new Records()
    const asking = defineService({
      name: 'asking',
      hooks: { onReady: ({ sendCommand }) => sendCommand('nobody.Do', 1) },
    })
    await using worker = await asking.start({ urls: [url], stderrLevel: 'NONE', onLog: records.onLog })
    await expect
      .poll(() => records.of('ERROR'))
      .toEqual([
        "message 'nobody.Do' on exchange 'commands' came back: no queue is bound for it",
        expect.stringMatching(/^the onReady hook ended early: message 'nobody.Do' .* came back/),
      ])
    await worker.publish('StillHere', 1)
    expect(worker.state).toBe('ready')
    expect(records.of('EMERGENCY')).toEqual([])
  })
})

describe('the returned-message hook', () => {
  test('gets the routing key, the payload and the envelope', async ({ url, probe }) => {
    const returned: ReturnedMessage[] = []
    const sender = defineService({
      name: 'sender',
      handlers: [
        onEvent('Ask', ({ sendCommand }) =>
          sendCommand(
            'nobody.Do',
            { deep: [1, new Uint8Array([2])] },
            { replyTo: 'Answer', correlationId: 'k7', headers: { 'x-own': 1 } },
          ).catch(() => {}),
        ),
      ],
      hooks: {
        onReturned: async (message, { publish }) => {
          returned.push(message)
          await publish('Noticed', message.routingKey, { conversationId: message.conversationId })
        },
      },
    })
    const events = await probe.listen('events', 'Noticed')
    const logs = await probe.logs('sender.ERROR')
    await using _worker = await sender.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Ask', null, { messageId: 'm1' })
    expect((await events.next()).properties.headers).toEqual({ conversation_id: 'c1' })
    expect(returned).toEqual([
      {
        exchange: 'commands',
        routingKey: 'nobody.Do',
        payload: { deep: [1, expect.any(Uint8Array)] },
        conversationId: 'c1',
        messageId: expect.any(String),
        replyTo: 'sender.Answer',
        correlationId: 'k7',
        headers: { 'x-own': 1, causation_id: 'm1' },
      },
    ])
    expect(logs.size).toBe(0)
    await expect.poll(() => probe.counts('sender.events')).toEqual({ messages: 0, consumers: 1 })
  })

  test('that fails stops the service, which says why', async ({ url, probe }) => {
    const logs = await probe.logs('proud.EMERGENCY')
    const proud = defineService({
      name: 'proud',
      hooks: {
        onReturned: () => {
          throw new Error('how dare they')
        },
      },
    })
    const worker = await proud.start({ urls: [url], stderrLevel: 'NONE' })
    await expect(worker.sendCommand('nobody.Do', 1)).rejects.toBeInstanceOf(UnroutableError)
    await worker.stopped
    expect(worker.failure).toMatchObject({ message: 'how dare they' })
    const record = recordOf(await logs.next())
    expect(record['short_message']).toBe(
      "the onReturned hook failed for 'nobody.Do', and the service stops: how dare they",
    )
    expect(record['full_message']).toContain('hooks-and-timers.test.ts')
  })
})

describe('timers', () => {
  test('of onReady end with the connection and do not double; those of onStart go on', async ({
    url,
    probe,
    management,
  }) => {
    using _stderr = new CapturedStderr()
    const ticks: string[] = []
    let sessions = 0
    const ticking = defineService({
      name: 'ticking',
      handlers: [onEvent('Any', () => {})],
      hooks: {
        onStart: ({ every }) => void every(20, () => ticks.push('worker')),
        onReady: ({ every, callLater }) => {
          const session = ++sessions
          every(20, () => ticks.push(`session ${session}`))
          callLater(60_000, () => ticks.push('far too late'))
        },
      },
    })
    await using worker = await ticking.start({ urls: [url], stderrLevel: 'NONE' })
    await expect.poll(() => ticks).toContain('session 1')
    await management.closeConnections(consumerOf('ticking'))
    await expect.poll(() => ticks, { timeout: 5000 }).toContain('session 2')
    ticks.length = 0
    await expect.poll(() => ticks.filter((tick) => tick === 'session 2').length).toBeGreaterThan(2)
    expect(new Set(ticks)).toEqual(new Set(['worker', 'session 2']))
    await worker.stop()
    ticks.length = 0
    await probe.counts('ticking.events')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(ticks).toEqual([])
  })

  test('that fail are told as ALERT, and stop neither the service nor themselves', async ({ url }) => {
    const records = new Records()
    let calls = 0
    await using worker = await defineService({ name: 'tripping' }).start({
      urls: [url],
      stderrLevel: 'NONE',
      onLog: records.onLog,
    })
    const cancel = worker.every(5, async () => {
      calls += 1
      await Promise.resolve()
      throw new Error(`trip ${calls}`)
    })
    worker.callLater(1, () => {
      throw new Error('fall')
    })
    await expect.poll(() => records.of('ALERT').length).toBeGreaterThan(2)
    cancel()
    expect(records.of('ALERT')).toContain('unexpected error in a timer: fall')
    expect(records.of('ALERT')).toContain('unexpected error in a timer: trip 2')
    expect(records.all.find(({ level }) => level === 'ALERT')?.full).toContain('hooks-and-timers.test.ts')
    expect([worker.state, worker.failure]).toEqual(['ready', undefined])
  })

  test('can be cancelled, and never run while their last call does', async ({ url }) => {
    const busy = gate()
    const calls: string[] = []
    await using worker = await defineService({ name: 'timed' }).start({ urls: [url], stderrLevel: 'NONE' })
    worker.callLater(1, () => calls.push('cancelled'))()
    const cancel = worker.every(1, async () => {
      calls.push('slow')
      await busy.opened
    })
    await expect.poll(() => calls).toEqual(['slow'])
    await new Promise<void>((resolve) => void worker.callLater(30, resolve))
    expect(calls).toEqual(['slow'])
    busy.open()
    await expect.poll(() => calls.length).toBeGreaterThan(2)
    cancel()
    const { length } = calls
    await new Promise<void>((resolve) => void worker.callLater(30, resolve))
    expect(calls).toHaveLength(length)
    expect(calls).not.toContain('cancelled')
  })

  test('of a handler publish in its conversation, though its message is settled', async ({ url, probe }) => {
    const later = defineService({
      name: 'later',
      format: 'json',
      handlers: [onEvent('Later', ({ callLater, publish }) => void callLater(1, () => publish('AtLast', 1)))],
    })
    const events = await probe.listen('events', 'AtLast')
    await using _worker = await later.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Later', null, { messageId: 'm1' })
    const message = await events.next()
    expect(message.properties.headers).toEqual({ conversation_id: 'c1', causation_id: 'm1' })
    expect(jsonOf(message)).toBe(1)
  })
})

test('an onStart hook that waits for what only the connection brings does not keep its service from stopping', async ({
  url,
}) => {
  using _stderr = new CapturedStderr()
  const controller = new AbortController()
  const stuck = defineService({
    name: 'stuck',
    hooks: {
      onStart: ({ publish }) => {
        setImmediate(() => controller.abort())
        return publish('Never', 1)
      },
    },
  })
  await expect(stuck.start({ urls: [url], stderrLevel: 'NONE', signal: controller.signal })).rejects.toMatchObject({
    code: 'STOPPED',
  })
})

test('onStop runs after the last handler has ended, and also where there is no broker', async ({ url, probe }) => {
  using _stderr = new CapturedStderr()
  const happened: string[] = []
  const running = gate()
  const held = gate()
  const orderly = defineService({
    name: 'orderly',
    handlers: [
      onEvent('Orderly', async () => {
        running.open()
        await held.opened
        happened.push('handled')
      }),
    ],
    hooks: { onStop: () => void happened.push('stopped') },
  })
  const worker = await orderly.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Orderly', 1)
  await running.opened
  const stopped = worker.stop()
  await expect.poll(() => probe.counts('orderly.events')).toMatchObject({ consumers: 0 })
  held.open()
  await stopped
  expect(happened).toEqual(['handled', 'stopped'])

  const controller = new AbortController()
  const alone = orderly.start({ urls: ['amqp://127.0.0.1:1'], stderrLevel: 'NONE', signal: controller.signal })
  controller.abort()
  await alone.catch(() => {})
  await expect.poll(() => happened).toEqual(['handled', 'stopped', 'stopped'])
})

test('timers take times that the runtime can keep, and refuse others', async ({ url }) => {
  await using worker = await defineService({ name: 'timed' }).start({ urls: [url], stderrLevel: 'NONE' })
  for (const ms of [0, Number.NaN, -1, 2 ** 31])
    expect(() => worker.every(ms, () => {})).toThrow(/every: takes milliseconds/)
  for (const ms of [Number.NaN, -1, 2 ** 31]) expect(() => worker.callLater(ms, () => {})).toThrow(/callLater: takes/)
})
