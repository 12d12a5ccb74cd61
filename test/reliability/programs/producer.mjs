/**
 * Publishes numbered events `A`: `node producer.mjs OPTIONS`, with the built package. A number goes to the ledger once the broker has
 * confirmed it; one that is started again goes on with what is not in there.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { Endpoint } from 'eventail'

/** @type {import('../pipeline.ts').ProgramOptions & { messages: number, perSecond: number, window: number, ledger: string }} */
const { urls, messages, perSecond, window, ledger } = JSON.parse(process.argv[2] ?? '')

const confirmed = new Set(existsSync(ledger) ? readFileSync(ledger, 'utf8').split('\n').map(Number) : [])
const endpoint = new Endpoint({ name: 'producer', urls, stderrLevel: 'WARNING' })
let next = 0
let pending = 0
const began = performance.now()

/** Publishes one number after the other; as many of these run as publishes may be on their way. */
async function publish() {
  while (next < messages) {
    const seq = next
    next += 1
    if (confirmed.has(seq + 1)) continue
    const early = (seq / perSecond) * 1000 - (performance.now() - began)
    if (early > 10) await new Promise((resolve) => setTimeout(resolve, early))
    pending += 1
    await endpoint.publish('A', { seq: seq + 1 })
    pending -= 1
    appendFileSync(ledger, `${seq + 1}\n`)
  }
}

await Promise.all(Array.from({ length: window }, publish))
await endpoint.close()
process.stdout.write(`${JSON.stringify({ pending })}\n`)
