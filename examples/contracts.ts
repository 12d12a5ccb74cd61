/** The messages of the examples: what the services say to each other, in one place. */
import { defineCommand, defineConfiguration, defineEvent } from 'eventail'
import { z } from 'zod'

/** Published by `clock` each second. */
export const SecondTicked = defineEvent('SecondTicked', z.object({ unix_time: z.int() }))

const MinutePayload = z.object({ iso_time: z.string() })
/** Published by `minute` for 60 seconds in a row. */
export const MinuteTicked = defineEvent('MinuteTicked', MinutePayload)
/** Published by `minute` when fewer came in time. */
export const IncompleteMinuteTicked = defineEvent('IncompleteMinuteTicked', MinutePayload)

/** Gives the message back in capitals. */
export const EchoMessage = defineCommand('pong.EchoMessage', {
  payload: z.object({ message: z.string() }),
  result: z.object({ echo: z.string() }),
})

/** What `ping-conf` may say. */
export const EchoMessagesDefined = defineConfiguration(
  'EchoMessagesDefined',
  z.object({ messages: z.array(z.string()).min(1) }),
)
/** Asks for it. */
export const EchoMessagesRequested = defineConfiguration('EchoMessagesRequested')

/** Tells whether a number is prime. */
export const CheckPrime = defineCommand('prime.CheckPrime', {
  payload: z.object({ number: z.int() }),
  result: z.object({ 'is_prime?': z.boolean() }),
  error: z.object({ reason: z.string() }),
})
/** Published by `prime_time` for each second whose number is prime. */
export const PrimeTimeTicked = defineEvent('PrimeTimeTicked', z.object({ prime_time: z.int() }))
