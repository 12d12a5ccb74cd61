/**
 * The end of the pipeline: `node sink.mjs OPTIONS`, with the built package. Its work is a line in the ledger: the number, and the process
 * that wrote it.
 */
import { appendFileSync } from 'node:fs'
import { defineService, onEvent } from 'eventail'
import { oncePerNumber, seqOf } from './numbers.mjs'

/** @type {import('../pipeline.ts').ProgramOptions & { service: string, from: string, ledger: string }} */
const { urls, service, from, ledger, prefetch, redis } = JSON.parse(process.argv[2] ?? '')

const { store, options } = oncePerNumber(redis)

await defineService({
  name: service,
  prefetch,
  handlers: [onEvent(from, (context) => appendFileSync(ledger, `${seqOf(context)} ${process.pid}\n`), options)],
}).run({ urls, stderrLevel: 'WARNING' })
await store?.close()
process.stdout.write(`${JSON.stringify({ pending: 0 })}\n`)
