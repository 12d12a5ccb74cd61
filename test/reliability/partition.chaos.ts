/** A node is cut off from the others and from its clients, in silence, as by a broken cable. Needs root: network namespaces. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startCluster } from '../../dev/cluster.mjs'
import { createNetworks, hasNamespaces } from '../../dev/network.mjs'
import { Stream } from './stream.ts'

const HEARTBEAT_MS = 3_000
const CONFIRM_TIMEOUT_MS = 5_000
const CUT_MS = 30_000

const canCut = await hasNamespaces()

test.runIf(canCut)('clients of a node that is cut off go on at another, and nothing is lost', async () => {
  await using networks = await createNetworks(3)
  await using cluster = await startCluster({ networks: networks.each })
  const [first] = cluster.nodes
  await first?.ctl('add_vhost', 'cut', '--default-queue-type', 'quorum')
  await first?.ctl('set_permissions', '-p', 'cut', 'guest', '.*', '.*', '.*')
  // both begin at the node that will be cut off
  const urls = cluster.urls.map((url) => `${url}/cut`).toReversed()
  await using stream = await Stream.start({
    publishTo: urls,
    consumeFrom: urls,
    heartbeatMs: HEARTBEAT_MS,
    confirmTimeoutMs: CONFIRM_TIMEOUT_MS,
  })
  await stream.flows(15_000)
  stream.mark()
  await networks.cut(2)
  await delay(CUT_MS)
  const { confirmed, received } = stream.stoodStillMs
  // both were there
  const cutOff = stream.log.filter((line) => line.includes('connection lost'))
  expect(new Set(cutOff.map((line) => line.split(' ')[1]))).toEqual(new Set(['source', 'stream']))
  const longest = 3 * HEARTBEAT_MS + CONFIRM_TIMEOUT_MS + 5_000
  expect(confirmed).toBeLessThan(longest)
  expect(received).toBeLessThan(longest)
  await networks.heal(2)
  await stream.flows(30_000)
  expect(await stream.end(60_000)).toEqual([])
  expect(stream.rejected).toEqual([])
  process.stdout.write(
    `stood still for ${Math.round(confirmed)} ms (publishing), ${Math.round(received)} ms (consuming)\n`,
  )
})
