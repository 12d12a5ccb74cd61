/**
 * `prime_time`: tells when the time is prime; asks `prime`, and links question and answer by the correlation id.
 * Run it: `npx tsx examples/prime-time.ts [URL…]`, with `clock` and `prime` beside it.
 */
import { defineService, onEvent, onResult } from 'eventail'
import { brokers } from './arguments.ts'
import { CheckPrime, PrimeTimeTicked, SecondTicked } from './contracts.ts'

const primeTime = defineService({
  name: 'prime_time',
  handlers: [
    onEvent(SecondTicked, async ({ payload, sendCommand }) => {
      await sendCommand(CheckPrime, { number: payload.unix_time }, { correlationId: String(payload.unix_time) })
    }),
    onResult(CheckPrime, async ({ status, payload, correlationId, publish }) => {
      if (status !== 'success' || !payload['is_prime?']) return
      await publish(PrimeTimeTicked, { prime_time: Number(correlationId) })
    }),
  ],
})

await primeTime.run(brokers())
