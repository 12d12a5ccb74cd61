/**
 * A service that a test runs as a program of its own: `node worker.mjs URL NAME [BEHAVIOUR]`, with the built package.
 *
 * It tells on stdout, one word a line, what happens; SIGUSR2 ends the handlers that wait.
 */
import { connect } from 'node:net'
import { createBatch, defineService, onEvent } from 'eventail'

const [url = '', name = '', behaviour = ''] = process.argv.slice(2)

const tell = (/** @type {string} */ word) => void process.stdout.write(`${word}\n`)
const released = new Promise((resolve) => process.once('SIGUSR2', () => resolve(undefined)))

const hanging = createBatch({
  maxEntries: 1,
  timeoutMs: 60_000,
  handle: () => new Promise((resolve) => setTimeout(resolve, 60_000)),
})

const service = defineService({
  name,
  format: 'json',
  handlers: [
    onEvent('Work', async (context) => {
      const { payload, metadata, publish, log, ack } = context
      tell(`begin ${String(payload)}${metadata.redelivered ? ' again' : ''}`)
      if (behaviour === 'noisy') log.warning('working')
      if (behaviour === 'wait') {
        // work that never ends keeps a process alive
        const work = setInterval(() => {}, 1000)
        await released
        clearInterval(work)
      }
      if (behaviour === 'batch') return hanging.push(context)
      if (behaviour === 'ack-first') {
        await ack()
        await new Promise((resolve) => setTimeout(resolve, 1500))
        tell('end')
      }
      await publish('Worked', payload)
      return undefined
    }),
  ],
  hooks: {
    onReady: () => {
      tell('ready')
      if (behaviour === 'throw' || behaviour === 'open-throw') {
        setTimeout(() => {
          throw new Error('thrown by nobody')
        }, 10)
      }
      if (behaviour === 'reject') void Promise.reject(new Error('rejected by nobody'))
    },
  },
})

// as a store, or a pool of a database, has one
const connection = behaviour.startsWith('open') ? connect(Number(new URL(url).port), '127.0.0.1') : undefined
process.once('SIGUSR2', () => connection?.destroy())

await service.run({
  urls: [url],
  connectTimeoutMs: 60_000,
  ...(behaviour === 'batch' ? { drainTimeoutMs: 300 } : undefined),
  ...(behaviour === 'unavailable' ? { startTimeoutMs: 1500 } : undefined),
  ...(behaviour === 'wrong' ? { prefetch: -1 } : undefined),
})
tell('over')
