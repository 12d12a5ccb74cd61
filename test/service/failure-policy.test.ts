/** What becomes of a message whose handler fails, and what is told of it. */
import { CommandError, defineService, onCommand, onEvent } from 'eventail'
import { describe, expect } from 'vitest'
import { jsonOf, type Listening, type Probe, recordOf, test } from '../bus/bus.ts'

/** Level, line and conversation of the next records. */
async function told(logs: Listening, count: number): Promise<unknown[]> {
  const records: unknown[] = []
  for (let n = 0; n < count; n++) {
    const { _levelname, short_message, _conversation_id } = recordOf(await logs.next())
    records.push([_levelname, short_message, _conversation_id])
  }
  return records
}

function failures(probe: Probe, service: string): Promise<Listening> {
  return probe.logs(`${service}.ALERT`, `${service}.EMERGENCY`, `${service}.ERROR`)
}

describe('an unexpected error', () => {
  test('is told with its stack and the conversation, and the message comes once more', async ({ url, probe, dead }) => {
    const redelivered: boolean[] = []
    const unlucky = defineService({
      name: 'unlucky',
      handlers: [
        onEvent('Fail', async ({ metadata }) => {
          redelivered.push(metadata.redelivered)
          await Promise.resolve()
          throw new RangeError('out of luck', { cause: new Error('a black cat') })
        }),
      ],
    })
    const logs = await failures(probe, 'unlucky')
    await using _worker = await unlucky.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Fail')
    expect((await dead.next()).properties.headers).toMatchObject({
      conversation_id: 'c1',
      'x-first-death-exchange': 'events',
      'x-first-death-queue': 'unlucky.events',
      'x-first-death-reason': 'rejected',
    })
    const records = [recordOf(await logs.next()), recordOf(await logs.next()), recordOf(await logs.next())]
    expect(records.map(({ _levelname, short_message }) => [_levelname, short_message])).toEqual([
      ['ALERT', 'unexpected error while handling Fail: out of luck'],
      ['ALERT', 'unexpected error while handling Fail: out of luck'],
      ['EMERGENCY', 'Giving up on Fail'],
    ])
    for (const { _conversation_id, full_message } of records) {
      expect(_conversation_id).toBe('c1')
      expect(full_message).toMatch(/^RangeError: out of luck\n {4}at .*failure-policy\.test\.ts/)
      expect(full_message).toMatch(/caused by: Error: a black cat\n {4}at/)
    }
    expect(redelivered).toEqual([false, true])
  })

  test('the second time round may be a success', async ({ url, probe, dead }) => {
    const calls: boolean[] = []
    const shaky = defineService({
      name: 'shaky',
      handlers: [
        onEvent('Try', ({ metadata: { redelivered } }) => {
          calls.push(redelivered)
          if (!redelivered) throw new Error('not yet')
        }),
      ],
    })
    const logs = await failures(probe, 'shaky')
    await using _worker = await shaky.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.event('Try')
    await expect.poll(() => calls).toEqual([false, true])
    await expect.poll(() => probe.counts('shaky.events')).toEqual({ messages: 0, consumers: 1 })
    expect(await told(logs, 1)).toEqual([['ALERT', 'unexpected error while handling Try: not yet', 'c1']])
    expect([logs.size, dead.size]).toEqual([0, 0])
  })

  test('is final for a message that was delivered before, to whomever', async ({ url, probe, dead }) => {
    let calls = 0
    const late = defineService({
      name: 'late',
      handlers: [
        onEvent('Late', () => {
          calls += 1
          throw new Error('too late')
        }),
      ],
    })
    // a first start leaves the queue behind
    await (await late.start({ urls: [url], stderrLevel: 'NONE' })).stop()
    await probe.event('Late')
    const channel = await probe.channel()
    await expect.poll(() => channel.get('late.events')).not.toBe(false)
    await channel.close()
    const logs = await failures(probe, 'late')
    await using _worker = await late.start({ urls: [url], stderrLevel: 'NONE' })
    await dead.next()
    expect(await told(logs, 2)).toEqual([
      ['ALERT', 'unexpected error while handling Late: too late', 'c1'],
      ['EMERGENCY', 'Giving up on Late', 'c1'],
    ])
    expect(calls).toBe(1)
  })

  test('need not be an Error', async ({ url, probe, dead }) => {
    const things: unknown[] = ['a word', undefined, null, 0, { code: 7 }, Object.create(null), Symbol('sign')]
    const thrower = defineService({
      name: 'thrower',
      prefetch: 1,
      handlers: [
        onEvent('Throw', ({ payload }) => {
          throw things[Number(payload)]
        }),
      ],
    })
    const logs = await failures(probe, 'thrower')
    await using _worker = await thrower.start({ urls: [url], stderrLevel: 'NONE' })
    const shown = ["'a word'", 'undefined', 'null', '0', '{ code: 7 }', '[Object: null prototype] {}', 'Symbol(sign)']
    for (const [index, text] of shown.entries()) {
      await probe.event('Throw', index)
      expect(jsonOf(await dead.next())).toBe(index)
      expect(await told(logs, 3)).toEqual([
        ['ALERT', `unexpected error while handling Throw: ${text}`, 'c1'],
        ['ALERT', `unexpected error while handling Throw: ${text}`, 'c1'],
        ['EMERGENCY', 'Giving up on Throw', 'c1'],
      ])
    }
  })

  test('of one message is nothing to the others', async ({ url, probe, dead }) => {
    const done: unknown[] = []
    const mixed = defineService({
      name: 'mixed',
      handlers: [
        onEvent('Mixed', ({ payload }) => {
          if (payload === 'bad') throw new Error('bad')
          done.push(payload)
        }),
      ],
    })
    await using _worker = await mixed.start({ urls: [url], stderrLevel: 'NONE' })
    for (const payload of [1, 'bad', 2, 'bad', 3]) await probe.event('Mixed', payload)
    await dead.next()
    await dead.next()
    await expect.poll(() => new Set(done)).toEqual(new Set([1, 2, 3]))
    expect(done).toHaveLength(3)
  })
})

describe('a command', () => {
  test('whose handler fails has no result: a bug is no error result', async ({ url, probe, dead }) => {
    const buggy = defineService({
      name: 'buggy',
      handlers: [
        onCommand('Fail', () => {
          throw new TypeError('a bug')
        }),
        onCommand('Work', () => 'done'),
      ],
    })
    const results = await probe.listen('commands', 'probe.Result')
    await using _worker = await buggy.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.command('buggy.Fail')
    expect((await dead.next()).properties).toMatchObject({ replyTo: 'probe.Result', correlationId: 'k1' })
    await probe.command('buggy.Work')
    expect((await results.next()).properties.headers).toMatchObject({ status: 'success' })
    expect(results.size).toBe(0)
  })

  test('whose result cannot be sent is a failure like any other', async ({ url, probe, dead }) => {
    const odd = defineService({
      name: 'odd',
      handlers: [
        onCommand('Return', () => ({ answer: () => 42 })),
        onCommand('Throw', () => {
          throw new CommandError({ when: new Date() })
        }),
      ],
    })
    const logs = await failures(probe, 'odd')
    await using _worker = await odd.start({ urls: [url], stderrLevel: 'NONE' })
    for (const key of ['odd.Return', 'odd.Throw']) {
      await probe.command(key)
      expect((await dead.next()).fields.routingKey).toBe(key)
      expect(await told(logs, 3)).toEqual([
        ['ALERT', expect.stringContaining(`unexpected error while handling ${key}: `), 'c1'],
        ['ALERT', expect.stringContaining(`unexpected error while handling ${key}: `), 'c1'],
        ['EMERGENCY', `Giving up on ${key}`, 'c1'],
      ])
    }
  })

  test('that was answered by hand before its handler failed is not answered twice', async ({ url, probe, dead }) => {
    const hasty = defineService({
      name: 'hasty',
      format: 'json',
      handlers: [
        onCommand('Answer', async ({ success }) => {
          await success('early')
          throw new CommandError('too late')
        }),
      ],
    })
    const results = await probe.listen('commands', 'probe.Result')
    await using _worker = await hasty.start({ urls: [url], stderrLevel: 'NONE' })
    await probe.command('hasty.Answer')
    await dead.next()
    expect([jsonOf(await results.next()), jsonOf(await results.next())]).toEqual(['early', 'early'])
    expect(results.size).toBe(0)
  })
})

test('a CommandError is an unexpected error where there is no command to answer', async ({ url, probe, dead }) => {
  const confused = defineService({
    name: 'confused',
    handlers: [
      onEvent('Confuse', () => {
        throw new CommandError('nobody asked')
      }),
    ],
  })
  const logs = await failures(probe, 'confused')
  await using _worker = await confused.start({ urls: [url], stderrLevel: 'NONE' })
  await probe.event('Confuse')
  await dead.next()
  expect((await told(logs, 3)).at(-1)).toEqual(['EMERGENCY', 'Giving up on Confuse', 'c1'])
})
