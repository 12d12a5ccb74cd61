import { CommandError, defineService, onCommand, onEvent, SETTLE_LATER } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, recordOf, test } from '../bus/bus.ts'

test('an event reaches its handler, and what it publishes stays in the conversation', async ({ url, probe }) => {
  const chain = defineService({
    name: 'chain',
    format: 'json',
    handlers: [onEvent('Started', ({ payload, publish }) => publish('Continued', { was: payload }))],
  })
  const continued = await probe.listen('events', 'Continued')
  await using _worker = await chain.start({ urls: [url] })
  await probe.event('Started', { n: 1 }, { messageId: 'm1' })
  const message = await continued.next()
  expect(jsonOf(message)).toEqual({ was: { n: 1 } })
  expect(message.properties.headers).toEqual({ conversation_id: 'c1', causation_id: 'm1' })
  await expect.poll(() => probe.counts('chain.events')).toEqual({ messages: 0, consumers: 1 })
})

test('a command is answered with what its handler returns, or with its CommandError', async ({ url, probe }) => {
  const answerer = defineService({
    name: 'answerer',
    format: 'json',
    handlers: [
      onCommand('Do', ({ payload }) => ({ did: payload })),
      onCommand('Nothing', () => undefined),
      onCommand('Refuse', () => {
        throw new CommandError({ why: 'because' })
      }),
      onCommand('Later', async (command) => {
        command.callLater(10, async () => {
          await command.success('at last')
          await command.ack()
        })
        return SETTLE_LATER
      }),
    ],
  })
  const results = await probe.listen('commands', 'probe.Result')
  await using _worker = await answerer.start({ urls: [url] })
  const outcome = async (verb: string): Promise<unknown> => {
    await probe.command(`answerer.${verb}`, 'it')
    const { properties, ...message } = await results.next()
    expect(properties).toMatchObject({ correlationId: 'k1', replyTo: undefined })
    return [properties.headers?.['status'], jsonOf({ properties, ...message })]
  }
  expect(await outcome('Do')).toEqual(['success', { did: 'it' }])
  expect(await outcome('Nothing')).toEqual(['success', null])
  expect(await outcome('Refuse')).toEqual(['error', { why: 'because' }])
  expect(await outcome('Later')).toEqual(['success', 'at last'])
  await expect.poll(() => probe.counts('answerer.commands')).toEqual({ messages: 0, consumers: 1 })
})

test('a handler that fails gets the message once more, and then it is dead', async ({ url, probe, dead }) => {
  const calls: boolean[] = []
  const failing = defineService({
    name: 'failing',
    handlers: [
      onEvent('Fail', ({ metadata }) => {
        calls.push(metadata.redelivered)
        throw new Error('out of luck')
      }),
    ],
  })
  const logs = await probe.logs('failing.ALERT', 'failing.EMERGENCY')
  await using _worker = await failing.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Fail', 1)
  expect((await dead.next()).fields.routingKey).toBe('Fail')
  expect(calls).toEqual([false, true])
  const records = [recordOf(await logs.next()), recordOf(await logs.next()), recordOf(await logs.next())]
  expect(records.map(({ _levelname }) => _levelname)).toEqual(['ALERT', 'ALERT', 'EMERGENCY'])
  expect(records[2]).toMatchObject({ short_message: 'Giving up on Fail', _conversation_id: 'c1' })
  expect(records[0]?.['full_message']).toContain('out of luck')
})
