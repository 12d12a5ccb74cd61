/** How much a client can make the development broker keep, whatever it says and does not say. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import amqp, { type ConfirmChannel } from 'amqplib'
import { afterEach, expect, test } from 'vitest'
import { DevBroker, type DevBrokerOptions } from '../../src/broker/dev-broker.ts'
import {
  BODY,
  field,
  frame,
  HEADER,
  HEARTBEAT,
  headers,
  long,
  method,
  publish,
  short,
  u16,
  u32,
  u64,
  u8,
} from '../conformance/hostile/bytes.ts'
import { RawClient } from '../conformance/hostile/raw-client.ts'

const MEGABYTE = 1_024 * 1_024
const MANY = 80
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const open: (() => unknown)[] = []

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

async function started(options?: DevBrokerOptions): Promise<{ broker: DevBroker; raw: RawClient }> {
  const broker = await DevBroker.start(options)
  open.push(() => broker.close())
  const raw = new RawClient(broker)
  open.push(() => raw.close())
  await raw.open({ vhost: '/' })
  return { broker, raw }
}

/** What this process holds, the client's own buffers included. */
function held(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers
}

/** Waits until the broker has done all that it was told. */
async function done(raw: RawClient, channel = 77): Promise<void> {
  raw.send(method(channel, 20, 10, short('')))
  await heard(raw, `channel.open-ok on ${channel}`)
}

/** Waits until the broker has said this so often. */
async function heard(raw: RawClient, what: string, times = 1): Promise<void> {
  for (let count = 0; count < times;) {
    const said = await raw.next()
    if (said === 'the end' || said === 'nothing')
      throw new Error(`the broker said '${what}' ${count} times, then ${said}`)
    if (said === what) count += 1
  }
}

test('what is announced takes nothing before it comes', async () => {
  const { raw } = await started()
  const before = held()
  for (let channel = 2; channel <= 400; channel++) {
    const header = frame(HEADER, channel, u16(60), u16(0), u64(134_217_728n), u16(0))
    raw.send(method(channel, 20, 10, short('')), publish(channel), header, frame(BODY, channel, Buffer.alloc(1_000)))
  }
  await done(raw, 401)
  await expect.poll(() => held() - before).toBeLessThan(8 * MEGABYTE)
})

test('a body of many small frames takes no more than a body of large ones', async () => {
  const { raw } = await started()
  const before = held()
  raw.send(publish(), frame(HEADER, 1, u16(60), u16(0), u64(1_000_000n), u16(0)))
  const frames = Buffer.concat(Array.from({ length: 10_000 }, () => frame(BODY, 1, u8(1))))
  const empty = Buffer.concat(Array.from({ length: 10_000 }, () => frame(BODY, 1)))
  for (let count = 0; count < 10; count++) raw.send(frames, empty)
  await done(raw)
  await expect.poll(() => held() - before).toBeLessThan(4 * MEGABYTE)
})

test('what is more than was announced is not kept', async () => {
  const { raw } = await started()
  raw.send(publish(), frame(HEADER, 1, u16(60), u16(0), u64(1n), u16(0)))
  const before = held()
  for (let count = 0; count < 32; count++) {
    for (let part = 0; part < 8; part++) raw.send(frame(BODY, 1, Buffer.alloc(MEGABYTE / 8)))
    await done(raw, 100 + count)
  }
  await expect.poll(() => held() - before).toBeLessThan(8 * MEGABYTE)
})

test('bodies that never end count as messages do, and are forgotten with their connection', async () => {
  const { broker, raw } = await started({ memoryLimitBytes: 4 * MEGABYTE })
  const connection = await amqp.connect(broker.url)
  open.push(() => connection.close())
  const channel = await connection.createChannel()
  const numbers = Array.from({ length: 200 }, (_, index) => index + 2)
  for (const number of numbers) {
    const header = frame(HEADER, number, u16(60), u16(0), u64(134_217_728n), u16(0))
    raw.send(method(number, 20, 10, short('')), publish(number), header)
  }
  await heard(raw, 'channel.open-ok on 201')
  const before = held()
  for (const number of numbers) raw.send(frame(BODY, number, Buffer.alloc(MEGABYTE / 8)))
  await expect.poll(() => broker.memoryAlarm).toBe(true)
  expect(await channel.assertQueue('')).toMatchObject({ messageCount: 0 })
  raw.close()
  await expect.poll(() => held() - before).toBeLessThan(8 * MEGABYTE)
  await expect.poll(() => broker.memoryAlarm).toBe(false)
})

test('headers of messages that never end count as messages do, and are forgotten with their connection', async () => {
  const { broker, raw } = await started({ memoryLimitBytes: 4 * MEGABYTE })
  const properties = headers(field('a', 'S', long(Buffer.alloc(100_000))))
  for (let number = 2; number <= 100; number++) {
    const header = frame(HEADER, number, u16(60), u16(0), u64(1n), properties)
    raw.send(method(number, 20, 10, short('')), publish(number), header)
  }
  await expect.poll(() => broker.memoryAlarm).toBe(true)
  raw.close()
  await expect.poll(() => broker.memoryAlarm).toBe(false)
})

/** A channel of a broker whose queue 'many' holds that many messages of a megabyte. */
async function filled(broker: DevBroker): Promise<ConfirmChannel> {
  const connection = await amqp.connect(broker.url)
  open.push(() => connection.close())
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('many')
  for (let count = 0; count < MANY; count++) channel.sendToQueue('many', Buffer.alloc(MEGABYTE))
  await channel.waitForConfirms()
  return channel
}

test('who does not read is not listened to, and gets all when it reads again', async () => {
  const { broker, raw } = await started()
  const channel = await filled(broker)
  const before = held()
  raw.deafen()
  const get = method(1, 60, 70, u16(0), short('many'), u8(1))
  raw.send(Buffer.concat(Array.from({ length: MANY }, () => get)))
  await expect.poll(async () => (await channel.checkQueue('many')).messageCount).toBeLessThan(MANY)
  // what the broker has written, and what the system keeps for a client that does not read
  await expect.poll(() => held() - before).toBeLessThan(32 * MEGABYTE)
  expect((await channel.checkQueue('many')).messageCount).toBeGreaterThan(MANY / 2)
  raw.hearAgain()
  await heard(raw, 'basic.get-ok on 1', MANY)
  expect((await channel.checkQueue('many')).messageCount).toBe(0)
})

test('who reads slowly is not taken for dead, because nobody listens to it meanwhile', async () => {
  const { broker } = await started()
  await filled(broker)
  const slow = new RawClient(broker)
  open.push(() => slow.close())
  await slow.open({ vhost: '/', heartbeat: 1 })
  slow.deafen()
  const get = method(1, 60, 70, u16(0), short('many'), u8(1))
  slow.send(Buffer.concat(Array.from({ length: MANY }, () => get)))
  const beats = setInterval(() => slow.send(frame(HEARTBEAT, 0)), 250)
  open.push(() => clearInterval(beats))
  // longer than one may say nothing
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  slow.hearAgain()
  await heard(slow, 'basic.get-ok on 1', MANY)
})

test('a consumer without a limit that does not read gets no more than it can read', async () => {
  const { broker, raw } = await started()
  const channel = await filled(broker)
  const before = held()
  raw.deafen()
  raw.send(method(1, 60, 20, u16(0), short('many'), short('c'), u8(2), u32(0)))
  await expect.poll(async () => (await channel.checkQueue('many')).messageCount).toBeLessThan(MANY)
  await expect.poll(() => held() - before).toBeLessThan(16 * MEGABYTE)
  expect((await channel.checkQueue('many')).messageCount).toBeGreaterThan(MANY / 2)
  raw.hearAgain()
  await heard(raw, 'basic.deliver on 1', MANY)
})
