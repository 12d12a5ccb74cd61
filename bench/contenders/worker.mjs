/**
 * A worker for bench/scale.ts: `node worker.mjs TASK`. It says `ready` when it consumes, and ends when its stdin does.
 *
 * TASK is a JSON object: `url`, `prefetch`, `handlers` (that many, each for an event of its own, besides one for all of `Many.#`), and
 * `slowMs`, how long each message takes.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { defineService, onEvent } from 'eventail'

/** @type {{ url: string, prefetch: number, handlers: number, slowMs: number }} */
const { url, prefetch, handlers, slowMs } = JSON.parse(process.argv[2] ?? '{}')

/** @param {import('eventail').EventContext<unknown>} context */
async function handle({ payload, publish }) {
  if (slowMs > 0) await delay(slowMs)
  await publish('Done', payload)
}

const names = Array.from({ length: handlers }, (_, n) => `Job${n}`)
const worker = await defineService({
  name: 'bench',
  prefetch,
  handlers: [onEvent('Many.#', handle), ...names.map((name) => onEvent(name, handle))],
}).start({ urls: [url], stderrLevel: 'ERROR' })
process.stdout.write('ready\n')
process.stdin.resume()
await once(process.stdin, 'end')
await worker.stop()
