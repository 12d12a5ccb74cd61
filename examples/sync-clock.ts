/**
 * The clock, for code that cannot await: each call blocks until the broker has the event.
 * Run it: `npx tsx examples/sync-clock.ts [URL…]`
 */
import { SyncEndpoint } from 'eventail'
import { brokers } from './arguments.ts'
import { SecondTicked } from './contracts.ts'

const endpoint = new SyncEndpoint({ name: 'clock', timeoutMs: 10_000, ...brokers() })
setInterval(() => {
  const unixTime = Math.floor(Date.now() / 1000)
  endpoint.publish(SecondTicked, { unix_time: unixTime })
  process.stdout.write(`the broker has ${unixTime}\n`)
}, 1000)
