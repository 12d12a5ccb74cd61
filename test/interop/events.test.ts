/** Events, configurations and logs between our services and services written in Python. */
import { hostname } from 'node:os'
import { defineService, onConfiguration, onEvent } from 'eventail'
import { expect } from 'vitest'
import { test } from '../bus/bus.ts'
import { seenBy, startPythonWorker } from './python-worker.ts'

/** What the synchronous endpoint of the Python toolkit adds to the properties. */
const SYNC = { priority: 0, delivery_mode: 1 }

test('our service handles configurations of Python, whether with an empty conversation id or without any header', async ({
  url,
}) => {
  const handled: unknown[] = []
  const service = defineService({
    name: 'configured',
    handlers: [
      onConfiguration('Limits', ({ payload, conversationId }) => {
        handled.push([payload, conversationId])
        return payload === 'last'
      }),
    ],
  })
  const python = await startPythonWorker(url, { service: 'configurator' })
  await using ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
  const configuration = { exchange: 'configurations', key: 'Limits' }
  const empty = { conversation_id: '' }
  python.tell({ ...configuration, payload: { max: 1 }, headers: empty })
  python.tell({ ...configuration, payload: { max: 2 }, headers: null })
  python.tell({ ...configuration, payload: [3], headers: empty, content_encoding: 'binary', ...SYNC })
  python.tell({ ...configuration, payload: 'é', headers: empty, form: 'json', content_encoding: 'utf-8', ...SYNC })
  expect(ours.state).toBe('unconfigured')
  python.tell({ ...configuration, payload: 'last', headers: {}, form: 'json' })
  await expect.poll(() => ours.state).toBe('ready')
  expect(handled).toEqual([{ max: 1 }, { max: 2 }, [3], 'é', 'last'].map((payload) => [payload, '']))
})

test('our service handles events of Python, of services and of the synchronous endpoint', async ({ url, probe }) => {
  const handled: unknown[] = []
  const service = defineService({
    name: 'audience',
    handlers: [
      onEvent('Song.#', ({ name, payload, conversationId, headers, metadata }) => {
        handled.push([name, payload, conversationId, headers, metadata.messageId])
      }),
    ],
  })
  await using _ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
  const python = await startPythonWorker(url, { service: 'singer' })
  const event = { exchange: 'events', headers: { conversation_id: 'c9' } }
  python.tell({ ...event, key: 'Song.Begun', payload: { n: 1 } })
  python.tell({ ...event, key: 'Song', payload: null, form: 'json' })
  python.tell({ ...event, key: 'Song.A.B', payload: 'ü', content_encoding: 'binary', ...SYNC })
  python.tell({ ...event, key: 'Song.A', payload: 'ü', form: 'json', content_encoding: 'utf-8', ...SYNC })
  const more = { headers: { conversation_id: '', extra: 7 }, message_id: 'm1' }
  python.tell({ ...event, ...more, key: 'Song.Ended', payload: 1.5 })
  await expect
    .poll(() => handled)
    .toEqual([
      ['Song.Begun', { n: 1 }, 'c9', {}, undefined],
      ['Song', null, 'c9', {}, undefined],
      ['Song.A.B', 'ü', 'c9', {}, undefined],
      ['Song.A', 'ü', 'c9', {}, undefined],
      ['Song.Ended', 1.5, '', { extra: 7 }, 'm1'],
    ])
  await expect.poll(() => probe.counts('audience.events')).toEqual({ messages: 0, consumers: 1 })
})

test('Python reads our events and configurations with every property and header', async ({ url, probe }) => {
  const service = defineService({
    name: 'teller',
    handlers: [
      onEvent('Asked', async ({ payload, publish, publishConfiguration }) => {
        await publish(
          'Told',
          { was: payload },
          { headers: { more: 'ü', least: -5, big: 2 ** 40, yes: true, none: null } },
        )
        await publishConfiguration('Limits', { max: 3 })
      }),
    ],
  })
  const python = await startPythonWorker(url, { service: 'listener', events: ['Told'], configurations: ['#'] })
  await using ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
  const before = Math.floor(Date.now() / 1000)
  await probe.event('Asked', 'é', { messageId: 'm-asked' })
  const properties = {
    content_type: 'application/cbor',
    delivery_mode: 2,
    app_id: 'teller',
    message_id: expect.stringMatching(/^[\da-f-]{36}$/),
    timestamp: expect.toSatisfy((seconds: unknown) => {
      return Number.isInteger(seconds) && Number(seconds) >= before && Number(seconds) <= before + 20
    }),
  }
  const own = { more: 'ü', least: -5, big: 2 ** 40, yes: true, none: null }
  expect(await seenBy(python)).toEqual({
    exchange: 'events',
    key: 'Told',
    payload: { was: 'é' },
    redelivered: false,
    headers: { conversation_id: 'c1', causation_id: 'm-asked', ...own },
    properties,
  })
  const configuration = {
    exchange: 'configurations',
    key: 'Limits',
    payload: { max: 3 },
    redelivered: false,
    properties,
  }
  const headers = { conversation_id: '', causation_id: 'm-asked' }
  expect(await seenBy(python)).toEqual({ ...configuration, headers })
  await ours.publishConfiguration('Limits', { max: 3 })
  expect(await seenBy(python)).toEqual({ ...configuration, headers: { conversation_id: '' } })
  // outside of any handler, an event begins a conversation
  await ours.publish('Told', { n: 1 }, { expirationMs: 60_000 })
  expect(await seenBy(python)).toEqual({
    exchange: 'events',
    key: 'Told',
    payload: { n: 1 },
    redelivered: false,
    headers: { conversation_id: expect.stringMatching(/^[\da-f-]{36}$/) },
    properties: { ...properties, expiration: '60000' },
  })
})

test('Python reads our logs as GELF', async ({ url, probe }) => {
  const service = defineService({
    name: 'chronicler',
    handlers: [
      onEvent('Noted', ({ log }) =>
        log.notice('noted: ü\n\u001b[31m', { full: 'two\nlines', fields: { size: 3, _kind: 'k' } }),
      ),
    ],
  })
  const python = await startPythonWorker(url, { service: 'graylog', logs: ['chronicler.NOTICE'] })
  await using _ours = await service.start({ urls: [url], stderrLevel: 'ERROR' })
  await probe.event('Noted')
  expect(await seenBy(python)).toEqual({
    exchange: 'logs',
    key: 'chronicler.NOTICE',
    redelivered: false,
    payload: {
      version: '1.1',
      short_message: 'noted: ü\n\u001b[31m',
      full_message: 'two\nlines',
      level: 5,
      _levelname: 'NOTICE',
      host: `chronicler@${hostname()}`,
      timestamp: expect.closeTo(Date.now() / 1000, -2),
      _conversation_id: 'c1',
      _logical_service: 'chronicler',
      _worker_pid: process.pid,
      _size: 3,
      _kind: 'k',
    },
    // not persistent, and no header
    headers: null,
    properties: { content_type: 'application/json' },
  })
})
