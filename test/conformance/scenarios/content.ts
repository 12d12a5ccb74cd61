/** Bodies and properties arrive as they were sent. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'
import type { Properties } from '../vocabulary.ts'

const FIVE_MEGABYTES = 5 * 1024 * 1024

/** A text that no two frames of which are alike. */
function longText(length: number): string {
  let text = ''
  for (let number = 0; text.length < length; number++) text += `${number * 7919},`
  return text.slice(0, length)
}

export const content: readonly Scenario[] = [
  {
    title: 'all properties arrive as they were sent',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      const properties: Properties = {
        content_type: 'text/plain',
        content_encoding: 'utf-8',
        delivery_mode: 2,
        priority: 7,
        correlation_id: 'correlation',
        reply_to: 'reply',
        expiration: '100000',
        message_id: 'message',
        timestamp: 1_600_000_000,
        type: 'a type',
        user_id: 'guest',
        app_id: 'an app',
        headers: {
          text: 'ünïcödé ✓',
          empty: '',
          number: 5,
          negative: -5,
          big: 5_000_000_000,
          yes: true,
          no: false,
          nothing: null,
          at: { '!timestamp': 1_600_000_000 },
          bytes: { '!bytes': 'AAH/' },
          list: [1, 'two', [3], { four: 4 }, null],
          table: { deep: { deeper: { deepest: true } } },
          none: {},
          'a name with spaces': 1,
        },
      }
      await channel.send(queue, 'body ✓', properties)
      await channel.confirmed()
      expect(await channel.do('basic.get', { queue, no_ack: true })).toMatchObject({ body: 'body ✓', properties })
    },
  },
  {
    title: 'a message without properties arrives without',
    play: async (stage) => {
      const channel = await stage.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.send(queue, '')
      await channel.confirmed()
      const got = await channel.do('basic.get', { queue, no_ack: true })
      expect(got.body).toBe('')
      expect(got.properties).not.toHaveProperty('delivery_mode')
    },
  },
  {
    title: 'a publisher cannot say that it is another user',
    play: async (stage) => {
      const link = await stage.connect()
      const queue = await (await link.channel()).declare(stage.name('q'))
      const text = `PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'`
      await link.refused('basic.publish', { routing_key: queue, properties: { user_id: 'somebody' } }, 406, text)
    },
  },
  {
    title: 'a body of 5 MB arrives whole through frames of every size',
    play: async (stage) => {
      const body = longText(FIVE_MEGABYTES)
      const queue = stage.name('q')
      await (await stage.channel()).declare(queue)
      for (const [sends, takes] of [
        [4096, 131_072],
        [131_072, 10_000],
      ] as const) {
        const sender = await (await stage.connect({ frameMax: sends })).channel({ confirm: true })
        const taker = await (await stage.connect({ frameMax: takes })).channel()
        await taker.do('basic.consume', { queue, consumer_tag: 'c' })
        await sender.send(queue, body)
        expect(await sender.confirmed()).toEqual([])
        const [arrived] = await taker.bodies(1)
        expect(arrived).toMatch(new RegExp(`^<${FIVE_MEGABYTES} bytes, `))
        await taker.do('basic.ack', { delivery_tag: 1 })
        await taker.do('basic.cancel', { consumer_tag: 'c' })
      }
    },
  },
  {
    title: 'bodies that just fit into a frame, and one byte more, arrive whole',
    play: async (stage) => {
      const channel = await (await stage.connect({ frameMax: 4096 })).channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      const sizes = [1, 4087, 4088, 4089, 8176, 8177, 40_880]
      for (const size of sizes) await channel.send(queue, longText(size))
      await channel.confirmed()
      await channel.do('basic.consume', { queue, consumer_tag: 'c', no_ack: true })
      const arrived = await channel.bodies(sizes.length)
      expect(arrived.map((body) => /^<(\d+) bytes/.exec(body)?.[1] ?? String(body.length))).toEqual(sizes.map(String))
    },
  },
]
