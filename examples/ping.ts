/**
 * `ping`: sends a command each second, and logs what comes back.
 * Run it: `npx tsx examples/ping.ts [NAME] [URL…]`, with `pong` beside it.
 */
import { defineService, onResult } from 'eventail'
import { brokers, nameAndUrls } from './arguments.ts'
import { EchoMessage } from './contracts.ts'

const { name, urls } = nameAndUrls('ping')
let count = 0

const ping = defineService({
  name,
  handlers: [
    onResult(
      EchoMessage,
      ({ status, payload, correlationId, log }) => log.info(`${status}: ${JSON.stringify(payload)} (${correlationId})`),
      { replyTo: 'EchoReturn' },
    ),
  ],
  hooks: {
    onReady: ({ every, sendCommand, log }) => {
      every(1000, async () => {
        count += 1
        const message = `hello number ${count}`
        log.info(`sending: ${message}`)
        await sendCommand(EchoMessage, { message }, { replyTo: 'EchoReturn', correlationId: String(count) })
      })
    },
    onReturned: ({ routingKey }, { log }) => log.error(`nobody takes ${routingKey}: is pong running?`),
  },
})

await ping.run(brokers(urls))
