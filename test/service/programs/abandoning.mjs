/** A program that embeds a worker, and stops it while a handler never ends: `node abandoning.mjs URL`, with the built package. */
import { defineService, onEvent } from 'eventail'

let begin = () => {}
const begun = new Promise((resolve) => (begin = () => resolve(undefined)))
const stuck = defineService({
  name: 'stuck',
  handlers: [
    onEvent('Work', () => {
      begin()
      return new Promise(() => {})
    }),
  ],
  hooks: { onReady: ({ publish }) => publish('Work', 1) },
})
const worker = await stuck.start({ urls: [process.argv[2] ?? ''], drainTimeoutMs: 100, stderrLevel: 'NONE' })
await begun
await worker.stop()
process.stdout.write('over\n')
