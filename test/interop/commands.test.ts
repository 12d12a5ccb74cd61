/** Commands and results between our services and services written in Python, both ways and in both formats. */
import { CommandError, defineService, onCommand, onResult } from 'eventail'
import { describe, expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { seenBy, startPythonWorker } from './python-worker.ts'

describe.for(['cbor', 'json'] as const)('in %s', (format) => {
  test('our service handles commands of a service in Python, which receives its results', async ({ url }) => {
    const name = `ours-${format}`
    const service = defineService({
      name,
      format,
      handlers: [
        onCommand('Double', ({ payload, correlationId, replyTo, conversationId, messageId }) => {
          return {
            twice: (payload as number) * 2,
            correlationId,
            replyTo,
            conversationId,
            messageId: messageId ?? null,
          }
        }),
        onCommand('Decline', ({ payload }) => {
          throw new CommandError({ reason: 'no', of: payload })
        }),
      ],
    })
    await using _ours = await service.start({ urls: [url], stderrLevel: 'NONE' })
    const caller = `caller-${format}`
    const python = await startPythonWorker(url, { service: caller, commands: [`${caller}.*`], format })
    const send = (verb: string, payload: unknown): void => {
      python.tell({
        exchange: 'commands',
        key: `${name}.${verb}`,
        payload,
        headers: { conversation_id: 'c7' },
        reply_to: `${caller}.Got`,
        correlation_id: 'k-é-1',
        mandatory: true,
      })
    }
    const properties = {
      content_type: `application/${format}`,
      delivery_mode: 2,
      correlation_id: 'k-é-1',
      app_id: name,
      message_id: expect.stringMatching(/^[\da-f-]{36}$/),
      timestamp: expect.any(Number),
    }
    send('Double', 21)
    expect(await seenBy(python)).toEqual({
      exchange: 'commands',
      key: `${caller}.Got`,
      payload: { twice: 42, correlationId: 'k-é-1', replyTo: `${caller}.Got`, conversationId: 'c7', messageId: null },
      redelivered: false,
      // the command had no message_id that could be the cause
      headers: { conversation_id: 'c7', status: 'success' },
      // no reply_to: it would make this a command
      properties,
    })
    send('Decline', ['x'])
    expect(await seenBy(python)).toMatchObject({
      payload: { reason: 'no', of: ['x'] },
      headers: { conversation_id: 'c7', status: 'error' },
      properties,
    })
  })

  test('a service in Python handles our commands, and its success and error results reach us', async ({ url }) => {
    const name = `sender-${format}`
    const results: unknown[] = []
    const service = defineService({
      name,
      format,
      handlers: [
        onResult('Outcome', ({ status, payload, correlationId, conversationId }) => {
          results.push({ status, payload, correlationId, conversationId })
        }),
      ],
    })
    const doer = `doer-${format}`
    const python = await startPythonWorker(url, { service: doer, commands: [`${doer}.*`], format })
    await using ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
    const options = { replyTo: 'Outcome', conversationId: 'c8' }
    const { correlationId, messageId } = await ours.sendCommand(`${doer}.Do`, { n: 1 }, options)
    expect(await seenBy(python)).toEqual({
      exchange: 'commands',
      key: `${doer}.Do`,
      payload: { n: 1 },
      redelivered: false,
      headers: { conversation_id: 'c8' },
      properties: {
        content_type: `application/${format}`,
        delivery_mode: 2,
        reply_to: `${name}.Outcome`,
        correlation_id: correlationId,
        message_id: messageId,
        app_id: name,
        timestamp: expect.any(Number),
      },
    })
    const success = { status: 'success', payload: { by: 'python', was: { n: 1 } }, correlationId, conversationId: 'c8' }
    await expect.poll(() => results).toEqual([success])
    await ours.sendCommand(`${doer}.Refuse`, 'this', { ...options, correlationId: 'k2' })
    const payload = { reason: 'not today', asked: 'this' }
    await expect.poll(() => results[1]).toEqual({ status: 'error', payload, correlationId: 'k2', conversationId: 'c8' })
  })
})
