/** What the development broker is beyond AMQP: how it starts, whom it lets in, its policies, its end. */
import amqp from 'amqplib'
import { afterEach, expect, test } from 'vitest'
import { DevBroker, type DevBrokerOptions } from '../../src/broker/dev-broker.ts'

const brokers: DevBroker[] = []

async function started(options?: DevBrokerOptions): Promise<DevBroker> {
  const broker = await DevBroker.start(options)
  brokers.push(broker)
  return broker
}

afterEach(async () => {
  for (const broker of brokers.splice(0)) await broker.close()
})

test('it listens on the loopback address alone', async () => {
  const broker = await started()
  expect(broker.url).toBe(`amqp://guest:guest@127.0.0.1:${broker.port}`)
})

test('a port that is taken is named', async () => {
  const { port } = await started()
  await expect(DevBroker.start({ port })).rejects.toThrow(new RegExp(`port: ${port} of 127.0.0.1 cannot be used`))
})

test('a wrong password is refused as RabbitMQ does it', async () => {
  const { port } = await started()
  await expect(amqp.connect(`amqp://guest:wrong@127.0.0.1:${port}`)).rejects.toThrow(/403 \(ACCESS-REFUSED\)/)
})

test('what is dead-lettered by a policy says of what it died', async () => {
  const broker = await started()
  broker.setPolicy({ name: 'dlx', pattern: '^work$', definition: { 'dead-letter-exchange': 'amq.fanout' } })
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('work')
  await channel.assertQueue('dead')
  await channel.bindQueue('dead', 'amq.fanout', '')
  channel.sendToQueue('work', Buffer.from('one'))
  await channel.waitForConfirms()
  const message = await channel.get('work')
  if (message === false) throw new Error('nothing came')
  channel.reject(message, false)
  await expect
    .poll(async () => channel.get('dead'))
    .toMatchObject({
      content: Buffer.from('one'),
      properties: { headers: { 'x-first-death-reason': 'rejected', 'x-death': [{ queue: 'work', count: 1 }] } },
    })
  await connection.close()
})

test('deaths that were counted as far as a number goes are counted on as RabbitMQ does it', async () => {
  const broker = await started()
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('dead')
  await channel.bindQueue('dead', 'amq.fanout', '')
  await channel.assertQueue('work', { arguments: { 'x-dead-letter-exchange': 'amq.fanout' } })
  const count = { '!': 'int64', value: 2n ** 63n - 1n }
  const headers = { 'x-death': [{ queue: 'work', reason: 'expired', count }] }
  // it dies by a timer, where nobody could be told of an error
  channel.sendToQueue('work', Buffer.from('one'), { headers, expiration: '10' })
  await channel.waitForConfirms()
  await expect
    .poll(async () => channel.get('dead'))
    .toMatchObject({ properties: { headers: { 'x-death': [{ queue: 'work', count: -(2 ** 63) }] } } })
  await connection.close()
})

test('a queue that may stay unused for a month is there for more than a moment', async () => {
  const broker = await started()
  const connection = await amqp.connect(broker.url)
  const channel = await connection.createChannel()
  await channel.assertQueue('kept', { expires: 30 * 86_400_000 })
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await channel.checkQueue('kept')).toMatchObject({ queue: 'kept' })
  await connection.close()
})

test.each([
  ['that it does not know', { 'ha-mode': 'all' }, /policy 'one': 'ha-mode' is not implemented; known are message-ttl/],
  ['of an overflow that there is not', { overflow: 'drop' }, /'overflow' must be 'drop-head', 'reject-publish' or/],
  ['of a length below zero', { 'max-length': -1 }, /'max-length' must be a whole number from 0 on/],
  ['of a part of a millisecond', { 'message-ttl': 0.5 }, /'message-ttl' must be a whole number from 0 on/],
  ['of no time at all', { expires: 0 }, /'expires' must be a whole number from 1 on/],
  ['of a mode that there is not', { 'queue-mode': 'eager' }, /'queue-mode' must be 'default' or 'lazy'/],
  ['of an exchange that is no name', { 'dead-letter-exchange': 5 }, /'dead-letter-exchange' must be a string/],
  ['that says nothing', {}, /policy 'one': it says nothing/],
])('a policy %s is refused', async (_what, definition, problem) => {
  const broker = await started()
  expect(() => broker.setPolicy({ name: 'one', pattern: '', definition })).toThrow(problem)
  expect(broker.vhosts()[0]?.policies()).toEqual([])
})

test.each(['\\Aone', '^\\Qa.b\\E$', '\\p{Lu}', '[[:alpha:]]', '(?i)one', 'a++'])(
  'the pattern %s, which RabbitMQ understands and it does not, is refused',
  async (pattern) => {
    const broker = await started()
    expect(() => broker.setPolicy({ name: 'one', pattern, definition: { 'max-length': 1 } })).toThrow(
      /regular|not impl/,
    )
  },
)

test('when it ends, its clients are told', async () => {
  const broker = await started()
  const connection = await amqp.connect(broker.url)
  const closed = new Promise<unknown>((resolve) => connection.on('close', resolve))
  await broker.close()
  expect(String(await closed)).toContain(`CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'`)
})
