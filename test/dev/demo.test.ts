/** The demo as its users meet it: as a program. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test as plain } from 'vitest'
import { Probe, test } from '../bus/bus.ts'
import { processesWith, Program } from './programs.ts'

const DEMO = 'dev/demo.mjs'

plain.for([
  ['the development broker', []],
  ['a private RabbitMQ', ['--rabbitmq']],
] as const)(
  'shows every kind of message, a retry and a dead letter, on %s, and leaves nothing behind',
  { timeout: 60_000 },
  async ([_name, options]) => {
    await using demo = new Program([DEMO, ...options], { EVENTAIL_AMQP_URL: undefined })
    const shows = (line: RegExp): Promise<void> =>
      expect.poll(() => demo.lines.some((each) => line.test(each)), { timeout: 30_000 }).toBe(true)
    await shows(/^9 services on amqp:\/\/127\.0\.0\.1:\d+$/)
    const url = /EVENTAIL_AMQP_URL=(\S+)/.exec(demo.output)?.[1] ?? ''
    const folder = folderOfBroker(url)
    expect(folder === undefined).toBe(options.length === 0)
    await shows(/ config +echo_messages +EchoMessagesDefined +\{"messages":\["good morning"/)
    await shows(/ event +clock +SecondTicked +\{"unix_time":\d+\}/)
    await shows(/ command +ping +pong\.EchoMessage +\{"message":"hello number 1"\}/)
    await shows(/ result +pong +ping\.EchoReturn +\{"echo":"HELLO NUMBER 1"\}/)
    // what the demo's own clock would bring about sooner or later
    const probe = await Probe.open(url)
    await probe.event('SecondTicked', { unix_time: 7 })
    await shows(/ event +prime_time +PrimeTimeTicked +\{"prime_time":7\}/)
    await probe.event('SecondTicked', { unix_time: 25 }, { headers: { conversation_id: 'a-25' } })
    await shows(/ a-25 ALERT +grumpy +unexpected error while handling SecondTicked: not now, ask me again/)
    await probe.event('SecondTicked', { unix_time: 12 }, { appId: 'tester' })
    await shows(/ EMERGENCY grumpy +Giving up on SecondTicked/)
    await shows(/ dead +tester +dead: SecondTicked, rejected by grumpy\.events +\{"unix_time":12\}/)
    await probe.close()

    demo.kill('SIGINT')
    expect(await demo.ended).toBe(0)
    expect(demo.output).toMatch(/\d+ s: \d+ events, \d+ commands, \d+ results, .*\d+ dead letters?\n$/)
    expect(demo.output, 'colours are for terminals').not.toContain('\u001b')
    await expect.poll(() => processesWith(url), { timeout: 10_000 }).toEqual([])
    if (folder === undefined) return
    await expect.poll(() => processesWith(folder), { timeout: 10_000 }).toEqual([])
    expect(existsSync(folder)).toBe(false)
  },
)

test('ends by itself after the seconds it was given, on a broker that is not its own', async ({ url }) => {
  await using demo = new Program([DEMO, '--seconds', '0.1'], { EVENTAIL_AMQP_URL: url })
  expect(await demo.ended).toBe(0)
  expect(demo.output).toContain("There is no exchange 'am-dlx' on this broker: dead letters do not show")
  expect(demo.output).toContain('It ends after 0.1 s')
  expect(demo.output).toMatch(/^0 s: .*, 0 dead letters$/m)
}, 40_000)

plain(
  'none of its services outlives it, even when it is killed',
  async () => {
    await using demo = new Program([DEMO], { EVENTAIL_AMQP_URL: undefined })
    await expect.poll(() => demo.output, { timeout: 30_000 }).toMatch(/ config +echo_messages /)
    const url = /EVENTAIL_AMQP_URL=(\S+)/.exec(demo.output)?.[1] ?? ''
    expect(processesWith('examples/prime.ts', url)).toHaveLength(1)
    demo.kill('SIGKILL')
    await expect.poll(() => processesWith(url), { timeout: 10_000 }).toEqual([])
  },
  40_000,
)

plain('says what is wrong with its broker or its arguments, in one line and without the password', async () => {
  await using unreachable = new Program([DEMO], { EVENTAIL_AMQP_URL: 'amqp://me:secret@127.0.0.1:1' })
  await using mistyped = new Program([DEMO, '--second', '5'])
  expect(await unreachable.ended).toBe(1)
  expect(unreachable.output).toMatch(/^cannot connect to amqp:\/\/me@127\.0\.0\.1:1\/: .*ECONNREFUSED.*\n$/)
  expect(await mistyped.ended).toBe(1)
  expect(mistyped.output).toContain('usage: npm run demo [-- [--rabbitmq] [--seconds N]]')
})

/** The folder of the private RabbitMQ that listens on the port of this URL; undefined when none does. */
function folderOfBroker(url: string): string | undefined {
  const listener = `listeners.tcp.default = 127.0.0.1:${new URL(url).port}\n`
  const folder = readdirSync(tmpdir()).find((name) => {
    const config = join(tmpdir(), name, 'rabbitmq.conf')
    return name.startsWith('eventail-broker-') && existsSync(config) && readFileSync(config, 'utf8').includes(listener)
  })
  return folder === undefined ? undefined : join(tmpdir(), folder)
}
