/**
 * Publishes very much while its broker takes nothing: `node flood.mjs URL COUNT`, with the built package. Begins when the broker blocks,
 * and tells on stdout, one JSON object a line: `{queued, rssMiB}` when all of it waits, by how much the memory has grown at most;
 * `{confirmed, afterMs}` when all of it is confirmed, and how long after the broker took messages again.
 */
import { defineService } from 'eventail'

const [url = '', count = '0'] = process.argv.slice(2)
const MIB = 1024 * 1024
const payload = 'x'.repeat(1024)

const tell = (/** @type {object} */ what) => void process.stdout.write(`${JSON.stringify(what)}\n`)
let onBlocked = () => {}
let unblockedAt = 0
const blocked = new Promise((resolve) => {
  onBlocked = () => resolve(undefined)
})

const worker = await defineService({ name: 'flood', format: 'json' }).start({
  urls: [url],
  stderrLevel: 'NONE',
  onLog: ({ short }) => {
    if (short.startsWith('the broker blocks publishers')) onBlocked()
    if (short === 'the broker takes messages again') unblockedAt = performance.now()
  },
})
// a program that has worked for a while: what the runtime itself takes is there
for (let round = 0; round < 40; round++)
  await Promise.all(Array.from({ length: 1000 }, () => worker.publish('Warm', payload)))
tell({ ready: true })
const trickle = setInterval(() => void worker.publish('Trickle', 1), 50)
await blocked
clearInterval(trickle)
const before = process.memoryUsage.rss()
let most = before
let confirmed = 0
const all = []
for (let n = 0; n < Number(count); n++) {
  all.push(worker.publish('Flood', payload).then(() => (confirmed += 1)))
  if (n % 1000 !== 0) continue
  await new Promise((resolve) => setImmediate(resolve))
  most = Math.max(most, process.memoryUsage.rss())
}
most = Math.max(most, process.memoryUsage.rss())
tell({ queued: worker.pendingPublishes, rssMiB: Math.round((most - before) / MIB) })
await Promise.all(all)
tell({ confirmed, afterMs: Math.round(performance.now() - unblockedAt) })
await worker.stop()
