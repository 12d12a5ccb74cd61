/** The demo as its users meet it: as a program. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test as plain } from 'vitest'
import { Probe, test } from '../bus/bus.ts'
import { processesWith, Program } from './programs.ts'

const DEMO = 'dev/demo.mjs'

plain(
  'shows every kind of message, a retry and a dead letter, and leaves nothing behind',
  async () => {
    await using demo = new Program([DEMO], { EVENTAIL_AMQP_URL: undefined })
    const shows = (line: RegExp): Promise<void> =>
      expect.poll(() => demo.lines.some((each) => line.test(each)), { timeout: 30_000 }).toBe(true)
    await shows(/^9 services on amqp:\/\/127\.0\.0\.1:\d+$/)
    const url = /EVENTAIL_AMQP_URL=(\S+)/.exec(demo.output)?.[1] ?? ''
    const folder = folderOfBroker(url)
    expect(existsSync(folder)).toBe(true)
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
    await expect.poll(() => processesWith(folder), { timeout: 10_000 }).toEqual([])
    expect(existsSync(folder)).toBe(false)
  },
  60_000,
)

test('ends by itself after the seconds it was given, on a broker that is not its own', async ({ url }) => {
  await using demo = new Program([DEMO, '--seconds', '0.1'], { EVENTAIL_AMQP_URL: url })
  expect(await demo.ended).toBe(0)
  expect(demo.output).toContain("There is no exchange 'am-dlx' on this broker: dead letters do not show")
  expect(demo.output).toContain('It ends after 0.1 s')
  expect(demo.output).toMatch(/^0 s: .*, 0 dead letters$/m)
}, 40_000)

test('starts a service again that died, and none outlives the demo, even one that is killed', async ({
  url,
  probe,
}) => {
  const script = "const { ExampleRunner } = await import('./dev/example-runner.mjs')"
  const start = `await new ExampleRunner('${url}', console.log).start('prime')`
  await using runner = new Program(['--input-type=module', '-e', `${script}; ${start}; console.log('started')`])
  await expect.poll(() => runner.lines, { timeout: 15_000 }).toContain('started')
  const results = await probe.listen('commands', 'probe.Result')
  const [first] = processesWith('examples/prime.ts', url)
  process.kill(Number(first), 'SIGKILL')
  await probe.command('prime.CheckPrime', { number: 7 })
  await results.next({ timeoutMs: 15_000 })
  expect(runner.lines[1]).toBe('prime died (SIGKILL), and is started again; the last lines it said:')
  expect(runner.lines[2]).toContain('ready: consuming prime.commands')
  runner.kill('SIGKILL')
  await expect.poll(() => processesWith('examples/prime.ts', url), { timeout: 10_000 }).toEqual([])
}, 40_000)

plain('says what is wrong with its broker or its arguments, in one line and without the password', async () => {
  await using unreachable = new Program([DEMO], { EVENTAIL_AMQP_URL: 'amqp://me:secret@127.0.0.1:1' })
  await using mistyped = new Program([DEMO, '--second', '5'])
  expect(await unreachable.ended).toBe(1)
  expect(unreachable.output).toMatch(/^amqp:\/\/me@127\.0\.0\.1:1\/ cannot be used: .*ECONNREFUSED.*\n$/)
  expect(await mistyped.ended).toBe(1)
  expect(mistyped.output).toContain('usage: npm run demo [-- --seconds N]')
})

/** The folder of the broker that listens on the port of this URL. */
function folderOfBroker(url: string): string {
  const listener = `listeners.tcp.default = 127.0.0.1:${new URL(url).port}\n`
  const folder = readdirSync(tmpdir()).find((name) => {
    const config = join(tmpdir(), name, 'rabbitmq.conf')
    return name.startsWith('eventail-broker-') && existsSync(config) && readFileSync(config, 'utf8').includes(listener)
  })
  return join(tmpdir(), folder ?? 'none')
}
