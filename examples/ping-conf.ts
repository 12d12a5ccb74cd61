/**
 * `ping-conf`: like `ping`, but says only what its configuration allows, and waits until it has one.
 * Run it: `npx tsx examples/ping-conf.ts [NAME] [URL…]`, with `pong` and `echo-messages` beside it.
 */
import { defineService, onConfiguration, onResult } from 'eventail'
import { brokers, nameAndUrls } from './arguments.ts'
import { EchoMessage, EchoMessagesDefined, EchoMessagesRequested } from './contracts.ts'

const { name, urls } = nameAndUrls('ping-conf')
let messages: readonly string[] = []

const pingConf = defineService({
  name,
  handlers: [
    onConfiguration(EchoMessagesDefined, ({ payload }) => {
      messages = payload.messages
      return true
    }),
    onResult(EchoMessage, ({ payload, log }) => log.info(`got ${JSON.stringify(payload)}`), { replyTo: 'EchoReturn' }),
  ],
  hooks: {
    onUnconfigured: ({ publishConfiguration, log }) => {
      log.notice('asking for messages to send')
      return publishConfiguration(EchoMessagesRequested, {})
    },
    onReady: ({ every, sendCommand }) => {
      every(1000, async () => {
        const message = messages[Math.floor(Math.random() * messages.length)] ?? ''
        await sendCommand(EchoMessage, { message }, { replyTo: 'EchoReturn' })
      })
    },
  },
})

await pingConf.run(brokers(urls))
