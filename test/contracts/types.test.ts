/** Types are inferred from contracts, end to end. `tsc` is what checks this file; running it only shows that it loads. */
import {
  type CommandContract,
  type CommandContext,
  type EventContext,
  defineCommand,
  defineEvent,
  defineService,
  onCommand,
  onConfiguration,
  onEvent,
  onResult,
  SETTLE_LATER,
} from 'eventail'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'

const Greeted = defineEvent('Greeted', z.object({ who: z.string(), times: z.coerce.number<string>() }))
const Bare = defineEvent('Bare')
const Greet = defineCommand('greeter.Greet', {
  payload: z.object({ who: z.string() }),
  result: z.object({ text: z.string() }),
  error: z.object({ reason: z.string() }),
})
const Free = defineCommand('greeter.Free')

test('payload types follow from contracts, in handlers and in publishes', () => {
  const service = defineService({
    name: 'greeter',
    handlers: [
      onEvent(Greeted, ({ payload }) => {
        expectTypeOf(payload).toEqualTypeOf<{ who: string; times: number }>()
      }),
      onEvent(Bare, ({ payload }) => {
        expectTypeOf(payload).toBeUnknown()
      }),
      onEvent('billing.#', ({ payload }) => {
        expectTypeOf(payload).toBeUnknown()
      }),
      onCommand(Greet, async ({ payload, publish, success, error }) => {
        expectTypeOf(payload).toEqualTypeOf<{ who: string }>()
        expectTypeOf(success).parameter(0).toEqualTypeOf<{ text: string }>()
        expectTypeOf(error).parameter(0).toEqualTypeOf<{ reason: string }>()
        // what goes out has the schema's input type, what comes in its output type
        await publish(Greeted, { who: 'x', times: '2' })
        // @ts-expect-error a number is not what a sender gives
        await publish(Greeted, { who: 'x', times: 2 }).catch(() => {})
        return { text: payload.who }
      }),
      onCommand(Free, async ({ payload }) => {
        expectTypeOf(payload).toBeUnknown()
        return SETTLE_LATER
      }),
      onResult(Greet, (context) => {
        if (context.status === 'success') expectTypeOf(context.payload).toEqualTypeOf<{ text: string }>()
        else expectTypeOf(context.payload).toEqualTypeOf<{ reason: string }>()
      }),
      onConfiguration('Settings', () => true),
    ],
  })
  expect(service.name).toBe('greeter')
})

test('what does not fit a contract does not compile', () => {
  // @ts-expect-error the result has no text
  onCommand(Greet, () => ({ wrong: 1 }))
  // @ts-expect-error a configuration handler says whether the service is configured
  onConfiguration(defineConfigurationLike(), () => 'yes')
  // @ts-expect-error a command is no event
  expect(() => onEvent(Greet, () => {})).toThrow(
    'onEvent: takes a name or the contract of an event, not that of a command',
  )
  expectTypeOf<CommandContext<{ a: 1 }>>().toExtend<EventContext>()
  expectTypeOf(Free).toEqualTypeOf<CommandContract<undefined, undefined, undefined>>()
})

function defineConfigurationLike(): { kind: 'configuration'; name: string; payload: undefined } {
  return { kind: 'configuration', name: 'Settings', payload: undefined }
}
