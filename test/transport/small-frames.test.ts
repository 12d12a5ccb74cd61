/** A broker that allows only small frames: what needs a larger one is refused, and alone. */
import { Endpoint } from 'eventail'
import { expect, test } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { outcomeOf } from '../bus/watched.ts'

test('headers that need a larger frame than the broker allows fail alone, and the connection stays', async () => {
  await using broker = await startBroker({ config: ['frame_max = 8192'] })
  const troubles: string[] = []
  await using endpoint = new Endpoint({
    name: 'small-frames',
    urls: [broker.url],
    stderrLevel: 'NONE',
    drainTimeoutMs: 1_000,
    onLog: ({ level, short }) => level !== 'INFO' && troubles.push(short),
  })
  await endpoint.publish('Fine', 'x'.repeat(100_000), { headers: { small: 'x'.repeat(7_000) } })
  const outcomes = ['x', 'x'.repeat(20_000), 'x'].map((large) =>
    outcomeOf(endpoint.publish('Fine', 1, { headers: { large } })),
  )
  expect(await Promise.all(outcomes)).toEqual(['ok', 'PUBLISH_REFUSED', 'ok'])
  expect(troubles.filter((text) => !text.includes('cannot be sent'))).toEqual([])
})
