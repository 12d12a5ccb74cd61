/** Publishing that blocks, in programs of their own: a thread that blocks could not watch itself. */
import { SyncEndpoint } from 'eventail'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { jsonOf, recordOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'
import { Program } from '../dev/programs.ts'

const PROGRAM = fileURLToPath(new URL('programs/blocking.mjs', import.meta.url))

interface Step {
  readonly step: string
  readonly outcome: string
  readonly ms: number
}

function blocking(url: string, ...steps: string[]): Program {
  return new Program([PROGRAM, url, ...steps])
}

function stepsOf(program: Program): readonly Step[] {
  return program.lines.filter((line) => line.startsWith('{"step"')).map((line) => JSON.parse(line) as Step)
}

function outcomesOf(program: Program): readonly string[] {
  return stepsOf(program).map(({ outcome }) => outcome)
}

test('each call returns when the broker has confirmed, or throws what became of it; the process ends by itself', async ({
  url,
  probe,
}) => {
  const events = await probe.listen('events', 'Blocked')
  const configurations = await probe.listen('configurations', 'BlockedConf')
  const logs = await probe.logs('blocking.INFO')
  const steps = [
    'publish:one',
    'mandatory',
    'configuration:on',
    'unsendable',
    'log:said',
    'many:100',
    'close',
    'publish:late',
  ]
  await using program = blocking(url, ...steps)
  expect(await program.ended).toBe(0)
  expect(outcomesOf(program)).toEqual([
    'ok',
    'UnroutableError UNROUTABLE',
    'ok',
    'PayloadEncodeError PAYLOAD_ENCODE',
    'ok',
    'ok',
    'ok',
    'StoppedError STOPPED',
  ])
  await expect.poll(() => events.received.map(jsonOf)).toEqual(['one', ...Array.from({ length: 100 }, (_, n) => n)])
  expect(events.received[0]?.properties).toMatchObject({ appId: 'blocking', deliveryMode: 2 })
  expect(jsonOf(await configurations.next())).toBe('on')
  expect(recordOf(await logs.next())['short_message']).toBe('said')
})

test('a process that does not close it ends by itself, or exits in the middle', async ({ url }) => {
  await using forgetful = blocking(url, 'publish:one')
  await using hasty = blocking(url, 'publish:one', 'exit')
  expect(await forgetful.ended).toBe(0)
  expect(await hasty.ended).toBe(7)
})

test('a broker that is not there is an error after as many tries as were asked for', async () => {
  await using program = blocking('amqp://127.0.0.1:1', 'publish:one', 'close')
  expect(await program.ended).toBe(0)
  const [publish, close] = stepsOf(program)
  expect(publish?.outcome).toBe('ConnectionError CONNECTION')
  expect(publish?.ms).toBeLessThan(2500)
  expect(close?.ms).toBeLessThan(2500)
})

test('a broker that does not answer is an error when the time is up, and the next call begins anew', async ({
  url,
  probe,
}) => {
  const events = await probe.listen('events', 'Blocked')
  await using proxy = await Proxy.start(Number(new URL(url).port))
  await using program = blocking(proxy.through(url), 'publish:one', 'sleep:1000', 'publish:two', 'publish:three')
  await expect.poll(() => outcomesOf(program), { interval: 5 }).toEqual(['ok'])
  proxy.freeze()
  await expect.poll(() => outcomesOf(program), { interval: 5 }).toHaveLength(3)
  proxy.pass()
  expect(await program.ended).toBe(0)
  const [, , late, third] = stepsOf(program)
  expect(late?.outcome).toBe('PublishTimeoutError PUBLISH_TIMEOUT')
  expect(late?.ms).toBeLessThan(2500)
  expect(third?.outcome).toBe('ok')
  await expect.poll(() => events.received.map(jsonOf).at(-1)).toBe('three')
})

test('a thread that was killed is an error within the time limit, and the next call begins with a new one', async ({
  url,
  probe,
}) => {
  const events = await probe.listen('events', 'Blocked')
  const steps = ['publish:one', 'turn', 'kill', 'sleep:300', 'publish:two', 'publish:three', 'close']
  await using program = blocking(url, ...steps)
  expect(await program.ended).toBe(0)
  const [, , , , late, third] = stepsOf(program)
  expect(late?.outcome).toBe('PublishTimeoutError PUBLISH_TIMEOUT')
  expect(late?.ms).toBeLessThan(2500)
  expect(third?.outcome).toBe('ok')
  await expect.poll(() => events.received.map(jsonOf)).toEqual(['one', 'three'])
})

test('a wrong option is refused with what is wrong', () => {
  expect(() => new SyncEndpoint({ name: 'x', signal: new AbortController().signal } as never)).toThrow(
    'signal: a SyncEndpoint does not take it',
  )
  expect(() => new SyncEndpoint({ name: 'x', drainTimeoutMs: 1 } as never)).toThrow('drainTimeoutMs: a SyncEndpoint')
  expect(() => new SyncEndpoint({ name: 'x', timeoutMs: 0 })).toThrow('timeoutMs: must be milliseconds')
  expect(() => new SyncEndpoint({ name: 'x', prefetch: 1 } as never)).toThrow("'prefetch' does not exist")
})
