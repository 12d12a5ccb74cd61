import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { jsonOf, test } from '../bus/bus.ts'
import { Proxy } from '../bus/proxy.ts'

const PROGRAM = fileURLToPath(new URL('programs/worker.mjs', import.meta.url))
const ABANDONING = fileURLToPath(new URL('programs/abandoning.mjs', import.meta.url))

/** A service as a process of its own. */
class Program implements AsyncDisposable {
  readonly child: ChildProcess
  readonly exited: Promise<number | NodeJS.Signals>
  stdout = ''
  stderr = ''

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.exited = once(this.child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  }

  get told(): string[] {
    return this.stdout.trim().split('\n')
  }

  async until(word: string): Promise<void> {
    await expect.poll(() => this.told, { timeout: 15_000, interval: 10 }).toContain(word)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  test(`${signal} stops a program in good order: it says so, finishes what is in hand, and exits with 0`, async ({
    url,
    probe,
  }) => {
    const name = `polite-${signal.toLowerCase()}`
    const worked = await probe.listen('events', 'Worked')
    await using program = new Program(url, name, 'wait')
    await program.until('ready')
    await probe.event('Work', 1)
    await program.until('begin 1')
    program.child.kill(signal)
    await expect.poll(() => program.stderr).toContain('Shutting down…')
    expect(program.child.exitCode).toBeNull()
    program.child.kill('SIGUSR2')
    expect(await program.exited).toBe(0)
    expect(jsonOf(await worked.next())).toBe(1)
    expect(program.told.at(-1)).toBe('over')
    expect(program.stderr).toMatch(/WARNING +polite-\w+ +Shutting down…/)
    expect(await probe.counts(`${name}.events`)).toEqual({ messages: 0, consumers: 0 })
  })
}

test('a second signal ends a program at once, with 130, and its message comes to another worker', async ({
  url,
  probe,
}) => {
  await using program = new Program(url, 'impatient', 'wait')
  await program.until('ready')
  await probe.event('Work', 1)
  await program.until('begin 1')
  program.child.kill('SIGINT')
  await expect.poll(() => program.stderr).toContain('Shutting down…')
  program.child.kill('SIGINT')
  expect(await program.exited).toBe(130)
  const again = await (await probe.consume('impatient.events')).next()
  expect(again.fields.redelivered).toBe(true)
})

test('a signal ends a program whose broker is away, also while a handler never ends', async ({ url, probe }) => {
  await using proxy = await Proxy.start(Number(new URL(url).port))
  await using program = new Program(proxy.through(url), 'forsaken', 'wait')
  await program.until('ready')
  await probe.event('Work', 1)
  await program.until('begin 1')
  proxy.refuse()
  await expect.poll(() => program.stderr).toContain('connection lost')
  const began = performance.now()
  program.child.kill('SIGTERM')
  expect(await program.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(3000)
})

test('a program ends after its drain time, also while a batch is still being handled', async ({ url, probe }) => {
  await using program = new Program(url, 'hanging', 'batch')
  await program.until('ready')
  await probe.event('Work', 1)
  await program.until('begin 1')
  const began = performance.now()
  program.child.kill('SIGTERM')
  expect(await program.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(4000)
  await expect.poll(() => probe.counts('hanging.events')).toEqual({ messages: 1, consumers: 0 })
})

test('a program that does not end, because something in it is still open, says so', async ({ url }) => {
  await using program = new Program(url, 'lingering', 'open')
  await program.until('ready')
  program.child.kill('SIGTERM')
  await program.until('over')
  await expect
    .poll(() => program.stderr, { timeout: 15_000 })
    .toContain('lingering: has stopped, but its program goes on, because something in it is still open (connections)')
  expect(program.child.exitCode).toBeNull()
  program.child.kill('SIGUSR2')
  expect(await program.exited).toBe(0)
})

test('a program that has failed ends all the same, also if something in it is still open', async ({ url }) => {
  await using program = new Program(url, 'failed', 'open-throw')
  await program.until('over')
  const began = performance.now()
  expect(await program.exited).toBe(1)
  // the broker closes a connection on which nothing is said after ten
  expect(performance.now() - began).toBeLessThan(8_000)
  expect(program.stderr).toContain('something in it is still open (connections)')
})

test('a program waits for a handler that goes on after it acknowledged its message, and for what that publishes', async ({
  url,
  probe,
}) => {
  const worked = await probe.listen('events', 'Worked')
  await using program = new Program(url, 'forward', 'ack-first')
  await program.until('ready')
  await probe.event('Work', 1)
  await program.until('begin 1')
  program.child.kill('SIGTERM')
  expect(await program.exited).toBe(0)
  expect(program.told).toContain('end')
  expect(jsonOf(await worked.next())).toBe(1)
})

test('a handler that never ends keeps no program whose worker was stopped, as it does not keep tests', async ({
  url,
}) => {
  const child = spawn(process.execPath, [ABANDONING, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  let stdout = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
  const [code] = await once(child, 'close')
  clearTimeout(timer)
  expect([code, stdout]).toEqual([0, 'over\n'])
})

test('a program goes on when nobody reads its stderr any more', async ({ url, probe }) => {
  await using program = new Program(url, 'unread', 'noisy')
  await program.until('ready')
  program.child.stderr?.destroy()
  for (const n of [1, 2, 3]) {
    await probe.event('Work', n)
    await program.until(`begin ${n}`)
  }
  program.child.kill('SIGTERM')
  expect(await program.exited).toBe(0)
  expect(program.told.at(-1)).toBe('over')
})

test('a message whose worker was killed is handled by another worker', async ({ url, probe }) => {
  const worked = await probe.listen('events', 'Worked')
  await using victim = new Program(url, 'crew', 'wait')
  await victim.until('ready')
  for (let n = 0; n < 3; n++) await probe.event('Work', n)
  await victim.until('begin 2')
  await using heir = new Program(url, 'crew')
  await heir.until('ready')
  victim.child.kill('SIGKILL')
  for (let n = 0; n < 3; n++) await heir.until(`begin ${n} again`)
  for (let n = 0; n < 3; n++) expect(jsonOf(await worked.next())).toBe(n)
  heir.child.kill('SIGTERM')
  expect(await heir.exited).toBe(0)
  expect(await probe.counts('crew.events')).toEqual({ messages: 0, consumers: 0 })
})

for (const [behaviour, error] of [
  ['throw', 'thrown by nobody'],
  ['reject', 'rejected by nobody'],
] as const) {
  test(`an error that nobody catches (${behaviour}) is an EMERGENCY, and the program stops with 1`, async ({
    url,
    probe,
  }) => {
    const name = `broken-${behaviour}`
    const logs = await probe.logs(`${name}.EMERGENCY`)
    await using program = new Program(url, name, behaviour)
    expect(await program.exited).toBe(1)
    expect(program.told.at(-1)).toBe('over')
    expect(program.stderr).toContain(`unexpected error outside of any handler, and the service stops: ${error}`)
    expect(jsonOf(await logs.next())).toMatchObject({ full_message: expect.stringContaining('worker.mjs') })
  })
}

test('a queue that exists with other arguments ends a program with 78', async ({ url, probe }) => {
  await probe.declareQueue('misfit.events', { durable: true, messageTtl: 60_000 })
  await using program = new Program(url, 'misfit')
  expect(await program.exited).toBe(78)
  expect(program.stderr).toMatch(/EMERGENCY +misfit +queue 'misfit\.events' exists on the broker with other arguments/)
  expect(program.stderr).not.toContain('AMQPClient')
})

test('a program that finds no broker in the time for it ends with 69, and says why', async () => {
  await using program = new Program('amqp://127.0.0.1:1', 'brokerless', 'unavailable')
  expect(await program.exited).toBe(69)
  expect(program.told.at(-1)).toBe('over')
  expect(program.stderr).toMatch(
    /EMERGENCY +brokerless +no broker was found within 1500 ms \(startTimeoutMs\): .*ECONNREFUSED/,
  )
})

test('a wrong setting ends a program with 78 before it connects', async () => {
  await using program = new Program('amqp://nowhere.invalid', 'wrong', 'wrong')
  expect(await program.exited).toBe(78)
  expect(program.stderr).toBe('wrong: prefetch: must be a whole number from 1 to 65535, not -1\n')
})

test('a signal stops a program that is connecting, or waits for its broker', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  await using connecting = new Program(`amqp://127.0.0.1:${port}`, 'connecting')
  await once(silent, 'connection')
  await using waiting = new Program('amqp://127.0.0.1:1', 'waiting')
  await expect.poll(() => waiting.stderr, { timeout: 15_000 }).toContain('ECONNREFUSED')
  const began = performance.now()
  connecting.child.kill('SIGTERM')
  waiting.child.kill('SIGTERM')
  expect(await Promise.all([connecting.exited, waiting.exited])).toEqual([0, 0])
  expect(performance.now() - began).toBeLessThan(2000)
  silent.close()
})
