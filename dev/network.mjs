/**
 * Network namespaces of their own, joined by a bridge: in them nodes of a cluster can be cut off as by a broken cable, in silence. Needs
 * root and the program `ip`. Whatever becomes of this program, even kill -9, nothing of them stays.
 */
import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { promisify } from 'node:util'
import { startGuard } from './guard.mjs'

const run = promisify(execFile)

/**
 * @typedef {object} Networks
 * @property {readonly import('./broker.mjs').Network[]} each
 * @property {(n: number) => Promise<void>} cut the one with this index off from everybody
 * @property {(n: number) => Promise<void>} heal joins it again
 * @property {() => Promise<void>} dispose
 */

/** Whether namespaces can be made here. */
export async function hasNamespaces() {
  const name = `ev-try-${process.pid}`
  try {
    await run('ip', ['netns', 'add', name])
    await run('ip', ['netns', 'del', name])
    return true
  } catch {
    return false
  }
}

/**
 * @param {number} count
 * @returns {Promise<Networks & AsyncDisposable>}
 */
export async function createNetworks(count) {
  // names of interfaces have 15 characters at most
  const id = `ev${randomInt(100_000)}`
  const subnet = `10.${randomInt(200, 250)}.${randomInt(1, 250)}`
  const indexes = Array.from({ length: count }, (_, n) => n + 1)
  const remove = [...indexes.map((n) => `ip netns del ${id}n${n}`), `ip link del ${id}b`]
  const guard = startGuard({ command: remove.join(' ; ') })
  const ip = (/** @type {string} */ args) => run('ip', args.split(' '))
  const dispose = async () => {
    for (const command of remove) await ip(command.replace(/^ip /, '')).catch(() => {})
    guard.release()
  }
  try {
    await ip(`link add ${id}b type bridge`)
    await ip(`addr add ${subnet}.254/24 dev ${id}b`)
    await ip(`link set ${id}b up`)
    for (const n of indexes) {
      await ip(`netns add ${id}n${n}`)
      await ip(`link add ${id}v${n} type veth peer name eth0 netns ${id}n${n}`)
      await ip(`link set ${id}v${n} master ${id}b up`)
      await ip(`-n ${id}n${n} addr add ${subnet}.${n}/24 dev eth0`)
      await ip(`-n ${id}n${n} link set eth0 up`)
      await ip(`-n ${id}n${n} link set lo up`)
    }
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    each: indexes.map((n) => ({ address: `${subnet}.${n}`, enter: ['ip', 'netns', 'exec', `${id}n${n}`] })),
    cut: async (n) => void (await ip(`link set ${id}v${n + 1} down`)),
    heal: async (n) => void (await ip(`link set ${id}v${n + 1} up`)),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}
