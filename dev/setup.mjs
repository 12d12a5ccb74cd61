// Installs what the project needs and the machine lacks: npm packages, and RabbitMQ, Redis and the Python peers' libraries from
// Debian. Imports nothing but Node's own modules, because it runs before anything is installed.
import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const run = promisify(execFile)

/** What Debian calls the things that the project uses, and how to tell that they are there. */
const DEBIAN = {
  'rabbitmq-server': () => findRabbitmq() !== undefined,
  'python3-pika': () => pythonHas('pika'),
  'python3-cbor2': () => pythonHas('cbor2'),
  'redis-server': () => onPath('redis-server'),
  'python3-redis': () => pythonHas('redis'),
  openssl: () => onPath('openssl'),
  iproute2: () => onPath('ip'),
  faketime: () => onPath('faketime'),
  zsh: () => onPath('zsh'),
  fish: () => onPath('fish'),
}

/** An error whose message is all that a user needs to see. */
export class SetupError extends Error {}

/**
 * Runs a program in the project's folder, with this one's input and output.
 *
 * @param {string} command @param {readonly string[]} parameters @returns {Promise<number>} its status
 */
export function runInherited(command, parameters) {
  const child = spawn(command, parameters, { cwd: root, stdio: 'inherit' })
  // a Ctrl-C reaches it as well: it ends, and what it started with it
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(code ?? 1))
  })
}

/** Prints a line about what is going on. @param {string} text */
export function say(text) {
  process.stderr.write(`${text}\n`)
}

/**
 * The folder with `rabbitmq-server` and `rabbitmqctl`; undefined when they are not installed. Debian's own folder comes
 * first: what it puts on the PATH are wrappers that run as another user.
 */
export function findRabbitmq() {
  const folders = ['/usr/lib/rabbitmq/bin', ...(process.env['PATH'] ?? '').split(':')]
  return folders.find(
    (folder) => existsSync(join(folder, 'rabbitmq-server')) && existsSync(join(folder, 'rabbitmqctl')),
  )
}

/** Refuses a Node that is too old for the project. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node ${process.versions.node} is too old: install Node 20.19 or later`)
  }
}

/** Installs the npm packages when they are not those of the lock file. */
export async function ensurePackages() {
  const lock = readPackages(join(root, 'package-lock.json'))
  const installed = readPackages(join(root, 'node_modules', '.package-lock.json'))
  if (installed !== undefined && (lock === undefined || packagesAreCurrent(lock, installed))) return
  say('installing the npm packages…')
  // the versions of the lock file; not `npm ci`, which refuses one that lacks optional packages of other platforms
  await shell('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
}

/** @typedef {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>} Packages */

/**
 * What a lock file lists, by folder.
 *
 * @param {string} file
 * @returns {Packages | undefined} undefined when there is no such file
 */
function readPackages(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : undefined
}

/**
 * Whether everything that the lock file lists is installed. Versions count, not times: checking out another branch
 * touches the lock file, and an installation that is good and in use must then not be taken away.
 *
 * @param {Packages} lock
 * @param {Packages} installed
 */
export function packagesAreCurrent(lock, installed) {
  return Object.entries(lock).every(([folder, { version, optional, devOptional }]) => {
    const present = installed[folder]
    if (folder === '') return true // the project itself
    if (present === undefined) return optional === true || devOptional === true // for other platforms
    return present.version === version
  })
}

/** Installs Debian packages that are missing. @param {(keyof typeof DEBIAN)[]} names */
export async function ensureDebian(names) {
  const missing = names.filter((name) => !DEBIAN[name]())
  if (missing.length === 0) return
  if (!isDebian()) throw new SetupError(adviceFor(missing))
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  if (sudo.length > 0 && !(await works('sudo', ['-n', 'true']))) {
    throw new SetupError(`${missing.join(' and ')} must be installed: sudo apt-get install ${missing.join(' ')}`)
  }
  say(`installing ${missing.join(', ')} from Debian (about half a minute)…`)
  const asRoot = (/** @type {string} */ script) => shell(...asCommand([...sudo, 'sh', '-c', script]))
  const policy = '/usr/sbin/policy-rc.d'
  // Debian starts a service when its package is installed; this policy prevents that for as long as it takes
  const services = missing.filter((name) => name.endsWith('-server'))
  const keepStopped = services.length > 0 && !existsSync(policy)
  if (keepStopped) await asRoot(`printf '#!/bin/sh\nexit 101\n' > ${policy}; chmod 755 ${policy}`)
  try {
    const install = `apt-get update -qq && apt-get install -y -qq --no-install-recommends ${missing.join(' ')}`
    await asRoot(`export DEBIAN_FRONTEND=noninteractive; ${install}`)
  } finally {
    if (keepStopped) await asRoot(`rm -f ${policy}`)
  }
  if (keepStopped && existsSync('/run/systemd/system')) {
    // nor should it run from the next boot on
    for (const name of services) await asRoot(`systemctl disable --quiet ${name}.service || true`)
  }
}

/** @param {readonly string[]} words @returns {[string, readonly string[]]} */
function asCommand([command = '', ...args]) {
  return [command, args]
}

/** @param {string} program */
function onPath(program) {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)))
}

/** @param {string} module */
function pythonHas(module) {
  return existsSync(`/usr/lib/python3/dist-packages/${module}`)
}

function isDebian() {
  if (!existsSync('/etc/os-release')) return false
  return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'))
}

/** @param {readonly string[]} missing */
function adviceFor(missing) {
  const ways = process.platform === 'darwin' ? 'brew install rabbitmq' : 'see https://www.rabbitmq.com/docs/download'
  return [
    `${missing.join(', ')}: not installed, and this system is not Debian, where it would be done for you.`,
    `Install RabbitMQ 3.10 or later (${ways}) so that rabbitmq-server and rabbitmqctl are on the PATH,`,
    'or set EVENTAIL_AMQP_URL=amqp://user:password@host:5672/vhost to use a broker that already runs.',
    ...(missing.some((name) => name !== 'rabbitmq-server')
      ? ['The tests also need redis-server on the PATH, and /usr/bin/python3 with the packages pika, cbor2 and redis.']
      : []),
  ].join('\n')
}

/** @param {string} command @param {readonly string[]} args */
async function works(command, args) {
  return run(command, [...args]).then(
    () => true,
    () => false,
  )
}

/** Runs a command quietly; when it fails, the end of its output is the error. @param {string} command @param {readonly string[]} args */
function shell(command, args) {
  return new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    const child = spawn(command, [...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (/** @type {Buffer} */ chunk) => {
      output = (output + chunk.toString()).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => reject(new SetupError(`${command}: ${error.message}`)))
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new SetupError(`${command} ${args.join(' ')} failed (exit code ${code}):\n${output.trim()}`))
    })
  })
}

/** Runs the main function of a script: errors meant for users show without a stack. @param {() => Promise<number>} main */
export async function runMain(main) {
  try {
    process.exitCode = await main()
  } catch (error) {
    say(
      error instanceof SetupError
        ? error.message
        : error instanceof Error
          ? (error.stack ?? error.message)
          : String(error),
    )
    process.exitCode = 1
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    checkNode()
    await ensurePackages()
    // everything that any test can use; without the shells their completion is not tested
    if (process.argv.includes('--debian'))
      await ensureDebian(/** @type {(keyof typeof DEBIAN)[]} */ (Object.keys(DEBIAN)))
    return 0
  })
}
