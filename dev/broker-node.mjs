/** One RabbitMQ node of a private broker or cluster: its directory, its processes, and how to speak to it. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { amqpGreets } from './amqp-greeting.mjs'
import { freePorts } from './free-ports.mjs'
import { SetupError } from './setup.mjs'

const run = promisify(execFile)
const START_TIMEOUT_MS = 90_000
const CTL_TIMEOUT_MS = 60_000
const LOG_LINES_SHOWN = 15

// Waiting a little for the file system instead of sleeping halves the time to start (it loads a thousand modules) and
// costs nothing when idle.
const ERLANG_ARGUMENTS = '+S 2:2 +sbwt very_short +sbwtdcpu none +sbwtdio very_short'

/**
 * Makes the directory of a node and everything in it.
 *
 * @param {import('./broker.mjs').BrokerOptions} options
 */
export async function prepareNode({ management = false, config = [], family, network }) {
  const [port = 0, managementPort = 0, distributionPort = 0, freePort = 0] = await freePorts(4)
  const { address, enter } = network ?? { address: '127.0.0.1', enter: [] }
  const epmdPort = family?.epmdPort ?? freePort
  const cookie = family?.cookie ?? randomBytes(20).toString('hex')
  const name = `eventail-${port}@${network === undefined ? 'localhost' : address}`
  const listening = `inet_dist_use_interface {${address.replaceAll('.', ',')}}`
  const dataDir = mkdtempSync(join(tmpdir(), 'eventail-broker-'))
  const lines = [
    `listeners.tcp.default = ${address}:${port}`,
    // guest may come from anywhere where nobody else is
    ...(network === undefined ? [] : ['loopback_users = none']),
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
  writeFileSync(join(dataDir, '.erlang.cookie'), cookie, { mode: 0o400 })
  const environment = {
    PATH: `${process.env['PATH'] ?? ''}:/usr/local/bin:/usr/bin:/bin`,
    LANG: 'C.UTF-8',
    HOME: dataDir, // where Erlang looks for the cookie
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: address,
    ERL_CRASH_DUMP_BYTES: '0',
    RABBITMQ_NODENAME: name,
    ...(network === undefined ? {} : { RABBITMQ_USE_LONGNAME: 'true' }),
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
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${ERLANG_ARGUMENTS} -kernel ${listening}`,
    RABBITMQ_CTL_ERL_ARGS: `-kernel ${listening}`,
  }
  return { name, address, enter, dataDir, port, managementPort, epmdPort, cookie, management, environment }
}

/** @typedef {Awaited<ReturnType<typeof prepareNode>>} Node */

/**
 * Starts a port mapper, by which nodes and rabbitmqctl find each other.
 *
 * @param {Node} node
 * @param {import('./guard.mjs').Guard} guard
 */
export function launchMapper(node, guard) {
  const [command, args] = inNetwork(node, 'epmd', ['-port', String(node.epmdPort), '-address', node.address])
  const child = guard.spawn(command, args, { env: node.environment, stdio: 'ignore' })
  const gone = exitOf(child)
  return {
    async end() {
      child.kill('SIGKILL')
      await gone()
    },
  }
}

/**
 * Starts the Erlang VM of a node.
 *
 * @param {string} server
 * @param {Node} node
 * @param {import('./guard.mjs').Guard} guard
 */
export function launch(server, node, guard) {
  const output = openSync(join(node.dataDir, 'output'), 'a')
  const [command, args] = inNetwork(node, server, ['-noinput'])
  const child = guard.spawn(command, args, { env: node.environment, stdio: ['ignore', output, output] })
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
 * A command as it is run in the network of a node.
 *
 * @param {{ enter: readonly string[] }} node
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {[string, string[]]}
 */
function inNetwork({ enter: [command, ...before] }, program, args) {
  return command === undefined ? [program, [...args]] : [command, [...before, program, ...args]]
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
export async function untilReady(node, vm) {
  const deadline = Date.now() + START_TIMEOUT_MS
  const ready = async () =>
    (await amqpGreets(node.port, { host: node.address })) &&
    (!node.management || (await managementAnswers(node.managementPort)))
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
 * Runs rabbitmqctl against a node. @returns what it printed
 *
 * @param {Node} node
 * @param {string} program
 * @param {readonly string[]} args
 */
export async function control(node, program, args) {
  const [command, all] = inNetwork(node, program, ['-q', ...args])
  const { stdout } = await run(command, all, { env: node.environment, timeout: CTL_TIMEOUT_MS })
  return stdout
}

/**
 * Has a node evaluate Erlang: in a few milliseconds what rabbitmqctl, which starts an Erlang of its own, needs a second of
 * computing for.
 *
 * @param {Node} node on the loopback address
 * @param {string} expression without the full stop
 * @returns {Promise<string>} its value, as Erlang writes it
 * @throws Error with what was answered, when it has no value
 */
export async function evaluate(node, expression) {
  const asked = run('erl_call', ['-c', node.cookie, '-name', node.name, '-timeout', '60', '-e'], {
    env: node.environment,
    timeout: CTL_TIMEOUT_MS,
  })
  asked.child.stdin?.end(`${expression}.\n`)
  const { stdout } = await asked
  const value = /^\{ok, (.*)\}$/s.exec(stdout.trim())?.[1]
  if (value === undefined) throw new Error(`the broker did not evaluate '${expression}': ${stdout.trim()}`)
  return value
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
export async function askManagement(port, method, path, body) {
  const response = await fetch(`http://127.0.0.1:${port}/api${path}`, {
    method,
    headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`the management API refused ${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}
