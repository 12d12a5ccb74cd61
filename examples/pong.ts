/**
 * `pong`: answers each message with the same in capitals, at once, and acknowledges its commands in batches.
 * Run it: `npx tsx examples/pong.ts [URL…]`
 */
import { type CommandContext, createBatch, defineService, onCommand } from 'eventail'
import { brokers } from './arguments.ts'
import { EchoMessage } from './contracts.ts'

const answered = createBatch<CommandContext<unknown, { echo: string }>>({
  maxEntries: 10,
  timeoutMs: 1000,
  handle: (commands) => commands.at(-1)?.ack({ multiple: true }),
})

const pong = defineService({
  name: 'pong',
  prefetch: 10,
  handlers: [
    onCommand(EchoMessage, async (command) => {
      await command.success({ echo: command.payload.message.toUpperCase() })
      return answered.push(command)
    }),
  ],
  hooks: {
    onReady: ({ every, log }) => {
      every(60_000, () => log.notice('still here', { fields: { healthcheck: 'ok' } }))
    },
  },
})

await pong.run(brokers())
