// `npm run demo`: the example services on the development broker, and what they say to each other, until Ctrl-C.
//
//   node dev/demo.mjs [--rabbitmq] [--seconds N]
//
//   --rabbitmq     on a private RabbitMQ instead
//   --seconds N    ends by itself after N seconds
//
// Sets up what is missing. With EVENTAIL_AMQP_URL it uses that broker. Whatever becomes of it, even kill -9, no process
// of its own stays behind.
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { declareDeadLetters, startBroker } from './broker.mjs'
import { checkNode, ensureDebian, ensurePackages, root, runMain, say, SetupError } from './setup.mjs'

const BROKER_CHECK_MS = 200
const USAGE = 'usage: npm run demo [-- [--rabbitmq] [--seconds N]]'

const print = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`)

/** @typedef {import('./broker.mjs').Broker} Broker */

async function main() {
  const { rabbitmq, seconds } = optionsFrom(process.argv.slice(2))
  const stop = stopRequest()
  process.chdir(root)
  checkNode()
  await ensurePackages()
  const given = process.env['EVENTAIL_AMQP_URL'] || undefined
  const isPrivate = rabbitmq && given === undefined
  if (isPrivate) await ensureDebian(['rabbitmq-server'])
  if (stop.aborted) return 0
  const broker = isPrivate ? await orStop(privateBroker(), stop) : undefined
  if (isPrivate && broker === undefined) return 0
  try {
    await Promise.race([
      show({ url: given ?? broker?.url, isOurs: given === undefined, seconds, signal: stop }),
      broker === undefined ? never() : keepUp(broker, stop),
    ])
  } finally {
    await broker?.dispose()
  }
  return 0
}

/** @param {Pick<import('./demo-session.ts').Demo, 'url' | 'isOurs' | 'seconds' | 'signal'>} demo */
async function show(demo) {
  // it is TypeScript, and uses packages: it can be loaded once they are installed
  const { tsImport } = await import('tsx/esm/api')
  /** @type {typeof import('./demo-session.ts')} */
  const { showDemo } = await tsImport('./demo-session.ts', import.meta.url)
  const colours = process.stdout.isTTY && !process.env['NO_COLOR'] && process.stdout.hasColors()
  try {
    await showDemo({ ...demo, colours, width: () => Math.max(process.stdout.columns ?? 120, 60), print })
  } catch (error) {
    // the errors of the toolkit have a code, and are meant for users
    if (error instanceof Error && 'code' in error) throw new SetupError(error.message)
    throw error
  }
}

async function privateBroker() {
  say('starting a private RabbitMQ…')
  const broker = await startBroker({ management: true })
  await declareDeadLetters(broker)
  return broker
}

/** Starts our broker again when it dies. Never resolves; rejects when the broker cannot be started. @param {Broker} broker @param {AbortSignal} stop @returns {Promise<never>} */
async function keepUp(broker, stop) {
  while (!stop.aborted) {
    if (!isAlive(broker)) {
      print('-- the broker died, and is started again with its data: nothing is lost')
      await broker.restart()
    }
    await delay(BROKER_CHECK_MS, undefined, { signal: stop }).catch(() => {})
  }
  return never()
}

/** A broker that was stopped in good order has no process id left. @param {Broker} broker */
function isAlive(broker) {
  try {
    process.kill(broker.pid(), 0)
    return true
  } catch {
    return false
  }
}

/** @param {string[]} args @returns {{ rabbitmq: boolean, seconds: number | undefined }} */
function optionsFrom(args) {
  /** @type {{ rabbitmq?: boolean, seconds?: string }} */
  let given
  try {
    given = parseArgs({ args, options: { rabbitmq: { type: 'boolean' }, seconds: { type: 'string' } } }).values
  } catch (error) {
    throw new SetupError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
  const { rabbitmq = false, seconds } = given
  if (seconds === undefined) return { rabbitmq, seconds }
  const number = Number(seconds)
  if (!(number > 0 && number < 1e6)) throw new SetupError(`--seconds '${seconds}' is no number of seconds\n${USAGE}`)
  return { rabbitmq, seconds: number }
}

/** Aborts at the first signal, or when nobody reads the output any more. A second signal ends the demo at once. */
function stopRequest() {
  const controller = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
      if (signal === 'SIGINT') print('')
    })
  }
  process.stdout.on('error', () => controller.abort())
  return controller.signal
}

/** @template T @param {Promise<T>} work @param {AbortSignal} stop @returns {Promise<T | undefined>} undefined when stopped before */
function orStop(work, stop) {
  const stopped = new Promise((/** @type {(nothing: undefined) => void} */ resolve) => {
    stop.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  return Promise.race([work, stopped])
}

/** @returns {Promise<never>} */
function never() {
  return new Promise(() => {})
}

await runMain(main)
// a broker that was still starting must not keep a demo that is over
process.exit()
