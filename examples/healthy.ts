/**
 * `healthy`: counts seconds, and can be asked how it is: `/healthz`, `/readyz`, `/metrics`, or `eventail ready http://…`.
 * Run it: `npx tsx examples/healthy.ts [URL…]`; its health server listens on the port of $PORT, or on a free one.
 */
import { defineService, onEvent } from 'eventail'
import { startHealthServer } from 'eventail/health'
import { brokers } from './arguments.ts'
import { SecondTicked } from './contracts.ts'

const health = await startHealthServer({ port: Number(process.env['PORT'] ?? 0), metrics: true })
process.stdout.write(`ask ${health.url}/readyz\n`)

const healthy = defineService({
  name: 'healthy',
  handlers: [onEvent(SecondTicked, ({ payload, log }) => log.debug(`it is ${payload.unix_time}`))],
})

await healthy.run({ ...brokers(), health })
