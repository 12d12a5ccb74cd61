/** A cluster of three nodes with quorum queues, whose nodes are killed. */
import { setTimeout as delay } from 'node:timers/promises'
import { defineService, Endpoint, onEvent } from 'eventail'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Broker } from '../../dev/broker.mjs'
import { type Cluster, startCluster } from '../../dev/cluster.mjs'
import { outcomeOf } from '../bus/watched.ts'
import { runPipeline } from './pipeline.ts'
import { Stream } from './stream.ts'

const CONFIRM_TIMEOUT_MS = 3_000

let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster()
}, 240_000)
afterAll(() => cluster.dispose())

/** A virtual host whose queues are quorum queues, without any argument of their own. */
async function quorumHost(name: string): Promise<readonly string[]> {
  const [first] = cluster.nodes
  await first?.ctl('add_vhost', name, '--default-queue-type', 'quorum')
  await first?.ctl('set_permissions', '-p', name, 'guest', '.*', '.*', '.*')
  return cluster.urls.map((url) => `${url}/${name}`)
}

async function leaderOf(queue: string, vhost: string): Promise<Broker> {
  // any node knows
  const text = (await cluster.nodes[0]?.ctl('list_queues', '-p', vhost, '--no-table-headers', 'name', 'leader')) ?? ''
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${queue}\t`))
  const leader = cluster.nodes.find(({ nodeName }) => line?.endsWith(nodeName))
  if (leader === undefined) throw new Error(`no leader of ${queue} in: ${text}`)
  return leader
}

test('nothing is lost when nodes and services are killed', async () => {
  const report = await runPipeline({
    nodes: cluster.nodes,
    messages: 6_000,
    serviceKills: 4,
    brokerKills: 3,
    queues: 'quorum',
  })
  expect(report).toMatchObject({ confirmed: 6_000, lost: 0, problems: [] })
})

test('publishing and consuming go on when the leader of the queue is killed, wherever clients are connected', async () => {
  const urls = await quorumHost('leaders')
  await using stream = await Stream.start({
    publishTo: urls,
    consumeFrom: urls.toReversed(),
    confirmTimeoutMs: CONFIRM_TIMEOUT_MS,
    publishRetryDelayMs: 2_000,
  })
  await stream.flows(10_000)
  for (let n = 0; n < 10; n++) {
    const leader = await leaderOf('stream.events', 'leaders')
    stream.mark()
    await leader.kill()
    await stream.flows(CONFIRM_TIMEOUT_MS + 10_000)
    const { confirmed, received } = stream.stoodStillMs
    expect(confirmed).toBeLessThan(CONFIRM_TIMEOUT_MS + 5_000)
    expect(received).toBeLessThan(CONFIRM_TIMEOUT_MS + 5_000)
    await leader.restart()
    await delay(3_000)
  }
  expect(await stream.end()).toEqual([])
  expect(stream.rejected).toEqual([])
})

test('after a split brain no mandatory publish resolves whose message was thrown away', async () => {
  const urls = await quorumHost('split')
  const [one, , frozen] = cluster.nodes
  const [urlOne = '', urlTwo = '', urlFrozen = ''] = urls
  const received = new Set<unknown>()
  const settings = { stderrLevel: 'NONE' } as const
  frozen?.freeze()
  // longer than the net_ticktime of 10 s: to the others it is down
  await expect
    .poll(() => one?.ctl('cluster_status', '--formatter', 'json').then((text) => runningOf(text)), { timeout: 60_000 })
    .not.toContain(frozen?.nodeName)
  // the frozen one knows nothing of this queue
  await using _worker = await defineService({
    name: 'split',
    handlers: [onEvent('Split', ({ payload }) => void received.add(payload))],
  }).start({ ...settings, urls: [urlOne, urlTwo] })
  frozen?.thaw()
  await using through = new Endpoint({ ...settings, name: 'through', urls: [urlFrozen], drainTimeoutMs: 5_000 })
  const publishes = Array.from({ length: 200 }, (_, n) => outcomeOf(through.publish('Split', n, { mandatory: true })))
  const outcomes = await Promise.all(publishes.map((publish) => Promise.race([publish, delay(30_000, 'pending')])))
  const resolved = outcomes.flatMap((outcome, n) => (outcome === 'ok' ? [n] : []))
  process.stdout.write(
    `${resolved.length} resolved, ${outcomes.filter((what) => what === 'UNROUTABLE').length} unroutable\n`,
  )
  // there was a split, and nothing hung
  expect(outcomes).toContain('UNROUTABLE')
  expect(outcomes).not.toContain('pending')
  await frozen?.restart()
  await expect.poll(() => resolved.filter((n) => !received.has(n)), { timeout: 30_000 }).toEqual([])
})

function runningOf(status: string): readonly string[] {
  return (JSON.parse(status) as { running_nodes: string[] }).running_nodes
}
