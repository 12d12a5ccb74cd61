// `npm run demo`: a private broker, the example services, and what they say to each other, until Ctrl-C.
//
//   node dev/demo.mjs [--seconds N]        ends by itself after N seconds
//
// Sets up what is missing. With EVENTAIL_AMQP_URL it uses that broker. Whatever becomes of it, even kill -9, no process
// of its own stays behind.
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, styleText } from 'node:util'
import { startBroker } from './broker.mjs'
import { ExampleRunner } from './example-runner.mjs'
import { checkNode, ensureDebian, ensurePackages, runMain, say, SetupError } from './setup.mjs'

// Those that are sent commands or configuration requests come first, so that nothing is returned to the others.
const ANSWERING = ['pong', 'prime', 'echo-messages']
const ASKING = ['grumpy', 'minute-clock', 'prime-time', 'ping', 'ping-conf', 'clock']
const DLX_POLICY = ['DLX', '.*\\.events|.*\\.commands', '{"dead-letter-exchange":"am-dlx"}', '--apply-to', 'queues']
const BROKER_CHECK_MS = 200
const USAGE = 'usage: npm run demo [-- --seconds N]'

const colours = process.stdout.isTTY && !process.env['NO_COLOR'] && process.stdout.hasColors()
const width = () => Math.max(process.stdout.columns ?? 120, 60)
const paint = (/** @type {Parameters<typeof styleText>[0]} */ colour, /** @type {string} */ text) =>
  colours ? styleText(colour, text, { validateStream: false }) : text
const print = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`)
const note = (/** @type {string} */ text) => print(paint('yellow', `-- ${text}`))

/** @typedef {import('./broker.mjs').Broker} Broker */

async function main() {
  const seconds = secondsFrom(process.argv.slice(2))
  const stop = stopRequest()
  checkNode()
  await ensurePackages()
  const given = process.env['EVENTAIL_AMQP_URL'] || undefined
  if (given === undefined) await ensureDebian(['rabbitmq-server'])
  if (stop.aborted) return 0
  const broker = given === undefined ? await orStop(privateBroker(), stop) : undefined
  const url = given ?? broker?.url
  if (url === undefined) return 0
  try {
    await show(url, broker, seconds, stop)
  } finally {
    await broker?.dispose()
  }
  return 0
}

/** @param {string} url @param {Broker | undefined} broker set when it is ours @param {number | undefined} seconds @param {AbortSignal} stop */
async function show(url, broker, seconds, stop) {
  const view = await openView(url, broker !== undefined)
  const services = new ExampleRunner(url, note)
  const over = new AbortController()
  let began = performance.now()
  try {
    if (broker !== undefined) await broker.ctl('set_policy', ...DLX_POLICY)
    print(header(broker?.url ?? view.shownUrl, broker !== undefined, view.hasDeadLetters, seconds))
    await orStop(startAll(services), stop)
    began = performance.now()
    await Promise.race([
      aborted(stop),
      seconds === undefined ? never() : after(seconds * 1000, stop),
      keepUp(broker, AbortSignal.any([stop, over.signal])),
    ])
  } finally {
    over.abort()
    await services.stop()
    await view.stop()
  }
  print('')
  print(paint('bold', `${((performance.now() - began) / 1000).toFixed(0)} s: ${view.summary}`))
  if (broker === undefined) print('The queues of the services stay on the broker, as those of any service do.')
}

async function privateBroker() {
  say('starting a private broker…')
  return startBroker()
}

/** The view is TypeScript, and uses packages: it can be loaded once they are installed. @param {string} url @param {boolean} ours */
async function openView(url, ours) {
  const { tsImport } = await import('tsx/esm/api')
  /** @type {typeof import('./bus-view.ts')} */
  const { BusView } = await tsImport('./bus-view.ts', import.meta.url)
  const look = { style: () => ({ colours, width: width() }), show: print, note }
  /** @type {import('./bus-view.ts').BusView | undefined} */
  let view
  try {
    view = new BusView({ url, ours, ...look })
    await view.start()
    return view
  } catch (error) {
    const problem = error instanceof Error ? error.message || String(error) : String(error)
    throw new SetupError(view === undefined ? problem : `${view.shownUrl} cannot be used: ${problem}`)
  }
}

/** @param {ExampleRunner} services */
async function startAll(services) {
  await Promise.all(ANSWERING.map((name) => services.start(name)))
  await Promise.all(ASKING.map((name) => services.start(name)))
}

/** Starts our broker again when it dies. Never resolves; rejects when the broker cannot be started. @param {Broker | undefined} broker @param {AbortSignal} stop */
async function keepUp(broker, stop) {
  if (broker === undefined) return never()
  while (!stop.aborted) {
    if (!isAlive(broker)) {
      note('the broker died, and is started again with its data: nothing is lost')
      await broker.restart()
    }
    await after(BROKER_CHECK_MS, stop)
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

/** @param {string} shownUrl @param {boolean} ours @param {boolean} hasDeadLetters @param {number | undefined} seconds */
function header(shownUrl, ours, hasDeadLetters, seconds) {
  const attach = ours ? `EVENTAIL_AMQP_URL=${shownUrl} npx tsx` : 'with the same EVENTAIL_AMQP_URL: npx tsx'
  const end = seconds === undefined ? 'Ctrl-C ends it.' : `It ends after ${seconds} s; Ctrl-C ends it before.`
  return [
    '',
    paint('bold', `${ANSWERING.length + ASKING.length} services on ${shownUrl}`),
    `  ${[...ANSWERING, ...ASKING].join(', ')}: the files of examples/`,
    `  Add one of yours: ${attach} examples/ping.ts my-ping`,
    '  A line is: time, end of the conversation id, kind, sender, routing key, payload. The same colour of the id is the',
    '  same conversation. ALERT: a handler failed, and its message is tried once more; an EMERGENCY behind it: that failed too.',
    ...(hasDeadLetters
      ? []
      : ["  There is no exchange 'am-dlx' on this broker: dead letters do not show (README, Dead letters)."]),
    ...(hasDeadLetters && !ours ? ['  Dead letters show if the policy of the operator sends them to am-dlx.'] : []),
    `  ${end}`,
    '',
  ].join('\n')
}

/** @param {string[]} args @returns {number | undefined} */
function secondsFrom(args) {
  /** @type {string | undefined} */
  let given
  try {
    given = parseArgs({ args, options: { seconds: { type: 'string' } } }).values.seconds
  } catch (error) {
    throw new SetupError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
  if (given === undefined) return undefined
  const seconds = Number(given)
  if (!(seconds > 0 && seconds < 1e6)) throw new SetupError(`--seconds '${given}' is no number of seconds\n${USAGE}`)
  return seconds
}

/** Aborts at the first signal, or when nobody reads the output any more. A second signal ends the demo at once. */
function stopRequest() {
  const controller = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
      if (signal === 'SIGINT') print('')
      note('stopping')
    })
  }
  process.stdout.on('error', () => controller.abort())
  return controller.signal
}

/** @template T @param {Promise<T>} work @param {AbortSignal} stop @returns {Promise<T | undefined>} undefined when stopped before */
function orStop(work, stop) {
  return Promise.race([work, aborted(stop)])
}

/** @param {AbortSignal} stop @returns {Promise<undefined>} */
function aborted(stop) {
  return new Promise((resolve) => {
    if (stop.aborted) resolve(undefined)
    stop.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

/** Resolves after a time, or when stopped. @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
function after(ms, signal) {
  return delay(ms, undefined, { signal }).catch(() => {})
}

/** @returns {Promise<never>} */
function never() {
  return new Promise(() => {})
}

await runMain(main)
// a broker that was still starting, or a service that does, must not keep a demo that is over
process.exit()
