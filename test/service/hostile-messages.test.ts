/**
 * What no well-behaved peer sends: each message is handled or dead, soon; the service stays connected, keeps its memory,
 * and handles the next good message at once.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  defineService,
  formatRecord,
  type LogRecord,
  onCommand,
  onEvent,
  onResult,
  type RunningService,
} from 'eventail'
import { expect } from 'vitest'
import { type Listening, type Probe, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { Python } from '../bus/python.ts'
import { loadHostile } from '../wire/cbor-fixtures.ts'

const HOSTILE_PY = new URL('../interop/peers/hostile.py', import.meta.url)
/** Whatever a message is, it is handled or dead for less work than this; time on the clock would be that of others as well. */
const CPU_MS = 1000
const PATIENCE = { timeout: 10_000, interval: 2 }
const TEST_MS = 60_000
const MEMORY_LEFT = 32 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

interface Attacked extends AsyncDisposable {
  readonly running: RunningService
  /** Message ids that reached a handler that returned. */
  readonly handled: Set<string>
  readonly records: LogRecord[]
  /** How many connections it opened so far. */
  readonly connections: () => number
  /** How often it was ready to consume. */
  readonly readies: () => number
}

async function attacked(name: string, url: string): Promise<Attacked> {
  const handled = new Set<string>()
  const records: LogRecord[] = []
  let readies = 0
  const note = ({ messageId }: { messageId: string | undefined }): void => void handled.add(messageId ?? '')
  const service = defineService({
    name,
    format: 'json',
    handlers: [
      onEvent('hostile.#', async (event) => {
        // what came with the message goes out again: into a message, and into the log
        event.log.info(`${event.routingKey} ${String(event.headers['header'])}`, { fields: { id2: event.messageId } })
        await event.publish('Seen', { from: event.metadata.appId ?? null })
        note(event)
      }),
      onEvent('Good', note),
      onCommand('Do', (command) => {
        note(command)
        return 'done'
      }),
      onResult('Did', note),
    ],
    hooks: {
      onReady: () => {
        readies += 1
      },
    },
  })
  const proxy = await Proxy.start(Number(new URL(url).port))
  const urls = [proxy.through(url)]
  const running = await service.start({ urls, stderrLevel: 'NONE', onLog: (record) => records.push(record) })
  return {
    running,
    handled,
    records,
    connections: () => proxy.opened,
    readies: () => readies,
    [Symbol.asyncDispose]: async () => {
      await running.stop()
      await proxy.close()
    },
  }
}

function outcomeOf(id: string, { handled }: Attacked, dead: Listening): 'handled' | 'dead' | undefined {
  if (dead.received.some(({ properties }) => properties.messageId === id)) return 'dead'
  return handled.has(id) ? 'handled' : undefined
}

async function settled(id: string, target: Attacked, dead: Listening): Promise<'handled' | 'dead'> {
  const before = process.cpuUsage()
  await expect.poll(() => outcomeOf(id, target, dead), { ...PATIENCE, message: `outcome of '${id}'` }).toBeDefined()
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000, `CPU time for '${id}'`).toBeLessThan(CPU_MS)
  const outcome = outcomeOf(id, target, dead) ?? 'dead'
  // dead letters carry the bodies: they are not kept
  dead.received.length = 0
  return outcome
}

/**
 * After the attack: a good message is handled at once, on the same connections; all is settled, and nothing that was handled
 * died after all; no record can harm a terminal.
 */
async function expectUnharmed(target: Attacked, probe: Probe, dead?: Listening) {
  await probe.event('Good', 1, { messageId: 'good' })
  await expect.poll(() => target.handled.has('good'), { timeout: 1000, interval: 2 }).toBe(true)
  expect(target.readies()).toBe(1)
  expect(target.connections()).toBe(2)
  // what was not settled would come back to the queues
  await target.running.stop()
  for (const queue of ['events', 'commands']) {
    expect(await probe.counts(`${target.running.service}.${queue}`)).toEqual({ messages: 0, consumers: 0 })
  }
  expect(dead?.received.map(({ properties }) => properties.messageId) ?? []).toEqual([])
  const raw = target.records.map((record) => formatRecord(record, false)).filter((shown) => hasControl(shown))
  expect(raw).toEqual([])
}

function hasControl(shown: string): boolean {
  // oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
  return /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/.test(shown)
}

function heapUsed(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
}

test(
  'bodies of hostile CBOR are dead within a second each, and harm nothing',
  async ({ url, probe, dead }) => {
    await using target = await attacked('cbor-target', url)
    const hostile = loadHostile()
    expect(hostile.length).toBe(188)
    const before = heapUsed()
    for (const { name, bytes } of hostile) {
      await probe.event('hostile.cbor', bytes, { contentType: 'application/cbor', messageId: name })
      // an empty body is the payload null
      expect([name, await settled(name, target, dead)]).toEqual([name, bytes.length === 0 ? 'handled' : 'dead'])
    }
    expect(heapUsed() - before).toBeLessThan(MEMORY_LEFT)
    await expectUnharmed(target, probe, dead)
  },
  TEST_MS,
)

const JSON_BODIES: readonly (readonly [string, 'handled' | 'dead', string | Buffer, string?])[] = [
  ['empty', 'handled', ''],
  ['truncated object', 'dead', '{"a": [1, 2'],
  ['truncated string', 'dead', '"\u001b[31m'],
  ['raw control characters', 'dead', '{"\u001b[2J\r\n": \u0000\u0007}'],
  ['two values', 'dead', '1 2'],
  ['NaN', 'dead', 'NaN'],
  ['white space', 'dead', ' \n'],
  ['byte order mark', 'dead', '\ufeff{}'],
  ['invalid UTF-8', 'dead', Buffer.from('22ff22', 'hex')],
  ['overlong UTF-8', 'dead', Buffer.from('22c08022', 'hex')],
  ['UTF-16', 'dead', Buffer.from('{"a":1}', 'utf16le')],
  ['lone surrogate', 'dead', String.raw`"\ud800"`],
  ['arrays 200,000 deep', 'dead', '['.repeat(200_000) + ']'.repeat(200_000)],
  ['arrays never closed', 'dead', '['.repeat(2_000_000)],
  ['objects 100,000 deep', 'dead', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
  ['a string of 5 MB', 'handled', JSON.stringify('x'.repeat(5_000_000))],
  ['a million numbers', 'handled', `[${'1,'.repeat(999_999)}1]`],
  ['a number of 1 MB', 'handled', '9'.repeat(1_000_000)],
  [
    '100,000 keys',
    'handled',
    JSON.stringify(Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`k${n}`, n]))),
  ],
  ['the key __proto__', 'handled', '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}'],
  ['JSON as text/plain', 'handled', '{}', 'text/plain'],
  ['JSON with a charset', 'handled', '{}', 'application/json; charset=latin1'],
  ['CBOR with a charset', 'dead', Buffer.from('a1616101', 'hex'), 'application/cbor; charset=utf-8'],
  ['CBOR as JSON', 'dead', Buffer.from('a1616101', 'hex'), 'application/json'],
  ['JSON as CBOR', 'dead', '{"a": 1}', 'application/cbor'],
  ['no content type', 'handled', '{}', ''],
]

test(
  'bodies of hostile JSON, and wrong content types, are handled or dead within a second each, and harm nothing',
  async ({ url, probe, dead }) => {
    await using target = await attacked('json-target', url)
    const before = heapUsed()
    for (const [name, expected, body, contentType = 'application/json'] of JSON_BODIES) {
      await probe.event('hostile.json', Buffer.from(body), { contentType, messageId: name })
      expect([name, await settled(name, target, dead)]).toEqual([name, expected])
    }
    expect(heapUsed() - before).toBeLessThan(MEMORY_LEFT)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    await expectUnharmed(target, probe, dead)
  },
  TEST_MS,
)

const REFUSED_BY_BROKER = [
  'events: a field of unknown type',
  'events: a number that is none',
  'events: a table longer than its frame',
  'commands: reply_to a queue',
]
const DEAD = [
  'events: conversation_id void',
  // what the handler publishes in that conversation cannot be sent
  'events: conversation_id 100 kB',
  'events: no headers',
  'events: empty headers',
  'events: no conversation_id',
  'events: conversation_id in __proto__',
  'events: bytes that are no text',
  'events: header name that is no text',
  'events: conversation_id twice',
  'commands: reply_to bytes that are no text',
  'commands: correlation_id bytes that are no text',
  'commands: neither command nor result',
  'commands: command without conversation_id',
  'commands: verb __proto__',
  'commands: verb constructor',
  'commands: verb of no letters',
  'commands: verb NUL',
  'commands: verb control characters',
]

test(
  'hostile properties, headers and routing keys are handled or dead within a second each, and harm nothing',
  async ({ url, ownerUrl, probe, dead }) => {
    await using target = await attacked('properties-target', url)
    const before = heapUsed()
    await probe.bind('properties-target.commands', 'commands', 'properties-target.#')
    const script = Python.start(HOSTILE_PY, ownerUrl, target.running.service)
    const outcomes: Record<string, string> = {}
    for (;;) {
      script.tell({})
      const { name, taken } = await script.next()
      if (name === 'end') break
      outcomes[String(name)] = taken === true ? await settled(String(name), target, dead) : 'refused by the broker'
    }
    const namesOf = (outcome: string): readonly string[] => {
      return Object.keys(outcomes).filter((name) => outcomes[name] === outcome && !name.startsWith('commands: status'))
    }
    expect(namesOf('refused by the broker')).toEqual(REFUSED_BY_BROKER)
    expect(namesOf('dead')).toEqual(DEAD)
    expect(namesOf('handled').length).toBeGreaterThan(60)
    const statuses = Object.keys(outcomes).filter((name) => name.startsWith('commands: status'))
    expect(statuses.filter((name) => outcomes[name] !== 'dead')).toEqual([])
    expect(heapUsed() - before).toBeLessThan(MEMORY_LEFT)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    await expectUnharmed(target, probe, dead)
  },
  TEST_MS,
)

test(
  'headers nested thousands of levels deep are dead within a second each, and harm nothing',
  async ({ url, ownerUrl, probe, management }) => {
    // the probe's library cannot read them: the dead letters are counted
    await probe.declareQueue('graves')
    await probe.bind('graves', 'am-dlx', '#')
    await management.setPolicy('DLX', '.*\\.events', { 'dead-letter-exchange': 'am-dlx' })
    await using target = await attacked('deep-target', url)
    const script = Python.start(HOSTILE_PY, ownerUrl, target.running.service, 'deep')
    const outcomes: Record<string, string> = {}
    for (let before = 0; ;) {
      script.tell({})
      const { name } = await script.next()
      if (name === 'end') break
      const buried = async (): Promise<boolean> => (await probe.counts('graves')).messages > before
      const isDone = async (): Promise<boolean> => target.handled.has(String(name)) || (await buried())
      await expect.poll(isDone, { ...PATIENCE, message: String(name) }).toBe(true)
      outcomes[String(name)] = target.handled.has(String(name)) ? 'handled' : 'dead'
      before = (await probe.counts('graves')).messages
    }
    const isShallow = (name: string): boolean => name.endsWith(' 100 deep')
    const names = Object.keys(outcomes)
    expect(names.length).toBe(20)
    expect(names.filter((name) => outcomes[name] !== (isShallow(name) ? 'handled' : 'dead'))).toEqual([])
    await expectUnharmed(target, probe)
  },
  TEST_MS,
)
