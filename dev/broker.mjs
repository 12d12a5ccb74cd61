/**
 * A private RabbitMQ: on free ports of the loopback address, with its own data, cookie and port mapper (epmd), so that
 * nothing else on the machine is touched. Whatever becomes of this program, even kill -9, nothing of the broker stays.
 *
 *     npm run broker     starts one with the management plugin and a place for dead letters, prints its URLs (AMQP, then
 *                        management), and stops it at Ctrl-C
 */

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { amqpGreets } from './amqp-greeting.mjs'
import { freePorts } from './free-ports.mjs'
import { startGuard } from './guard.mjs'
import { checkNode, ensureDebian, findRabbitmq, runMain, say, SetupError } from './setup.mjs'

const run = promisify(execFile)
const START_TIMEOUT_MS = 90_000
const STOP_TIMEOUT_MS = 30_000
const CTL_TIMEOUT_MS = 60_000
const LOG_LINES_SHOWN = 15
const DEAD_LETTER_EXCHANGE = 'am-dlx'
const DEAD_LETTER_QUEUE = 'dead-letters'

// Waiting a little for the file system instead of sleeping halves the time to start (it loads a thousand modules) and
// costs nothing when idle.
const ERLANG_ARGUMENTS =
  '+S 2:2 +sbwt very_short +sbwtdcpu none +sbwtdio very_short -kernel inet_dist_use_interface {127,0,0,1}'

/**
 * @typedef {object} BrokerOptions
 * @property {boolean} [management] with the management API and console
 * @property {readonly string[]} [config] more lines of rabbitmq.conf
 */

/**
 * @typedef {object} Broker
 * @property {string} url `amqp://127.0.0.1:PORT`
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
  const mapper = guard.spawn('epmd', ['-port', String(node.epmdPort), '-address', '127.0.0.1'], {
    env: node.environment,
    stdio: 'ignore',
  })
  const mapperGone = exitOf(mapper)
  /** @type {ReturnType<typeof launch> | undefined} */
  let vm

  const dispose = async () => {
    mapper.kill('SIGKILL')
    await Promise.all([vm?.end('SIGKILL'), mapperGone()])
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
    url: `amqp://127.0.0.1:${node.port}`,
    port: node.port,
    managementUrl: options.management === true ? `http://127.0.0.1:${node.managementPort}` : undefined,
    dataDir: node.dataDir,
    pid: () => Number(readFileSync(join(node.dataDir, 'pid'), 'utf8')),
    kill: async () => vm?.end('SIGKILL'),
    stop,
    restart,
    freeze: () => vm?.signal('SIGSTOP'),
    thaw: () => vm?.signal('SIGCONT'),
    ctl: (...args) => control(join(programs, 'rabbitmqctl'), args, node.environment),
    api: (method, path, body) => askManagement(node.managementPort, method, path, body),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

/**
 * Makes the directory of a node and everything in it.
 *
 * @param {BrokerOptions} options
 */
async function prepareNode({ management = false, config = [] }) {
  const [port = 0, managementPort = 0, distributionPort = 0, epmdPort = 0] = await freePorts(4)
  const dataDir = mkdtempSync(join(tmpdir(), 'eventail-broker-'))
  const lines = [
    `listeners.tcp.default = 127.0.0.1:${port}`,
    'log.console = false',
    'log.file = broker.log',
    'log.file.level = info',
  ]
  if (management) {
    lines.push('management.tcp.ip = 127.0.0.1', `management.tcp.port = ${managementPort}`)
    lines.push('management.rates_mode = none', 'collect_statistics_interval = 500')
  }
  writeFileSync(join(dataDir, 'rabbitmq.conf'), `${[...lines, ...config].join('\n')}\n`)
  writeFileSync(join(dataDir, 'enabled_plugins'), management ? '[rabbitmq_management].\n' : '[].\n')
  mkdirSync(join(dataDir, 'conf.d'))
  writeFileSync(join(dataDir, '.erlang.cookie'), randomBytes(20).toString('hex'), { mode: 0o400 })
  const environment = {
    PATH: `${process.env['PATH'] ?? ''}:/usr/local/bin:/usr/bin:/bin`,
    LANG: 'C.UTF-8',
    HOME: dataDir, // where Erlang looks for the cookie
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_CRASH_DUMP_BYTES: '0',
    RABBITMQ_NODENAME: `eventail-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distributionPort),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: join(dataDir, 'rabbitmq'),
    RABBITMQ_CONFIG_FILES: join(dataDir, 'conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(dataDir, 'advanced'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dataDir, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(dataDir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dataDir, 'log'),
    RABBITMQ_PID_FILE: join(dataDir, 'pid'),
    RABBITMQ_ALLOW_INPUT: '1', // the VM takes the place of the shell that starts it, and gets the signals itself
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: ERLANG_ARGUMENTS,
    RABBITMQ_CTL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  }
  return { dataDir, port, managementPort, epmdPort, management, environment }
}

/** @typedef {Awaited<ReturnType<typeof prepareNode>>} Node */

/**
 * Starts the Erlang VM of a node.
 *
 * @param {string} server
 * @param {Node} node
 * @param {import('./guard.mjs').Guard} guard
 */
function launch(server, node, guard) {
  const output = openSync(join(node.dataDir, 'output'), 'a')
  const child = guard.spawn(server, ['-noinput'], { env: node.environment, stdio: ['ignore', output, output] })
  closeSync(output)
  const gone = exitOf(child)
  const running = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined
  /** @param {NodeJS.Signals} name */
  const signal = (name) => {
    // the whole group: some packages start the VM from a shell that stays
    if (running()) process.kill(-(child.pid ?? 0), name)
  }
  return {
    running,
    signal,
    /** @param {NodeJS.Signals} name */
    async end(name) {
      signal(name)
      await gone()
    },
  }
}

/**
 * A function that waits until a process is gone, or could not be started. Only while it waits does the process keep this
 * program running.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @returns {() => Promise<void>}
 */
function exitOf(child) {
  /** @type {Promise<void>} */
  const exited = new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  return () => {
    child.ref()
    return exited
  }
}

/**
 * @param {Node} node
 * @param {ReturnType<typeof launch>} vm
 */
async function untilReady(node, vm) {
  const deadline = Date.now() + START_TIMEOUT_MS
  const ready = async () =>
    (await amqpGreets(node.port)) && (!node.management || (await managementAnswers(node.managementPort)))
  while (!(await ready())) {
    if (!vm.running()) throw new SetupError(`RabbitMQ did not start:\n${endOfLogs(node.dataDir)}`)
    if (Date.now() > deadline) {
      throw new SetupError(`RabbitMQ did not start within ${START_TIMEOUT_MS / 1000} s:\n${endOfLogs(node.dataDir)}`)
    }
    await delay(50)
  }
}

/** @param {string} dataDir */
function endOfLogs(dataDir) {
  const logs = join(dataDir, 'log')
  const names = readdirSync(dataDir).includes('log') ? readdirSync(logs).map((name) => join(logs, name)) : []
  return [...names, join(dataDir, 'output')]
    .map((file) => readFileSync(file, 'utf8').trim().split('\n').slice(-LOG_LINES_SHOWN).join('\n'))
    .join('\n')
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function control(program, args, env) {
  const { stdout } = await run(program, ['-q', ...args], { env, timeout: CTL_TIMEOUT_MS })
  return stdout
}

/** @param {number} port */
async function managementAnswers(port) {
  return askManagement(port, 'GET', '/whoami').then(
    () => true,
    () => false,
  )
}

/**
 * @param {number} port
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<unknown>}
 */
async function askManagement(port, method, path, body) {
  const response = await fetch(`http://127.0.0.1:${port}/api${path}`, {
    method,
    headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`the management API refused ${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/** A place for the dead letters of all services, as the README has it. @param {Broker} broker */
async function declareDeadLetters({ api }) {
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
