/**
 * `minute`: makes minutes of seconds, with a batch: 60 of them, or what came within 61 s of the first.
 * Run it: `npx tsx examples/minute-clock.ts [URL…]`
 */
import { createBatch, defineService, type EventContext, onEvent } from 'eventail'
import { brokers } from './arguments.ts'
import { IncompleteMinuteTicked, MinuteTicked, SecondTicked } from './contracts.ts'

const minutes = createBatch<EventContext<{ unix_time: number }>>({
  maxEntries: 60,
  timeoutMs: 61_000,
  handle: async (seconds) => {
    const last = seconds.at(-1)
    if (last === undefined) return
    const iso_time = new Date(last.payload.unix_time * 1000).toISOString()
    // in the conversation of the last second; all seconds of the minute are acknowledged once this is confirmed
    await last.publish(seconds.length === 60 ? MinuteTicked : IncompleteMinuteTicked, { iso_time })
    await last.ack({ multiple: true })
  },
})

const minute = defineService({
  name: 'minute',
  // a batch holds its messages back until it is full
  prefetch: 60,
  handlers: [onEvent(SecondTicked, minutes.push)],
})

await minute.run(brokers())
