/** Which handler gets a message: by name, by pattern, or none, whatever names peers come up with. */
import {
  defineCommand,
  defineService,
  InvalidSettingError,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
} from 'eventail'
import { describe, expect } from 'vitest'
import { recordOf, test } from '../bus/bus.ts'

const nothing = (): void => {}

/** Names that mean something to JavaScript, or to a service itself. */
const HOSTILE_NAMES = [
  'constructor',
  '__proto__',
  'prototype',
  'toString',
  'hasOwnProperty',
  'emit',
  'ce',
  'ready',
  'Ready',
  'onReady',
  'stop',
  'handleEvent',
  'undefined',
  '0',
]

describe('patterns', () => {
  test('match words, exact names win over them, and the first of several is taken', async ({ url, probe, dead }) => {
    const seen: string[] = []
    const by = (handler: string) => {
      return ({ routingKey }: { routingKey: string }): void => void seen.push(`${handler} got ${routingKey}`)
    }
    const matcher = defineService({
      name: 'matcher',
      prefetch: 1,
      handlers: [
        onEvent('billing.*', by('billing.*')),
        onEvent('billing.#', by('billing.#')),
        onEvent('billing.Paid', by('exact')),
        onEvent('*.Closed', by('*.Closed')),
      ],
    })
    await using _worker = await matcher.start({ urls: [url], stderrLevel: 'ERROR' })
    for (const key of ['billing.Paid', 'billing.Sent', 'billing', 'billing.a.b', 'billing.Closed', 'shop.Closed'])
      await probe.event(key)
    await expect
      .poll(() => seen)
      .toEqual([
        'exact got billing.Paid',
        'billing.* got billing.Sent',
        'billing.# got billing',
        'billing.# got billing.a.b',
        'billing.* got billing.Closed',
        '*.Closed got shop.Closed',
      ])
    await expect.poll(() => probe.counts('matcher.events')).toEqual({ messages: 0, consumers: 1 })
    expect(dead.size).toBe(0)
  })

  test('work for commands, results and configurations too', async ({ url, probe }) => {
    const seen: string[] = []
    const wild = defineService({
      name: 'wild',
      handlers: [
        onConfiguration('Conf.*', ({ routingKey }) => {
          seen.push(`configuration ${routingKey}`)
          return true
        }),
        onCommand('wild.jobs.#', ({ routingKey, name }) => void seen.push(`command ${routingKey} (${name})`)),
        onCommand('Known', ({ routingKey }) => void seen.push(`known ${routingKey}`)),
        onResult('*.Done', ({ routingKey }) => void seen.push(`result ${routingKey}`)),
      ],
    })
    await using _worker = await wild.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.publish({ exchange: 'configurations', routingKey: 'Conf.a' })
    await expect.poll(() => seen).toEqual(['configuration Conf.a'])
    await probe.command('wild.jobs.night.Clean')
    await probe.command('wild.jobs.Known')
    await probe.publish({
      exchange: 'commands',
      routingKey: 'wild.Done',
      headers: { conversation_id: 'c1', status: 'success' },
    })
    await expect
      .poll(() => seen.slice(1))
      .toEqual(['command wild.jobs.night.Clean (Clean)', 'known wild.jobs.Known', 'result wild.Done'])
  })
})

test('commands and results are dispatched by their last word, and one kind never reaches the other', async ({
  url,
  probe,
  dead,
}) => {
  const seen: string[] = []
  const words = defineService({
    name: 'words',
    handlers: [
      onCommand('Do', ({ routingKey, name }) => void seen.push(`command ${routingKey} (${name})`)),
      onResult('DoResult', ({ routingKey, name }) => void seen.push(`result ${routingKey} (${name})`)),
    ],
  })
  await using _worker = await words.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.bind('words.commands', 'commands', 'alias.#')
  const status = { conversation_id: 'c1', status: 'success' }
  await probe.command('words.Do')
  await probe.command('alias.of.Do')
  await probe.publish({ exchange: 'commands', routingKey: 'alias.DoResult', headers: status })
  await expect
    .poll(() => seen)
    .toEqual(['command words.Do (Do)', 'command alias.of.Do (Do)', 'result alias.DoResult (DoResult)'])
  await probe.command('words.DoResult')
  expect((await dead.next()).fields.routingKey).toBe('words.DoResult')
  await probe.publish({ exchange: 'commands', routingKey: 'words.Do', headers: status })
  expect((await dead.next()).fields.routingKey).toBe('words.Do')
  expect(seen).toHaveLength(3)
})

describe('a message that nothing was registered for', () => {
  test('is told as ERROR, and dead at once, whatever its name is', async ({ url, probe, dead }) => {
    const calls: unknown[] = []
    const unmoved = defineService({
      name: 'unmoved',
      handlers: [onEvent('Known', () => calls.push('event')), onCommand('Known', () => calls.push('command'))],
    })
    const logs = await probe.logs('unmoved.*')
    await using worker = await unmoved.start({ urls: [url], stderrLevel: 'NONE' })
    await logs.next()
    await probe.bind('unmoved.events', 'events', '#')
    await probe.bind('unmoved.commands', 'commands', '#')
    const told = async (kind: string, key: string): Promise<void> => {
      const message = await dead.next()
      expect(message.fields.routingKey).toBe(key)
      expect(message.properties.headers?.['x-death']).toMatchObject([{ reason: 'rejected', count: 1 }])
      expect(recordOf(await logs.next())).toMatchObject({
        _levelname: 'ERROR',
        short_message: `unexpected ${kind} ${key}; check your subscriptions! (dead-lettered)`,
        _conversation_id: 'c1',
      })
    }
    for (const key of [...HOSTILE_NAMES, '', '.', 'a.Known']) {
      await probe.event(key)
      await told('event', key)
    }
    for (const key of [...HOSTILE_NAMES.map((name) => `unmoved.${name}`), 'constructor', '', 'unmoved.', '.']) {
      await probe.command(key)
      await told('command', key)
      await probe.publish({
        exchange: 'commands',
        routingKey: key,
        headers: { conversation_id: 'c1', status: 'success' },
      })
      await told('result', key)
    }
    expect(calls).toEqual([])
    expect(worker.state).toBe('ready')
    await probe.event('Known')
    await expect.poll(() => calls).toEqual(['event'])
  })
})

describe('a service is refused', () => {
  test.for([
    ['two events', [onEvent('Twice', nothing), onEvent('Twice', nothing)], /two handlers for event 'Twice'/],
    ['two patterns', [onEvent('a.#', nothing), onEvent('a.#', nothing)], /two handlers for event 'a\.#'/],
    ['a name given in two ways', [onCommand('Do', nothing), onCommand('svc.Do', nothing)], /command 'svc\.Do'/],
    ['the command of another', [onCommand('other.Do', nothing)], /is for service 'other', and this is service 'svc'/],
    ['the contract of another', [onCommand(defineCommand('other.Do'), nothing)], /is for service 'other'/],
    ['an empty key', [onEvent('', nothing)], /must be a string that is not empty/],
    ['a wildcard within a word', [onEvent('bill*', nothing)], /stand for whole words/],
  ] as const)('with handlers for %s', ([, handlers, problem]) => {
    const define = (): unknown => defineService({ name: 'svc', handlers })
    expect(define).toThrow(InvalidSettingError)
    expect(define).toThrow(problem)
  })

  test('but not for a command and a result, or an event, of one name', () => {
    const handlers = [
      onEvent('Same', nothing),
      onCommand('Same', nothing),
      onResult('Same', nothing),
      onConfiguration('Same', () => true),
    ]
    expect(() => defineService({ name: 'svc', handlers })).not.toThrow()
  })
})
