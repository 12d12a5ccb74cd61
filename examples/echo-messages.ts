/**
 * `echo_messages`: knows what may be said, and says so when it starts and whenever somebody asks.
 * Run it: `npx tsx examples/echo-messages.ts [URL…]`
 */
import { defineService, onConfiguration } from 'eventail'
import { brokers } from './arguments.ts'
import { EchoMessagesDefined, EchoMessagesRequested } from './contracts.ts'

const messages = ['good morning', 'how do you do', 'see you later']

const echoMessages = defineService({
  name: 'echo_messages',
  handlers: [
    onConfiguration(EchoMessagesRequested, async ({ publishConfiguration }) => {
      await publishConfiguration(EchoMessagesDefined, { messages })
      return true
    }),
  ],
  hooks: {
    onUnconfigured: ({ publishConfiguration }) => publishConfiguration(EchoMessagesDefined, { messages }),
  },
})

await echoMessages.run(brokers())
