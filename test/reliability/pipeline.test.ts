/** The short version of the pipeline under fire: see headline.ts for the long one. */
import { expect, test } from 'vitest'
import { startBroker } from '../../dev/broker.mjs'
import { startRedis } from '../../dev/redis.mjs'
import { runPipeline } from './pipeline.ts'

test('nothing is lost when services and the broker are killed, and once does no remembered work again', async () => {
  await using broker = await startBroker()
  await using redis = await startRedis(['appendonly no'])
  const report = await runPipeline({
    nodes: [broker],
    messages: 3_000,
    serviceKills: 3,
    brokerKills: 1,
    redisUrl: redis.url,
  })
  expect(report).toMatchObject({ confirmed: 3_000, lost: 0, problems: [] })
}, 300_000)
