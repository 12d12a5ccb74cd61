/**
 * A program that publishes without ever awaiting: `node blocking.mjs URL STEP…`, with the built package. Each step tells its outcome and how
 * long it took on stdout, as one line of JSON. Its name is that of the step, `:` and an argument behind it.
 */
import { EventailError, SyncEndpoint } from 'eventail'

/** @type {import('node:worker_threads').Worker | undefined} */
let thread
process.on('worker', (worker) => (thread = worker))

const [url = '', ...steps] = process.argv.slice(2)
const endpoint = new SyncEndpoint({
  name: 'blocking',
  format: 'json',
  urls: [url],
  timeoutMs: 2000,
  maxRetries: 2,
  stderrLevel: 'NONE',
})

/** @type {Record<string, (argument: string) => void>} */
const doing = {
  publish: (argument) => endpoint.publish('Blocked', argument),
  mandatory: () => endpoint.publish('Nobody', 1, { mandatory: true }),
  configuration: (argument) => endpoint.publishConfiguration('BlockedConf', argument),
  unsendable: () => endpoint.publish('Blocked', () => {}),
  log: (argument) => endpoint.log.info(argument),
  many: (argument) => {
    for (let n = 0; n < Number(argument); n++) endpoint.publish('Blocked', n)
  },
  sleep: (argument) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(argument)),
  kill: () => void thread?.terminate(),
  close: () => endpoint.close(),
  exit: () => process.exit(7),
}

for (const step of steps) {
  const [name = '', argument = ''] = step.split(':')
  const start = performance.now()
  let outcome = 'ok'
  // the one step in which the event loop turns
  if (name === 'turn') await new Promise((resolve) => setImmediate(resolve))
  try {
    doing[name]?.(argument)
  } catch (error) {
    outcome = error instanceof EventailError ? `${error.name} ${error.code}` : String(error)
  }
  process.stdout.write(`${JSON.stringify({ step, outcome, ms: Math.round(performance.now() - start) })}\n`)
}
