/** A private cluster of RabbitMQ nodes, on the loopback address or in network namespaces. */
import { startBroker } from './broker.mjs'

/**
 * @typedef {object} Cluster
 * @property {readonly import('./broker.mjs').Broker[]} nodes with `networks` in their order
 * @property {readonly string[]} urls of all nodes
 * @property {() => Promise<void>} dispose ends all nodes and removes everything
 */

/**
 * Starts nodes, and joins them. A node that is cut off from the majority pauses.
 *
 * @param {{ size?: number, networks?: readonly import('./broker.mjs').Network[], management?: boolean }} [options]
 *   `size` 3 by default; with `networks` one node in each
 * @returns {Promise<Cluster & AsyncDisposable>}
 */
export async function startCluster({ networks, size = networks?.length ?? 3, management = false } = {}) {
  const config = ['cluster_partition_handling = pause_minority', 'net_ticktime = 10']
  const optionsOf = (/** @type {number} */ n) => ({
    config,
    management,
    ...(networks?.[n] === undefined ? {} : { network: networks[n] }),
  })
  const first = await startBroker(optionsOf(0))
  /** @type {(import('./broker.mjs').Broker)[]} */
  const nodes = [first]
  const dispose = async () => {
    // the port mapper is the first one's
    await Promise.all(nodes.slice(1).map((node) => node.dispose()))
    await first.dispose()
  }
  try {
    const others = await Promise.allSettled(
      Array.from({ length: size - 1 }, (_, n) => startBroker({ ...optionsOf(n + 1), family: first.family })),
    )
    for (const other of others) if (other.status === 'fulfilled') nodes.push(other.value)
    const failed = others.find((other) => other.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    for (const node of nodes.slice(1)) {
      await node.ctl('stop_app')
      await node.ctl('join_cluster', first.nodeName)
      await node.ctl('start_app')
    }
  } catch (error) {
    await dispose()
    throw error
  }
  return { nodes, urls: nodes.map(({ url }) => url), dispose, [Symbol.asyncDispose]: dispose }
}
