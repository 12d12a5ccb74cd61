/**
 * Publishes and handles a numbered event every 100 ms: `node ticker.mjs URL`, with the built package. It tells on stdout, one line of JSON
 * each, what it handled, by which clocks, and what it logs.
 */
import { defineService, onEvent } from 'eventail'

const [url = ''] = process.argv.slice(2)
const tell = (/** @type {object} */ line) => void process.stdout.write(`${JSON.stringify(line)}\n`)
let seq = 0

await defineService({
  name: 'ticker',
  heartbeatMs: 2_000,
  handlers: [
    onEvent('Tick', ({ payload }) => tell({ handled: payload, wall: Date.now(), monotonic: performance.now() })),
    onEvent('Flaky', ({ metadata }) => {
      tell({ flaky: metadata.redelivered })
      if (!metadata.redelivered) throw new Error('once more')
    }),
  ],
  hooks: {
    onReady: ({ every, publish }) => {
      every(100, async () => {
        seq += 1
        await publish('Tick', seq)
      })
    },
  },
}).run({ urls: [url], stderrLevel: 'NONE', onLog: ({ level, short }) => tell({ level, short }) })
