/** The lines of the live view. What hostile text must not do in them is shown with that of all commands. */
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { lineOf, type LineStyle } from '../../src/dev/bus-line.ts'
import type { IncomingMessage } from '../../src/wire/message.ts'

const PLAIN: LineStyle = { colours: false, width: 120, level: 'INFO', details: true }
const NOON = new Date(2026, 0, 2, 12, 34, 56, 7)

function message(exchange: string, routingKey: string, body: unknown, properties: object = {}): IncomingMessage {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
  return {
    exchange,
    routingKey,
    redelivered: false,
    deliveryTag: 1,
    body: bytes,
    properties: { appId: 'me', ...properties },
  }
}

function inConversation(id: string, headers: object = {}): object {
  return { headers: { conversation_id: id, ...headers } }
}

test('each kind of message has its line', () => {
  const line = (...args: Parameters<typeof message>): string | undefined => lineOf(message(...args), NOON, PLAIN)
  expect(line('events', 'Told', { a: 1 }, inConversation('conv-1234'))).toBe(
    '12:34:56.007 1234 event     me            Told                         {"a":1}',
  )
  expect(line('commands', 'you.Do', [], { replyTo: 'me.Done' })).toMatch(/ command +me +you\.Do +\[\]$/)
  expect(line('commands', 'me.Done', 1, inConversation('c', { status: 'success' }))).toMatch(
    / result +me +me\.Done +1$/,
  )
  expect(line('commands', 'me.Done', 'no', inConversation('c', { status: 'error' }))).toMatch(/me\.Done +error "no"$/)
  expect(line('configurations', 'Set', null)).toMatch(/ config +me +Set +null$/)
  const death = { queue: 'you.events', reason: 'rejected', count: 2 }
  expect(line('am-dlx', 'Told', 1, inConversation('c', { 'x-death': [death] }))).toMatch(
    / dead +me +dead: Told, rejected by you\.events, 2nd time {2}1$/,
  )
  expect(line('events', 'Sung', Uint8Array.of(0xff), { contentType: 'application/cbor' })).toMatch(
    /<1 bytes that are no application\/cbor>$/,
  )
})

describe('a log record', () => {
  const record = {
    short_message: 'it failed',
    full_message: 'Error: no\n    at mine.ts:1\n    at run (node:internal/x:1)',
  }

  test('shows from a level on', () => {
    const info = message('logs', 'me.INFO', record)
    expect(lineOf(info, NOON, PLAIN)).toContain('it failed')
    expect(lineOf(info, NOON, { ...PLAIN, level: 'NOTICE' })).toBeUndefined()
    expect(lineOf(message('logs', 'me.ODD', record), NOON, { ...PLAIN, level: 'EMERGENCY' })).toContain('it failed')
  })

  test('shows what is below its line only where that is wanted, and of a stack what is about the service', () => {
    const alert = message('logs', 'me.ALERT', record)
    expect(lineOf(alert, NOON, PLAIN)?.split('\n').slice(1)).toEqual(['    Error: no', '        at mine.ts:1'])
    expect(lineOf(alert, NOON, { ...PLAIN, details: false })).not.toContain('\n')
  })

  test('shows the whole of a long line where details are wanted', () => {
    const long = message('logs', 'me.INFO', { short_message: `${'x'.repeat(300)}end` })
    expect(lineOf(long, NOON, PLAIN)).toMatch(/x{300}end$/)
    expect(lineOf(long, NOON, { ...PLAIN, details: false })?.length).toBeLessThanOrEqual(120)
  })
})

test('one conversation has one colour; a line is no wider than the terminal', () => {
  const coloured = (id: string): string =>
    lineOf(message('events', 'Told', 'x'.repeat(500), inConversation(id)), NOON, {
      ...PLAIN,
      colours: true,
      width: 80,
    }) ?? ''
  const colourOf = (line: string): string => line.split(' ')[1] ?? ''
  expect(colourOf(coloured('conversation-a'))).toBe(colourOf(coloured('conversation-a')))
  expect(new Set(['a', 'b', 'c', 'd', 'e', 'f'].map((id) => colourOf(coloured(`${id}-1234`)))).size).toBeGreaterThan(2)
  const shown = stripVTControlCharacters(coloured('conversation-a'))
  expect(shown.length).toBeLessThanOrEqual(80)
  expect(shown.endsWith('…')).toBe(true)
})
