/** Who may connect, what is agreed on then, and what ends a connection. */
import { expect } from 'vitest'
import type { Scenario } from '../stage.ts'

export const connections: readonly Scenario[] = [
  {
    title: 'a wrong password, or a user that there is not, is refused',
    play: async (stage) => {
      for (const user of ['guest:wrong', 'nobody:guest']) {
        const url = stage.broker.url.replace(/^amqp:\/\/(?:[^@]*@)?/, `amqp://${user}@`)
        const text =
          'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.'
        await stage.connectInVain({ url }, { code: 403, text })
      }
    },
  },
  {
    title: 'a virtual host that does not exist is refused',
    only: 'pika', // amqplib does not tell why
    play: async (stage) => {
      const url = new URL(stage.broker.url)
      url.pathname = '/nowhere'
      await stage.connectInVain({ url: url.href }, { code: 530, text: 'NOT_ALLOWED - vhost nowhere not found' })
    },
  },
  {
    title: 'channels are numbered to the limit that both agree on',
    play: async (stage) => {
      const link = await stage.connect({ channelMax: 3 })
      for (let count = 1; count <= 3; count++) await link.channel()
    },
  },
  {
    title: 'a closed channel can be opened again, with nothing of the old one',
    play: async (stage) => {
      const link = await stage.connect()
      const channel = await link.channel({ confirm: true })
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c' })
      await channel.send(queue, '1')
      await channel.confirmed()
      await channel.bodies(1)
      await channel.refused('queue.declare', { queue: stage.name('none'), passive: true }, 404, /^NOT_FOUND/)
      const again = await link.channel({ confirm: true })
      await again.until(queue, 1)
      await again.do('basic.consume', { queue, consumer_tag: 'c' })
      expect(await again.next('basic.deliver')).toMatchObject({ delivery_tag: 1, redelivered: true })
      await again.send(queue, '2')
      expect(await again.confirmed()).toEqual([])
    },
  },
  {
    title: 'other channels go on when one is closed for a mistake',
    play: async (stage) => {
      const link = await stage.connect()
      const [channel, other] = [await link.channel(), await link.channel()]
      const queue = await channel.declare(stage.name('q'))
      await channel.do('basic.consume', { queue, consumer_tag: 'c', no_ack: true })
      await other.refused('basic.ack', { delivery_tag: 7 }, 406, 'PRECONDITION_FAILED - unknown delivery tag 7')
      await channel.send(queue, 'still here')
      expect(await channel.bodies(1)).toEqual(['still here'])
    },
  },
  {
    title: 'a connection goes on while another is cut off',
    play: async (stage) => {
      const [lost, link] = [await stage.connect(), await stage.connect()]
      const channel = await link.channel()
      await (await lost.channel()).declare(stage.name('other'))
      await lost.drop()
      const queue = await channel.declare(stage.name('q'))
      await channel.send(queue, 'still here')
      await channel.until(queue, 1)
      expect(await channel.counts(stage.name('other'))).toEqual([0, 0])
    },
  },
]
