/**
 * A worker that handles events and does nothing with them: `node drainer.mjs URL NAME`, with the built package. Tells on stdout, five
 * times a second, one JSON object a line: `{handled, rssMiB}`; ends at SIGTERM.
 */
import { defineService, onEvent } from 'eventail'

const [url = '', name = ''] = process.argv.slice(2)
const MIB = 1024 * 1024
let handled = 0
/** @type {NodeJS.Timeout | undefined} */
let reporting
const tell = () => {
  process.stdout.write(`${JSON.stringify({ handled, rssMiB: process.memoryUsage.rss() / MIB })}\n`)
}

const service = defineService({
  name,
  prefetch: 100,
  handlers: [
    onEvent(`${name}.Work`, () => {
      handled += 1
    }),
  ],
  hooks: {
    onReady: () => {
      tell()
      reporting ??= setInterval(tell, 200).unref()
    },
  },
})
await service.run({ urls: [url], stderrLevel: 'ERROR' })
