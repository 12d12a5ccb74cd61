/** Services by inheritance: every method that may be overridden, and what those do that are not. */
import {
  CommandError,
  type CommandContext,
  type ConfigurationContext,
  type EventContext,
  InvalidSettingError,
  type ResultContext,
  type ReturnedMessage,
  Service,
  type ServiceContext,
  SETTLE_LATER,
  UnroutableError,
} from 'eventail'
import { expect } from 'vitest'
import { jsonOf, recordOf, test } from '../bus/bus.ts'

class Everything extends Service {
  readonly happened: string[] = []
  returned: ReturnedMessage | undefined

  constructor(name: string) {
    super({
      name,
      format: 'json',
      events: ['Happened', 'later.#'],
      commands: ['Do'],
      results: ['AskResult'],
      configurations: ['Conf'],
    })
  }

  override handleEvent({ routingKey, payload, ack, publish }: EventContext): unknown {
    this.happened.push(`event ${routingKey}: ${String(payload)}`)
    if (routingKey.startsWith('later.')) {
      void ack()
      return SETTLE_LATER
    }
    return publish('Noticed', payload)
  }

  override handleCommand({ name, payload }: CommandContext): unknown {
    if (payload === 'bad') throw new CommandError('bad')
    return `${name} ${String(payload)}`
  }

  override handleResult({ name, status, payload, correlationId }: ResultContext): void {
    this.happened.push(`${name} ${status} ${correlationId}: ${String(payload)}`)
  }

  override handleConfiguration({ payload }: ConfigurationContext): boolean {
    this.happened.push(`configuration: ${String(payload)}`)
    return payload === true
  }

  override handleReturnedMessage(message: ReturnedMessage): void {
    this.returned = message
  }

  override onReady({ service }: ServiceContext): void {
    this.happened.push(`${service} is ready`)
  }

  override onUnconfigured({ publish }: ServiceContext): Promise<void> {
    this.happened.push('unconfigured')
    return publish('ConfWanted', null)
  }
}

test('every method may be overridden, and works as a handler or a hook does', async ({ url, probe }) => {
  const service = new Everything('everything')
  const wanted = await probe.listen('events', 'ConfWanted', 'Noticed')
  const results = await probe.listen('commands', 'probe.Result')
  await using worker = await service.start({ urls: [url], stderrLevel: 'NONE' })
  expect((await wanted.next()).fields.routingKey).toBe('ConfWanted')
  const configure = (body: unknown): Promise<void> =>
    probe.publish({ exchange: 'configurations', routingKey: 'Conf', body })
  await configure(false)
  await configure(true)
  await expect
    .poll(() => service.happened)
    .toEqual(['unconfigured', 'configuration: false', 'configuration: true', 'everything is ready'])
  service.happened.length = 0

  await probe.event('Happened', 1)
  expect(jsonOf(await wanted.next())).toBe(1)
  await probe.event('later.on', 2)
  await probe.publish({
    exchange: 'commands',
    routingKey: 'everything.AskResult',
    body: 3,
    headers: { conversation_id: 'c1', status: 'error' },
    correlationId: 'k3',
  })
  await expect
    .poll(() => service.happened.toSorted())
    .toEqual(['AskResult error k3: 3', 'event Happened: 1', 'event later.on: 2'])
  await probe.command('everything.Do', 'it')
  expect(jsonOf(await results.next())).toBe('Do it')
  await probe.command('everything.Do', 'bad')
  expect(jsonOf(await results.next())).toEqual({ reason: 'bad' })
  await expect(worker.sendCommand('nobody.Do', { lost: true })).rejects.toBeInstanceOf(UnroutableError)
  expect(service.returned).toMatchObject({ routingKey: 'nobody.Do', payload: { lost: true } })
  await expect.poll(() => probe.counts('everything.events')).toEqual({ messages: 0, consumers: 1 })
  await expect.poll(() => probe.counts('everything.commands')).toEqual({ messages: 0, consumers: 1 })
})

test('what is not overridden refuses messages as ones without a handler, and reports what came back', async ({
  url,
  probe,
  dead,
}) => {
  class Bare extends Service {
    constructor() {
      super({ name: 'bare', events: ['Happened'], commands: ['Do'], results: ['AskResult'] })
    }
  }
  const logs = await probe.logs('bare.ERROR', 'bare.ALERT', 'bare.EMERGENCY')
  await using worker = await new Bare().start({ urls: [url], stderrLevel: 'NONE' })
  const expectRefused = async (kind: string, key: string, method: string): Promise<void> => {
    expect((await dead.next()).fields.routingKey).toBe(key)
    expect(recordOf(await logs.next())).toMatchObject({
      _levelname: 'ERROR',
      short_message: `unexpected ${kind} ${key}; service 'bare' subscribes to it, and does not override ${method} (dead-lettered)`,
      _conversation_id: 'c1',
    })
  }
  await probe.event('Happened')
  await expectRefused('event', 'Happened', 'handleEvent')
  await probe.command('bare.Do')
  await expectRefused('command', 'bare.Do', 'handleCommand')
  await probe.publish({
    exchange: 'commands',
    routingKey: 'bare.AskResult',
    headers: { conversation_id: 'c1', status: 'success' },
  })
  await expectRefused('result', 'bare.AskResult', 'handleResult')
  await expect(worker.sendCommand('nobody.Do', 1)).rejects.toBeInstanceOf(UnroutableError)
  expect(recordOf(await logs.next())['short_message']).toBe(
    "message 'nobody.Do' on exchange 'commands' came back: no queue is bound for it",
  )
  expect(logs.size).toBe(0)
})

test('a subclass that leaves a message to its parent has the same methods to call', async ({ url, probe, dead }) => {
  class Child extends Everything {
    override handleEvent(context: EventContext): unknown {
      return context.payload === 'mine' ? this.happened.push('mine') : super.handleEvent(context)
    }

    override handleConfiguration(): boolean {
      return true
    }
  }
  const child = new Child('child')
  await using worker = await child.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.publish({ exchange: 'configurations', routingKey: 'Conf' })
  await expect.poll(() => worker.state).toBe('ready')
  await probe.event('Happened', 'mine')
  await probe.event('Happened', 'theirs')
  await expect.poll(() => child.happened).toContain('event Happened: theirs')
  expect(child.happened).toContain('mine')
  expect(child.happened).not.toContain('event Happened: mine')
  expect(dead.size).toBe(0)
})

test('a wrong name, key or setting is refused by the constructor', () => {
  class Any extends Service {}
  expect(() => new Any({ name: '' })).toThrow(InvalidSettingError)
  expect(() => new Any({ name: 'any', events: ['a..b'] })).toThrow(InvalidSettingError)
  expect(() => new Any({ name: 'any', commands: ['other.Do'] })).toThrow(InvalidSettingError)
  expect(() => new Any({ name: 'any', prefetch: 0 })).toThrow(InvalidSettingError)
})
