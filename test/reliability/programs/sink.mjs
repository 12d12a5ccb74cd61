/**
 * The end of the pipeline: `node sink.mjs OPTIONS`, with the built package. Its work is a line in the ledger: the number, and the process
 * that wrote it.
 */
import { appendFileSync } from 'node:fs'
import { defineService, onEvent } from 'eventail'
import { createTempStore } from 'eventail/store'

/** @type {import('../pipeline.ts').ProgramOptions & { service: string, from: string, ledger: string }} */
const { urls, service, from, ledger, prefetch, redis } = JSON.parse(process.argv[2] ?? '')

const store = redis && createTempStore(redis)
const seqOf = (/** @type {import('eventail').EventContext} */ { payload }) =>
  String(/** @type {{ seq: number }} */ (payload).seq)

await defineService({
  name: service,
  prefetch,
  handlers: [
    onEvent(
      from,
      (context) => appendFileSync(ledger, `${seqOf(context)} ${process.pid}\n`),
      store === undefined ? {} : { once: { store, key: seqOf, lockMs: 3_000 } },
    ),
  ],
}).run({ urls, stderrLevel: 'WARNING' })
await store?.close()
process.stdout.write(`${JSON.stringify({ pending: 0 })}\n`)
