/** Options that cannot be meant are refused where they are written, with a message that says what was meant. */
import {
  createBatch,
  defineCommand,
  defineEvent,
  defineService,
  type EventContext,
  InvalidSettingError,
  onCommand,
  onEvent,
  onResult,
  Service,
} from 'eventail'
import { expect, test } from 'vitest'
import { z } from 'zod'

const Told = defineEvent('Told')
const Do = defineCommand('mine.Do')
const service = defineService({ name: 'mine' })

/** What a program without types might write. */
function loosely(write: () => unknown): () => unknown {
  return write
}

test.each<[string, () => unknown, string]>([
  [
    'a misspelt setting',
    () => defineService({ name: 'x', prefech: 3 } as never),
    "service: 'prefech' does not exist; did you mean 'prefetch'?",
  ],
  [
    'the name that another toolkit uses',
    () => defineService({ name: 'x', heartbeat: 3 } as never),
    "did you mean 'heartbeatMs'?",
  ],
  [
    'what start takes',
    () => defineService({ name: 'x', urls: ['amqp://localhost'] } as never),
    'urls: is given to start() or run()',
  ],
  [
    'a misspelt hook',
    () => defineService({ name: 'x', hooks: { onready: () => {} } } as never),
    "hooks: 'onready' does not exist; did you mean 'onReady'?",
  ],
  [
    'a hook beside the hooks',
    () => defineService({ name: 'x', onReady: () => {} } as never),
    "service: 'onReady' does not exist",
  ],
  [
    'a hook that is no function',
    () => defineService({ name: 'x', hooks: { onReady: 3 } } as never),
    'hook onReady: must be a function, not 3',
  ],
  ['nothing', () => defineService(undefined as never), 'service: must be an object, not undefined'],
  [
    'handlers that are no list',
    () => defineService({ name: 'x', handlers: {} } as never),
    'handlers: must be a list, not an object',
  ],
  [
    'a function among the handlers',
    () => defineService({ name: 'x', handlers: [() => {}] } as never),
    'handlers: hold a function; make handlers with onEvent',
  ],
  [
    'a handler that is none',
    () => onEvent('X', undefined as never),
    'handler of onEvent: must be a function, not undefined',
  ],
  [
    'an event for commands',
    () => onCommand(Told as never, () => {}),
    'onCommand: takes a name or the contract of a command, not that of an event',
  ],
  [
    'nothing to handle',
    () => onResult(undefined as never, () => {}),
    'onResult: takes a name or the contract of a command, not undefined',
  ],
  [
    'a schema in place of schemas',
    () => defineCommand('a.Do', z.object({}) as never),
    "command 'a.Do': takes { payload, result, error }",
  ],
  [
    'a misspelt schema',
    () => defineCommand('a.Do', { paylod: z.object({}) } as never),
    "'paylod' does not exist; did you mean 'payload'?",
  ],
  [
    'what is no schema',
    () => defineEvent('X', { type: 'object' } as never),
    "payload of event 'X': is not a schema, but an object",
  ],
  [
    'a batch that handles nothing',
    () => createBatch({ maxEntries: 1, timeoutMs: 1 } as never),
    'handle of a batch: must be a function, not undefined',
  ],
  [
    'a batch that waits too long',
    () => createBatch<EventContext>({ maxEntries: 1, timeoutMs: 2 ** 40, handle: () => {} }),
    'timeoutMs of a batch: must be a whole number from 1 to 2147483647',
  ],
  [
    'a number as text',
    () => defineService({ name: 'x', prefetch: '5' } as never),
    "prefetch: must be a whole number from 1 to 65535, not the string '5'",
  ],
  [
    'a limit of unknown things',
    () => defineService({ name: 'x', publishWindow: { count: 5 } } as never),
    "publishWindow: 'count' does not exist",
  ],
  [
    'a result by the name of the command',
    () => defineService({ name: 'x', handlers: [onResult('other.Do', () => {})] }),
    "results come in under the replyTo of their command, 'DoResult' by default",
  ],
  [
    'two results of one name',
    () =>
      defineService({ name: 'x', handlers: ['a.Do', 'b.Do'].map((name) => onResult(defineCommand(name), () => {})) }),
    'give one of the commands a replyTo of its own',
  ],
])('%s is refused', (_what, write, message) => {
  expect(loosely(write)).toThrow(InvalidSettingError)
  expect(loosely(write)).toThrow(message)
})

test('a subclass whose subscriptions are no list is refused', () => {
  class Wrong extends Service {
    constructor() {
      super({ name: 'x', events: 'X' as never })
    }
  }
  expect(() => new Wrong()).toThrow("events: must be a list, not the string 'X'")
})

test('a subclass is given no handlers or hooks', () => {
  class Wrong extends Service {
    constructor(options: object) {
      super(options as never)
    }
  }
  expect(() => new Wrong({ name: 'x', hooks: {} })).toThrow('hooks: is for defineService')
  expect(() => new Wrong({ name: 'x', event: [] })).toThrow("service: 'event' does not exist; did you mean 'events'?")
})

test.each<[string, unknown, string]>([
  ['a URL in place of options', 'amqp://localhost', "options: must be an object, not the string 'amqp://localhost'"],
  ['a URL alone', { url: 'amqp://localhost' }, "options: 'url' does not exist; did you mean 'urls'?"],
  ['a URL that is no list', { urls: 'amqp://localhost' }, 'urls: must be a list'],
  [
    'a controller in place of its signal',
    { signal: new AbortController() },
    'signal: must be an AbortSignal, not an object',
  ],
  ['an observer that is no function', { onLog: 3 }, 'onLog: must be a function, not 3'],
  ['TLS options of others', { tls: { rejectUnauthorized: false } }, "tls: 'rejectUnauthorized' does not exist"],
])('%s is refused at the start', async (_what, options, message) => {
  await expect(service.start(options as never)).rejects.toThrow(InvalidSettingError)
  await expect(service.start(options as never)).rejects.toThrow(message)
})

test('limits may be given in part', async () => {
  const settled = defineService({ name: 'x', publishWindow: { messages: 5 } })
  // refused for the URL, and for nothing before it
  await expect(settled.start({ urls: ['no'] })).rejects.toThrow('urls[0]')
})

test('what a publish cannot mean is refused before anything is sent', async () => {
  const stop = new AbortController()
  const outcomes: string[] = []
  const publisher = defineService({
    name: 'meaning',
    hooks: {
      onStart: async ({ publish, sendCommand }) => {
        for (const [options, message] of [
          [{ mandatry: true }, "did you mean 'mandatory'?"],
          [{ mandatory: 'yes' }, 'mandatory: must be true or false'],
          [{ expirationMs: 2 ** 40 }, 'expirationMs: must be a whole number'],
          [{ headers: 'abc' }, "headers: must be a plain object, not the string 'abc'"],
          [{ headers: { map: new Map() } }, "headers: 'map' cannot be sent: an object is nothing that AMQP can carry"],
          [{ headers: { text: '\ud800' } }, "headers: 'text' cannot be sent: a text holds a lone surrogate"],
          [{ headers: new Map() }, 'headers: must be a plain object'],
          [{ conversationId: 'x'.repeat(40_000) }, 'conversationId: is 40000 bytes long'],
          [{ conversationId: '\ud800' }, 'conversationId: must be a text'],
          [null, 'publish options: must be an object, not null'],
        ] as const) {
          await expect(publish(Told, 1, options as never)).rejects.toThrow(message)
          outcomes.push(message)
        }
        await expect(sendCommand('Do', 1)).rejects.toThrow("'Do' names no service")
        expect(() =>
          sendCommand(Do, 1, { replyTo: 'a b' }).catch((error: unknown) => outcomes.push(String(error))),
        ).not.toThrow()
        stop.abort()
      },
    },
  })
  await expect(
    publisher.start({ urls: ['amqp://127.0.0.1:1'], signal: stop.signal, stderrLevel: 'NONE' }),
  ).rejects.toThrow('was stopped before it had started')
  expect(outcomes).toHaveLength(11)
})
