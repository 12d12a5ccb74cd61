/** One conversation put in order, among services that say who they are and Python services that do not. */
import { expect, test } from 'vitest'
import { sequenceDiagram } from '../../src/observe/sequence-diagram.ts'
import { type Step, Trace } from '../../src/observe/trace.ts'
import type { IncomingMessage } from '../../src/wire/message.ts'
import { message } from './messages.ts'

const inConversation = { conversation_id: 'c1' }

function traced(messages: readonly IncomingMessage[], receivers?: ConstructorParameters<typeof Trace>[1]): Step[] {
  const trace = new Trace('c1', receivers)
  return messages.flatMap((each, index) => trace.add(each, 100 + index * 10) ?? [])
}

/** In Python, neither app_id nor message_id nor causes are set. */
const OF_PYTHON = [
  message('commands', 'pong.EchoMessage', 1, {
    headers: inConversation,
    replyTo: 'ping.EchoReturn',
    correlationId: 'k1',
  }),
  message('logs', 'pong.INFO', { short_message: 'echoing', _conversation_id: 'c1' }),
  message('commands', 'caps.Upper', 2, { headers: inConversation, replyTo: 'pong.Uppered', correlationId: 'k2' }),
  message('commands', 'pong.Uppered', 3, { headers: { ...inConversation, status: 'error' }, correlationId: 'k2' }),
  message('commands', 'ping.EchoReturn', 4, { headers: { ...inConversation, status: 'success' }, correlationId: 'k1' }),
]

test('services in Python are found by their commands, results and logs', () => {
  const steps = traced(OF_PYTHON)
  expect(steps.map(({ from, to, depth }) => [depth, from, to])).toEqual([
    [0, 'ping', ['pong']],
    [1, 'pong', []],
    [1, 'pong', ['caps']],
    [2, 'caps', ['pong']],
    [1, 'pong', ['ping']],
  ])
  expect(steps.map(({ sinceMs, gapMs }) => [sinceMs, gapMs])).toEqual([
    [0, 0],
    [10, 10],
    [20, 10],
    [30, 10],
    [40, 10],
  ])
})

test('causes that are told win over what could be guessed, and events go where they are bound', () => {
  const steps = traced(
    [
      message('events', 'Asked', 1, { headers: inConversation, messageId: 'm1', appId: 'shop' }),
      message('events', 'Answered', 2, {
        headers: { ...inConversation, causation_id: 'm1' },
        messageId: 'm2',
        appId: 'clerk',
      }),
      message('events', 'Filed', 3, { headers: { ...inConversation, causation_id: 'm2' }, appId: 'archive' }),
    ],
    (exchange, key) => (exchange === 'events' && key === 'Asked' ? ['clerk.events', 'clerk.events', 'other'] : []),
  )
  expect(steps.map(({ from, to, depth }) => [depth, from, to])).toEqual([
    [0, 'shop', ['clerk']],
    [1, 'clerk', []],
    [2, 'archive', []],
  ])
})

test('other conversations, and records that are none, are passed over', () => {
  const steps = traced([
    message('events', 'Other', 1, { headers: { conversation_id: 'c2' } }),
    message('events', 'None', 1),
    message('logs', 'x.INFO', 'no record'),
    message('logs', 'x.INFO', null),
  ])
  expect(steps).toEqual([])
})

test('the diagram has a lifeline for each service and an arrow for each message', () => {
  expect(sequenceDiagram(traced(OF_PYTHON))).toBe(
    [
      'sequenceDiagram',
      '  participant s0 as ping',
      '  participant s1 as pong',
      '  participant s2 as caps',
      '  s0->>s1: EchoMessage',
      '  Note over s1: INFO echoing',
      '  s1->>s2: Upper',
      '  s2--xs1: Uppered',
      '  s1-->>s0: EchoReturn',
    ].join('\n'),
  )
})

test('names from the wire open nothing in a diagram, and end no line', () => {
  const hostile = 'x\n  Note over s0: forged; #quot; <img src=x> \u001b[31m'
  const diagram = sequenceDiagram(
    traced([
      message('events', hostile, 1, { headers: inConversation, appId: hostile }),
      message('logs', 'a.INFO', { short_message: hostile, _conversation_id: 'c1' }),
    ]),
  )
  expect(diagram.split('\n')).toHaveLength(6)
  for (const hidden of ['<', '>', '\u001b', '"', 'quot;']) expect(diagram).not.toContain(hidden)
  // the only semicolons are those that end the number of a character
  expect(diagram.replaceAll(/#\d+;/g, '')).not.toMatch(/[;#]/)
})
