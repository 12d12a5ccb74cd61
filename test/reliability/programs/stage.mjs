/** Handles one event by publishing the next: `node stage.mjs OPTIONS`, with the built package. */
import { defineService, onEvent } from 'eventail'
import { oncePerNumber } from './numbers.mjs'

/** @type {import('../pipeline.ts').ProgramOptions & { service: string, from: string, to: string }} */
const { urls, service, from, to, prefetch, redis } = JSON.parse(process.argv[2] ?? '')

const { store, options } = oncePerNumber(redis)
let pending = 0

await defineService({
  name: service,
  prefetch,
  handlers: [
    onEvent(
      from,
      async ({ payload, publish }) => {
        pending += 1
        try {
          await publish(to, payload)
        } finally {
          pending -= 1
        }
      },
      options,
    ),
  ],
}).run({ urls, stderrLevel: 'WARNING' })
await store?.close()
process.stdout.write(`${JSON.stringify({ pending })}\n`)
