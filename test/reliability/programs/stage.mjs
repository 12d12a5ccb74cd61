/** Handles one event by publishing the next: `node stage.mjs OPTIONS`, with the built package. */
import { defineService, onEvent } from 'eventail'
import { createTempStore } from 'eventail/store'

/** @type {import('../pipeline.ts').ProgramOptions & { service: string, from: string, to: string }} */
const { urls, service, from, to, prefetch, redis } = JSON.parse(process.argv[2] ?? '')

const store = redis && createTempStore(redis)
const key = (/** @type {import('eventail').EventContext} */ { payload }) =>
  String(/** @type {{ seq: number }} */ (payload).seq)
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
      store === undefined ? {} : { once: { store, key, lockMs: 3_000 } },
    ),
  ],
}).run({ urls, stderrLevel: 'WARNING' })
await store?.close()
process.stdout.write(`${JSON.stringify({ pending })}\n`)
