/** Dead letters of ours in the hands of a script in Python. */
import { defineService, onCommand, onEvent } from 'eventail'
import { expect } from 'vitest'
import { type Probe, test } from '../bus/bus.ts'
import { Python } from '../bus/python.ts'

const RESURRECT = new URL('peers/resurrect.py', import.meta.url)

async function keepDeadLetters(probe: Probe): Promise<void> {
  await probe.declareQueue('dead-letters')
  await probe.bind('dead-letters', 'am-dlx', '#')
}

test('a dead letter of ours that a script in Python resurrects is handled, with its properties and headers', async ({
  url,
  probe,
  dead,
}) => {
  await keepDeadLetters(probe)
  let healed = false
  const handled: unknown[] = []
  const service = defineService({
    name: 'lazarus',
    handlers: [
      onEvent('Fallen', ({ payload, conversationId, messageId, headers, metadata }) => {
        if (!healed) throw new Error('not yet')
        handled.push([payload, conversationId, messageId, headers, metadata.appId, metadata.redelivered])
      }),
      onCommand('Rise', ({ payload, correlationId, conversationId }) => {
        if (!healed) throw new Error('not yet')
        return { payload, correlationId, conversationId }
      }),
    ],
  })
  const results = await probe.listen('commands', 'probe.Result')
  await using _ours = await service.start({ urls: [url], stderrLevel: 'NONE', format: 'json' })
  await probe.event(
    'Fallen',
    { n: 1 },
    { messageId: 'm1', appId: 'a1', headers: { conversation_id: 'c3', extra: ['ü', 1] } },
  )
  await dead.next()
  await probe.command('lazarus.Rise', 'up')
  await dead.next()
  healed = true
  const script = Python.start(RESURRECT, url, 'dead-letters')
  const tombstone = { 'x-first-death-exchange': 'events', 'x-first-death-queue': 'lazarus.events' }
  expect(await script.next()).toMatchObject({ resurrected: 'Fallen', exchange: 'events', tombstone })
  expect(await script.next()).toMatchObject({ resurrected: 'lazarus.Rise', exchange: 'commands' })
  expect(await script.ended).toBe(0)
  await expect.poll(() => handled).toEqual([[{ n: 1 }, 'c3', 'm1', { extra: ['ü', 1] }, 'a1', false]])
  const result = await results.next()
  expect(JSON.parse(result.content.toString())).toEqual({ payload: 'up', correlationId: 'k1', conversationId: 'c1' })
  expect(await probe.counts('dead-letters')).toEqual({ messages: 0, consumers: 0 })
})
