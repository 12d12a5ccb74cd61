/** `clock`: tells the time, once a second. Run it: `npx tsx examples/clock.ts [URL…]` */
import { defineService } from 'eventail'
import { brokers } from './arguments.ts'
import { SecondTicked } from './contracts.ts'

const clock = defineService({
  name: 'clock',
  hooks: {
    onReady: ({ every, publish }) => {
      every(1000, () => publish(SecondTicked, { unix_time: Math.floor(Date.now() / 1000) }))
    },
  },
})

await clock.run(brokers())
