/**
 * `grumpy`: fails now and then, to show what happens: a message that fails once is tried again, and one that fails twice
 * becomes a dead letter. Run it: `npx tsx examples/grumpy.ts [URL…]`
 */
import { defineService, onEvent } from 'eventail'
import { brokers } from './arguments.ts'
import { SecondTicked } from './contracts.ts'

const grumpy = defineService({
  name: 'grumpy',
  handlers: [
    onEvent(SecondTicked, ({ payload, metadata, log }) => {
      if (payload.unix_time % 12 === 0) throw new Error('I never liked multiples of twelve')
      if (payload.unix_time % 5 === 0 && !metadata.redelivered) throw new Error('not now, ask me again')
      log.debug('fine')
    }),
  ],
})

await grumpy.run(brokers())
