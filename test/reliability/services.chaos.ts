/** Services and the broker are killed while messages flow; also where a peer in Python shares the queues. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../dev/broker.mjs'
import { startRedis } from '../../dev/redis.mjs'
import { runPipeline } from './pipeline.ts'

let broker: Broker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.dispose())

test('nothing is lost when services are killed ten times, and the broker three times', async () => {
  const report = await runPipeline({ nodes: [broker], messages: 20_000, serviceKills: 10, brokerKills: 3 })
  expect(report).toMatchObject({ confirmed: 20_000, lost: 0, problems: [] })
})

test('nothing comes twice when services are stopped twenty times', async () => {
  const report = await runPipeline({
    nodes: [broker],
    messages: 10_000,
    serviceKills: 20,
    brokerKills: 0,
    signal: 'SIGTERM',
  })
  expect(report).toMatchObject({ confirmed: 10_000, lost: 0, duplicates: 0, problems: [] })
})

test('nothing is lost where workers in Python share the queues', async () => {
  const report = await runPipeline({
    nodes: [broker],
    messages: 6_000,
    serviceKills: 6,
    brokerKills: 1,
    python: true,
  })
  expect(report).toMatchObject({ confirmed: 6_000, lost: 0, problems: [] })
})

test('work that was remembered is not done again', async () => {
  await using redis = await startRedis(['appendonly no'])
  const report = await runPipeline({
    nodes: [broker],
    messages: 6_000,
    serviceKills: 6,
    brokerKills: 1,
    redisUrl: redis.url,
  })
  expect(report).toMatchObject({ confirmed: 6_000, lost: 0, repeatedWork: 0, problems: [] })
})
