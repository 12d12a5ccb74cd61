/** Logs on the bus as every reader of GELF sees them, and on stderr as a terminal does. */
import { defineService, formatRecord, type Hooks, LEVELS, type LogRecord, onCommand, onEvent } from 'eventail'
import { hostname } from 'node:os'
import { describe, expect } from 'vitest'
import { jsonOf, type Listening, recordOf, test } from '../bus/bus.ts'
import { CapturedStderr, Records } from '../bus/watched.ts'

/** The next record that is not one of the worker's own. */
async function nextOwn(logs: Listening): Promise<Record<string, unknown>> {
  for (;;) {
    const record = recordOf(await logs.next())
    if (!/^(ready|Shutting down)/.test(String(record['short_message']))) return record
  }
}

describe('on the bus', () => {
  test('each level has its routing key, its number and the fields of GELF 1.1', async ({ url, probe }) => {
    const logs = await probe.logs('scribe.*')
    await using worker = await defineService({ name: 'scribe' }).start({ urls: [url], stderrLevel: 'NONE' })
    await logs.next()
    for (const level of LEVELS) {
      const method = level.toLowerCase() as Lowercase<typeof level>
      worker.log[method](`at ${level}`, { full: 'all\nof it' })
    }
    for (const [number, level] of LEVELS.entries()) {
      const message = await logs.next()
      expect(message.fields).toMatchObject({ exchange: 'logs', routingKey: `scribe.${level}` })
      expect(jsonOf(message)).toEqual({
        version: '1.1',
        short_message: `at ${level}`,
        full_message: 'all\nof it',
        level: number,
        _levelname: level,
        host: `scribe@${hostname()}`,
        timestamp: expect.any(Number),
        _conversation_id: '',
        _logical_service: 'scribe',
        _worker_pid: process.pid,
      })
      expect(Math.abs(Number(recordOf(message)['timestamp']) - Date.now() / 1000)).toBeLessThan(10)
    }
  })

  test('additional fields have a prefix, and those that GELF keeps for itself are left out with a WARNING', async ({
    url,
    probe,
  }) => {
    const logs = await probe.logs('fielded.*')
    await using worker = await defineService({ name: 'fielded' }).start({ urls: [url], stderrLevel: 'NONE' })
    worker.log.info('with fields', {
      fields: { colour: 'red', _size: 3, nested: { a: [1] }, absent: undefined, id: 1, _id: 2, levelname: 'MINE' },
      conversationId: 'c7',
    })
    const record = await nextOwn(logs)
    expect(record).toMatchObject({
      short_message: 'with fields',
      _levelname: 'INFO',
      _conversation_id: 'c7',
      _colour: 'red',
      _size: 3,
      _nested: '{"a":[1]}',
    })
    expect(Object.keys(record).filter((key) => /^_?id$|absent/.test(key))).toEqual([])
    expect(await nextOwn(logs)).toMatchObject({
      _levelname: 'WARNING',
      short_message: "log field 'id', '_id' was left out: GELF keeps that name",
      _conversation_id: 'c7',
    })
  })

  test('what a handler logs carries the conversation of its message', async ({ url, probe }) => {
    const logs = await probe.logs('bound.NOTICE')
    const bound = defineService({
      name: 'bound',
      handlers: [
        onEvent('Noted', ({ log }) => {
          log.notice('an event')
          log.notice('another conversation', { conversationId: 'other' })
        }),
        onCommand('Note', async ({ log }) => {
          await Promise.resolve()
          log.notice('a command')
        }),
      ],
    })
    await using worker = await bound.start({ urls: [url], stderrLevel: 'NONE' })
    const next = async (): Promise<unknown[]> => {
      const { short_message, _conversation_id } = recordOf(await logs.next())
      return [short_message, _conversation_id]
    }
    await probe.event('Noted', null, { headers: { conversation_id: 'c-event' } })
    expect([await next(), await next()]).toEqual([
      ['an event', 'c-event'],
      ['another conversation', 'other'],
    ])
    await probe.command('bound.Note', null, { headers: { conversation_id: 'c-command' } })
    expect(await next()).toEqual(['a command', 'c-command'])
    worker.log.notice('nobody')
    expect(await next()).toEqual(['nobody', ''])
  })

  test('what is logged before the connection is there arrives when it is', async ({ url, probe }) => {
    using stderr = new CapturedStderr()
    const logs = await probe.logs('early.*')
    const early = defineService({
      name: 'early',
      hooks: {
        onStart: ({ log }) => {
          log.notice('a bird')
          log.warning('a worm')
        },
      },
    })
    await using _worker = await early.start({ urls: [url], stderrLevel: 'EMERGENCY' })
    expect((await nextOwn(logs))['short_message']).toBe('a bird')
    expect((await nextOwn(logs))['short_message']).toBe('a worm')
    // whoever looks at stderr meanwhile sees what matters
    expect(stderr.lines('early')).toEqual([expect.stringMatching(/WARNING .* a worm$/)])
  })

  test('a record that nobody could encode otherwise is sent all the same, and fails nothing', async ({
    url,
    probe,
  }) => {
    const logs = await probe.logs('odd.NOTICE')
    const circular: Record<string, unknown> = {}
    circular['self'] = circular
    const odd = defineService({
      name: 'odd',
      handlers: [
        onEvent('Odd', ({ log }) => {
          log.notice('lone \ud800 surrogate', { fields: { circular, big: 2n ** 70n, none: Number.NaN, 'a b': 1 } })
        }),
      ],
    })
    await using _worker = await odd.start({
      urls: [url],
      stderrLevel: 'NONE',
      onLog: () => {
        throw new Error('the observer fails')
      },
    })
    await probe.event('Odd')
    expect(recordOf(await logs.next())).toMatchObject({
      short_message: 'lone \ufffd surrogate',
      _circular: '<ref *1> { self: [Circular *1] }',
      _big: String(2n ** 70n),
      _a_b: 1,
    })
    await expect.poll(() => probe.counts('odd.events')).toEqual({ messages: 0, consumers: 1 })
  })
})

describe('on stderr', () => {
  test('records show from the level on that was asked for', async ({ url }) => {
    using stderr = new CapturedStderr()
    const records = new Records()
    const start = { urls: [url], stderrLevel: 'NOTICE', onLog: records.onLog } as const
    await using worker = await defineService({ name: 'shown' }).start(start)
    worker.log.info('a detail')
    worker.log.notice('a note')
    worker.log.emergency('a cry')
    expect(stderr.lines('shown').map((line) => line.replace(/^\S+Z /, ''))).toEqual([
      'NOTICE    shown  a note',
      'EMERGENCY shown  a cry',
    ])
    expect(records.of('INFO')).toContain('a detail')
  })

  test('the environment has the level where none is given; UNSENT is only what the bus cannot take', async ({
    url,
  }) => {
    using stderr = new CapturedStderr()
    const before = process.env['EVENTAIL_STDERR_LEVEL']
    process.env['EVENTAIL_STDERR_LEVEL'] = 'UNSENT'
    try {
      const hooks: Hooks = {
        onStart: ({ log }) => {
          log.warning('too early')
          log.notice('a note')
        },
      }
      await using worker = await defineService({ name: 'unsent', hooks }).start({ urls: [url] })
      worker.log.emergency('a cry on the bus')
      await using _loud = await defineService({ name: 'loud' }).start({ urls: [url], stderrLevel: 'INFO' })
      expect(stderr.lines('unsent').map((line) => line.replace(/^\S+Z /, ''))).toEqual(['WARNING   unsent  too early'])
      expect(stderr.lines('loud')).toEqual([expect.stringContaining('ready')])
      process.env['EVENTAIL_STDERR_LEVEL'] = 'SHY'
      expect(() => defineService({ name: 'shy' })).toThrow(/^EVENTAIL_STDERR_LEVEL: must be one of .*UNSENT, NONE/)
    } finally {
      delete process.env['EVENTAIL_STDERR_LEVEL']
      if (before !== undefined) process.env['EVENTAIL_STDERR_LEVEL'] = before
    }
  })

  test('text from the wire can neither forge a line nor speak to a terminal', async ({ url, probe, dead }) => {
    using stderr = new CapturedStderr()
    const logs = await probe.logs('careful.ERROR')
    const hostile = 'x\r\n2026-01-01T00:00:00.000Z INFO      careful  all is well\u001b]0;owned\u0007\u009b2J\u202e'
    const careful = defineService({ name: 'careful', handlers: [onEvent('Known', () => {})] })
    await using _worker = await careful.start({ urls: [url], stderrLevel: 'ERROR' })
    await probe.bind('careful.events', 'events', '#')
    await probe.event(hostile, null, { headers: { conversation_id: hostile } })
    await dead.next()
    const escaped = 'x\\x0d\\x0a2026-01-01T00:00:00.000Z INFO      careful  all is well\\x1b]0;owned\\x07\\x9b2J\\u202e'
    expect(stderr.text).toMatch(/^\S+Z ERROR {5}careful {2}unexpected event x/)
    expect(stderr.text.endsWith(`; check your subscriptions! (dead-lettered)  [${escaped}]\n`)).toBe(true)
    expect(stderr.text.slice(0, -1).includes('\n')).toBe(false)
    // as data, it stays what it was
    expect(recordOf(await logs.next())).toMatchObject({
      short_message: `unexpected event ${hostile}; check your subscriptions! (dead-lettered)`,
      _conversation_id: hostile,
    })
  })

  test('a stack is indented below its line, so that it cannot be taken for a record', () => {
    const record: LogRecord = {
      level: 'ALERT',
      short: 'it failed',
      full: 'Error: no\n2026-01-01T00:00:00.000Z INFO      svc  forged\u001b[2J',
      conversationId: 'c1',
      service: 'svc',
      hostname: 'host',
      pid: 1,
      timestamp: 0,
      fields: {},
    }
    expect(formatRecord(record, false).split('\n')).toEqual([
      '1970-01-01T00:00:00.000Z ALERT     svc  it failed  [c1]',
      '    Error: no',
      '    2026-01-01T00:00:00.000Z INFO      svc  forged\\x1b[2J',
    ])
  })
})

test('whatever is logged, nothing is thrown, and an error is told with its stack', async ({ url, probe }) => {
  const logs = await probe.logs('careless.ERROR', 'careless.WARNING')
  await using worker = await defineService({ name: 'careless' }).start({ urls: [url], stderrLevel: 'NONE' })
  const { error } = worker.log as unknown as { error: (short: unknown, details?: unknown) => void }
  error(new Error('no text'))
  error('with details', { full: new Error('no text either') })
  error('with a trap', {
    fields: {
      get trap() {
        throw new Error('sprung')
      },
    },
  })
  const short = async (): Promise<unknown> => recordOf(await logs.next())['short_message']
  expect(await short()).toMatch(/^Error: no text\n +at /)
  expect(recordOf(await logs.next())).toMatchObject({
    short_message: 'with details',
    full_message: expect.stringMatching(/^Error: no text either\n +at /),
  })
  expect(await short()).toBe('a log record could not be written: sprung')
})
