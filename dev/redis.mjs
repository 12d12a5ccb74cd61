/**
 * A private Redis, its replicas and Sentinels: on free ports of the loopback address, with data of its own. Whatever becomes of this
 * program, even kill -9, nothing of it stays.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePorts } from './free-ports.mjs'
import { startGuard } from './guard.mjs'
import { SetupError } from './setup.mjs'

const START_TIMEOUT_MS = 15_000

/**
 * @typedef {object} RedisServer
 * @property {number} port
 * @property {string} url `redis://127.0.0.1:PORT`, without a password
 * @property {() => Promise<void>} kill SIGKILL, and waits until it is gone
 * @property {() => void} freeze SIGSTOP
 * @property {() => void} thaw SIGCONT
 * @property {() => Promise<void>} restart on the same port, with the data that it had saved
 * @property {() => Promise<void>} dispose ends it and removes everything
 */

/**
 * Starts a server, and waits until it answers.
 *
 * @param {string[]} [settings] lines of its configuration
 * @param {{ sentinel?: boolean }} [options]
 * @returns {Promise<RedisServer & AsyncDisposable>}
 */
export async function startRedis(settings = [], { sentinel = false } = {}) {
  const [port = 0] = await freePorts(1)
  const directory = mkdtempSync(join(tmpdir(), 'eventail-redis-'))
  const file = join(directory, 'redis.conf')
  const own = [`port ${port}`, 'bind 127.0.0.1', `dir ${directory}`]
  writeFileSync(
    file,
    [...own, ...(sentinel ? [] : ['save ""', 'appendonly yes', 'appendfsync no']), ...settings, ''].join('\n'),
  )
  const guard = startGuard({ directory })
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child
  const start = async () => {
    const log = openSync(join(directory, 'output'), 'a')
    child = guard.spawn('redis-server', [file, ...(sentinel ? ['--sentinel'] : [])], { stdio: ['ignore', log, log] })
    closeSync(log)
    const deadline = Date.now() + START_TIMEOUT_MS
    while (!(await answers(port))) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new SetupError(`Redis did not start:\n${readFileSync(join(directory, 'output'), 'utf8').slice(-1000)}`)
      await delay(20)
    }
  }
  const kill = async () => {
    const dying = child
    if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) return
    const gone = new Promise((resolve) => dying.once('exit', resolve))
    dying.ref()
    dying.kill('SIGKILL')
    await gone
  }
  const dispose = async () => {
    await kill()
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    guard.release()
  }
  try {
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    kill,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    restart: async () => {
      await kill()
      await start()
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

/**
 * Starts a Sentinel that watches a server, and counts as a majority alone.
 *
 * @param {string} name of the group
 * @param {number} port of the master
 * @param {string[]} [settings]
 */
export function startSentinel(name, port, settings = []) {
  return startRedis(
    [
      `sentinel monitor ${name} 127.0.0.1 ${port} 1`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
      ...settings,
    ],
    { sentinel: true },
  )
}

/** Whether a server answers, be it that it wants a password first. @param {number} port @returns {Promise<boolean>} */
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(500, () => socket.destroy())
    socket.once('data', (data) => {
      resolve(/^(\+PONG|-NOAUTH)/.test(data.toString()))
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
  })
}
