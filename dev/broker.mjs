/**
 * A private RabbitMQ: on free ports of the loopback address, with its own data, cookie and port mapper (epmd), so that
 * nothing else on the machine is touched. Whatever becomes of this program, even kill -9, nothing of the broker stays.
 *
 *     npm run broker     starts one with the management plugin and a place for dead letters, prints its URLs (AMQP, then
 *                        management), and stops it at Ctrl-C
 */

import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { askManagement, control, evaluate, launch, launchMapper, prepareNode, untilReady } from './broker-node.mjs'
import { startGuard } from './guard.mjs'
import { checkNode, ensureDebian, findRabbitmq, runMain, say, SetupError } from './setup.mjs'

const STOP_TIMEOUT_MS = 30_000
const DEAD_LETTER_EXCHANGE = 'am-dlx'
const DEAD_LETTER_QUEUE = 'dead-letters'

/**
 * @typedef {object} BrokerOptions
 * @property {boolean} [management] with the management API and console
 * @property {readonly string[]} [config] more lines of rabbitmq.conf
 * @property {Family} [family] what it shares with other nodes, to form a cluster with them; see cluster.mjs
 * @property {Network} [network] where it listens instead of on the loopback address
 */

/**
 * What the nodes of a cluster share.
 *
 * @typedef {object} Family
 * @property {string} cookie
 * @property {number} epmdPort of the port mapper: one for all nodes, or one in each network namespace
 */

/**
 * A network namespace; see network.mjs.
 *
 * @typedef {object} Network
 * @property {string} address
 * @property {readonly string[]} enter what a command is run with to run in there
 */

/**
 * @typedef {object} Broker
 * @property {string} url `amqp://127.0.0.1:PORT`
 * @property {string} nodeName
 * @property {Family} family for further nodes of a cluster
 * @property {number} port
 * @property {string | undefined} managementUrl of the HTTP API and the console, with `management`
 * @property {string} dataDir
 * @property {() => number} pid of the Erlang VM
 * @property {() => Promise<void>} kill SIGKILL, and waits until it is gone; the data stays
 * @property {() => Promise<void>} stop in good order; the data stays
 * @property {() => Promise<void>} restart with the same data and ports; stops it first when it runs
 * @property {() => void} freeze SIGSTOP
 * @property {() => void} thaw SIGCONT
 * @property {(...args: string[]) => Promise<string>} ctl rabbitmqctl: what it printed
 * @property {(expression: string) => Promise<string>} evaluate Erlang in the broker, soon: the value, as Erlang writes it
 * @property {(method: string, path: string, body?: unknown) => Promise<unknown>} api
 *   asks the management API as guest: `api('GET', '/queues')`; the JSON answered, undefined when there is none
 * @property {() => Promise<void>} dispose ends it and removes everything
 */

/**
 * Starts a broker, and waits until it speaks AMQP.
 *
 * @param {BrokerOptions} [options]
 * @returns {Promise<Broker & AsyncDisposable>}
 * @throws SetupError when RabbitMQ is not installed, or does not start within 90 s: with the end of its log
 */
export async function startBroker(options = {}) {
  const programs = findRabbitmq()
  if (programs === undefined) throw new SetupError('RabbitMQ is not installed: run `node dev/setup.mjs --debian`')
  const node = await prepareNode(options)
  const guard = startGuard({ directory: node.dataDir })
  const hasMapper = options.family !== undefined && options.network === undefined
  const mapper = hasMapper ? undefined : launchMapper(node, guard)
  /** @type {ReturnType<typeof launch> | undefined} */
  let vm

  const dispose = async () => {
    await Promise.all([vm?.end('SIGKILL'), mapper?.end()])
    await rm(node.dataDir, { recursive: true, force: true, maxRetries: 5 })
    guard.release()
  }
  const stop = async () => {
    vm?.signal('SIGCONT')
    const late = delay(STOP_TIMEOUT_MS, 'late', { ref: false })
    if ((await Promise.race([vm?.end('SIGTERM'), late])) === 'late') await vm?.end('SIGKILL')
  }
  const restart = async () => {
    await stop()
    vm = launch(join(programs, 'rabbitmq-server'), node, guard)
    await untilReady(node, vm)
  }
  try {
    await restart()
  } catch (error) {
    await dispose()
    throw error
  }

  return {
    url: `amqp://${node.address}:${node.port}`,
    nodeName: node.name,
    family: { cookie: node.cookie, epmdPort: node.epmdPort },
    port: node.port,
    managementUrl: options.management === true ? `http://127.0.0.1:${node.managementPort}` : undefined,
    dataDir: node.dataDir,
    pid: () => Number(readFileSync(join(node.dataDir, 'pid'), 'utf8')),
    kill: async () => vm?.end('SIGKILL'),
    stop,
    restart,
    freeze: () => vm?.signal('SIGSTOP'),
    thaw: () => vm?.signal('SIGCONT'),
    ctl: (...args) => control(node, join(programs, 'rabbitmqctl'), args),
    evaluate: (expression) => evaluate(node, expression),
    api: (method, path, body) => askManagement(node.managementPort, method, path, body),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

/** A place for the dead letters of all services, as the README has it. @param {Broker} broker */
export async function declareDeadLetters({ api }) {
  const durable = { durable: true }
  await api('PUT', `/exchanges/%2F/${DEAD_LETTER_EXCHANGE}`, { type: 'topic', ...durable })
  await api('PUT', `/queues/%2F/${DEAD_LETTER_QUEUE}`, durable)
  await api('POST', `/bindings/%2F/e/${DEAD_LETTER_EXCHANGE}/q/${DEAD_LETTER_QUEUE}`, { routing_key: '#' })
  const definition = { 'dead-letter-exchange': DEAD_LETTER_EXCHANGE }
  await api('PUT', '/policies/%2F/DLX', { pattern: '.*\\.events|.*\\.commands', definition, 'apply-to': 'queues' })
}

async function main() {
  checkNode()
  await ensureDebian(['rabbitmq-server'])
  say('starting a private broker…')
  const broker = await startBroker({ management: true })
  await declareDeadLetters(broker)
  process.stdout.write(`${broker.url}\n${broker.managementUrl}\n`)
  say(`for services and the command line: export EVENTAIL_AMQP_URL=${broker.url}`)
  say(`                                   export EVENTAIL_MANAGEMENT_URL=${broker.managementUrl}`)
  say('that is its management console and API as well: user guest, password guest')
  say(
    `dead letters go to the queue ${DEAD_LETTER_QUEUE}; its data is in ${broker.dataDir}; Ctrl-C stops it and removes all`,
  )
  await new Promise((resolve) => {
    const hold = setInterval(() => {}, 60_000)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(signal, () => {
        clearInterval(hold)
        resolve(undefined)
      })
    }
  })
  await broker.dispose()
  return 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runMain(main)
