/** What was on its way when an operator, or a broker that stops in good order, closes the connection. */
import { defineService } from 'eventail'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'

test('a message that was on its way when the broker closed the connection is sent again, and not blamed for it', async ({
  url,
  probe,
  management,
}) => {
  const proxy = await Proxy.start(Number(new URL(url).port))
  const announced = await probe.listen('events', 'Announced')
  const service = defineService({ name: 'announcer', format: 'json', handlers: [] })
  const worker = await service.start({ urls: [proxy.through(url)], stderrLevel: 'NONE' })
  try {
    // nothing reaches the broker, but what it says reaches us
    proxy.freeze('up')
    const sent = worker.publish('Announced', { n: 1 })
    sent.catch(() => {})
    expect(worker.pendingPublishes).toBe(1)
    await management.closeConnections('(publish)')
    proxy.pass()
    await sent
    expect(jsonOf(await announced.next())).toEqual({ n: 1 })
  } finally {
    await worker.stop()
    await proxy.close()
  }
})
