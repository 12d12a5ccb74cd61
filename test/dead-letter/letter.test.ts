/** What the headers of dead letters say, in words, and what of them goes along. */
import { expect, test } from 'vitest'
import { deathsOf, describeDeath, firstDeathOf, withoutDeaths } from '../../src/dead-letter/letter.ts'
import { rebirthOf } from '../../src/dead-letter/resurrect.ts'

const now = new Date('2026-01-01T12:00:00Z')
const ago = (seconds: number): Date => new Date(now.getTime() - seconds * 1000)

test.for([
  [
    { queue: 'pong.commands', reason: 'rejected', count: 2, time: ago(180) },
    'rejected by pong.commands 3 min ago, 2nd time',
  ],
  [{ queue: 'a', reason: 'expired', count: 1, time: ago(5) }, 'expired in a 5 s ago'],
  [{ queue: 'a', reason: 'maxlen', count: 13, time: ago(7300) }, 'pushed out of a 2 h ago, 13th time'],
  [{ queue: 'a\u001b', reason: 'constructor', count: 1, time: undefined }, 'constructor in a\\x1b'],
] as const)('a death is told in words: %s', ([death, words]) => {
  expect(describeDeath(death, now)).toBe(words)
})

test('death headers that are not as the broker writes them are left out', () => {
  expect(deathsOf({ 'x-death': 'no' })).toEqual([])
  expect(deathsOf({ 'x-death': [null, 1, { queue: 3 }, { queue: 'q', reason: 'rejected' }] })).toEqual([
    { queue: 'q', reason: 'rejected', count: 1, time: undefined },
  ])
  expect(firstDeathOf({ 'x-first-death-queue': 'q' })).toBeUndefined()
})

test('headers about deaths do not go along, all others do', () => {
  const headers = {
    'x-death': [],
    'x-first-death-queue': 'q',
    'x-last-death-reason': 'r',
    'x-mine': 1,
    conversation_id: 'c',
  }
  expect(Object.fromEntries(withoutDeaths(Object.entries(headers)))).toEqual({ 'x-mine': 1, conversation_id: 'c' })
})

test('a letter is sent to where it died first, with its first routing key', () => {
  const letter = {
    exchange: 'dlx',
    routingKey: 'replaced',
    redelivered: true,
    deliveryTag: 1,
    body: Buffer.from('x'),
    properties: {
      headers: {
        'x-first-death-exchange': 'events',
        'x-first-death-queue': 'a.events',
        'x-death': [
          { queue: 'later', reason: 'expired', 'routing-keys': ['replaced'] },
          { queue: 'a.events', reason: 'rejected', 'routing-keys': ['Told'] },
        ],
      },
    },
  }
  expect(rebirthOf(letter)).toMatchObject({ exchange: 'events', routingKey: 'Told', mandatory: true })
})
