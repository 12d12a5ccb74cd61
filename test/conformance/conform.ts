/**
 * Plays every scenario on RabbitMQ and on the development broker, through one client library. A scenario expects by itself
 * what matters; that both transcripts are equal says that nothing else differs either.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { NOT_IMPLEMENTED, type NotImplemented } from './not-implemented.ts'
import { scenarios } from './scenarios/all.ts'
import { type Scenario, Stage } from './stage.ts'
import { type Target, developmentBroker, rabbitmq } from './target.ts'
import { Transcript } from './transcript.ts'
import type { Driver } from './vocabulary.ts'

/** Makes the tests. They are left out on a broker that is not ours: its management API is needed. */
export function conform(name: Driver['name'], openDriver: () => Driver): void {
  const vhost = `conformance-${name}`
  const playable = scenarios.filter(({ only }) => only === undefined || only === name)

  describe.skipIf(inject('managementUrl') === '')(`through ${name} both brokers agree:`, () => {
    let driver: Driver
    let targets: readonly [Target, Target]

    beforeAll(async () => {
      driver = openDriver()
      targets = await Promise.all([
        rabbitmq(inject('brokerUrl'), inject('managementUrl'), vhost),
        developmentBroker(vhost),
      ])
    })

    afterAll(async () => {
      await Promise.all([driver, ...targets].map((one) => one[Symbol.asyncDispose]()))
    })

    test.concurrent.for(playable)('$title', async (scenario) => {
      const prefix = `s${scenarios.indexOf(scenario)}`
      const [rabbit, development] = targets
      const [real, own] = await Promise.all([
        played(scenario, rabbit, driver, prefix),
        played(scenario, development, driver, prefix),
      ])
      if (scenario.notImplemented === undefined) expect(own).toEqual(real)
    })
  })
}

/** Whether the last that happened is that the broker refused what it does not do. */
function isRefusal({ lines }: Transcript, what: NotImplemented | undefined): boolean {
  if (what === undefined) return false
  const closing = { reply_code: 540, reply_text: `NOT_IMPLEMENTED - ${NOT_IMPLEMENTED[what]}` }
  return lines.at(-1)?.endsWith(`connection.close ${JSON.stringify(closing)}`) === true
}

/** @returns the transcript; none of a refusal that is to be @throws Error with the broker's name and the end of the transcript, when it is not as expected */
async function played(scenario: Scenario, target: Target, driver: Driver, prefix: string): Promise<readonly string[]> {
  const transcript = new Transcript()
  const stage = new Stage(target, driver, prefix, transcript)
  try {
    await scenario.play(stage)
  } catch (error) {
    if (target.name === 'the development broker' && isRefusal(transcript, scenario.notImplemented)) return []
    const before = transcript.lines.slice(-8).join('\n  ')
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(`on ${target.name}, ${message}\nafter\n  ${before}`, { cause: error })
  } finally {
    await stage.end()
  }
  if (target.name === 'the development broker' && scenario.notImplemented !== undefined)
    throw new Error(`the development broker does what it is said not to: ${NOT_IMPLEMENTED[scenario.notImplemented]}`)
  return transcript.lines
}
