/**
 * Asks a port whether an AMQP 0-9-1 broker answers there.
 *
 * A port that accepts connections proves little: a broker opens its port before it is ready, and something else may
 * listen there. Only the first frame of the handshake counts (`connection.start`, a method frame on channel 0).
 */

import { connect } from 'node:net'

const PROTOCOL_HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
const METHOD_FRAME = 1

/**
 * Whether a broker greets within the time given. Never rejects.
 *
 * @param {number} port
 * @param {{ host?: string, timeoutMs?: number }} [options] 127.0.0.1 and 1000 ms by default
 * @returns {Promise<boolean>}
 */
export function amqpGreets(port, { host = '127.0.0.1', timeoutMs = 1000 } = {}) {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    const timer = setTimeout(() => finish(false), timeoutMs)

    /** @param {boolean} greeted */
    function finish(greeted) {
      clearTimeout(timer)
      socket.destroy()
      resolve(greeted)
    }

    socket.once('connect', () => socket.write(PROTOCOL_HEADER))
    socket.once('data', (bytes) => finish(bytes[0] === METHOD_FRAME))
    socket.once('error', () => finish(false))
    socket.once('end', () => finish(false))
  })
}
