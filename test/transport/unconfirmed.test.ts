import { expect, test } from 'vitest'
import { type Sent, Unconfirmed } from '../../src/transport/unconfirmed.ts'
import type { OutgoingMessage } from '../../src/wire/message.ts'

const message: OutgoingMessage = {
  exchange: 'commands',
  routingKey: 'nobody.Do',
  mandatory: true,
  properties: { persistent: true, messageId: 'm1' },
  body: Buffer.from('1'),
}

test('equal messages that all come back before one is confirmed are each marked once', () => {
  const unconfirmed = new Unconfirmed<Sent>()
  const sent = [1, 2].map((): Sent => ({ message, sentAt: 0, returned: false }))
  for (const one of sent) unconfirmed.add(one)
  const { exchange, routingKey, body } = message
  const returned = { exchange, routingKey, properties: { messageId: 'm1' }, body } as Parameters<
    Unconfirmed<Sent>['markReturned']
  >[0]
  expect([1, 2, 3].map(() => unconfirmed.markReturned(returned))).toEqual([sent[0], sent[1], undefined])
  expect(sent.map((one) => one.returned)).toEqual([true, true])
})
