/** `prime`: tells primes. Run it: `npx tsx examples/prime.ts [URL…]` */
import { CommandError, defineService, onCommand } from 'eventail'
import { brokers } from './arguments.ts'
import { CheckPrime } from './contracts.ts'

const prime = defineService({
  name: 'prime',
  handlers: [
    onCommand(CheckPrime, ({ payload: { number } }) => {
      // an expected outcome, documented in the contract: the caller gets it as an error result
      if (number < 0) throw new CommandError({ reason: 'only natural numbers can be prime' })
      return { 'is_prime?': isPrime(number) }
    }),
  ],
})

function isPrime(number: number): boolean {
  if (number < 2) return false
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false
  return true
}

await prime.run(brokers())
