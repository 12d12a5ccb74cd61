/** The view of a bus, where the broker does not do as it should. */
import { StoppedError } from 'eventail'
import { expect, test } from 'vitest'
import { DevBroker } from '../../src/broker/dev-broker.ts'
import { BusView } from '../../src/dev/bus-view.ts'
import { parseBrokerUrl } from '../../src/transport/broker-url.ts'

test('a broker that goes away before the view sees the bus keeps nobody who wants to stop', async () => {
  const broker = await DevBroker.start()
  const stop = new AbortController()
  const notes: string[] = []
  const view = BusView.open(
    {
      broker: parseBrokerUrl(broker.url),
      tls: undefined,
      style: () => ({ colours: false, width: 100, level: 'INFO', details: false }),
      redact: (message) => message,
      show: () => {},
      note: (text) => notes.push(text),
      onReady: () => {},
    },
    stop.signal,
  )
  // the first connection looks for the dead-letter exchange
  while (broker.connections().length === 0) await new Promise((resolve) => setImmediate(resolve))
  while (broker.connections().length > 0) await new Promise((resolve) => setImmediate(resolve))
  await broker.close()
  await expect.poll(() => notes).toEqual([expect.stringContaining('the view lost the broker')])
  stop.abort()
  await expect(view).rejects.toThrow(StoppedError)
})
