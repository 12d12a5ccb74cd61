/**
 * Finds TCP ports that nobody uses on 127.0.0.1.
 *
 * They lie below the range from which the system takes ports for outgoing connections. A broker that is restarted comes
 * back on its port, and a client that keeps trying to reach it meanwhile could otherwise be given that very port as its
 * own end, connect to itself, and keep the broker out.
 */

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

const LOWEST = 20_000
const HIGHEST = 32_000

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/**
 * Different ports, free at this moment.
 *
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  /** @type {Set<number>} */
  const ports = new Set()
  for (let attempt = 0; ports.size < count && attempt < 1000; attempt++) {
    const port = randomInt(LOWEST, HIGHEST)
    if (await isFree(port)) ports.add(port)
  }
  if (ports.size < count) throw new Error(`no ${count} free ports between ${LOWEST} and ${HIGHEST} on 127.0.0.1`)
  return [...ports]
}
