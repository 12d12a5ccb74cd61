/**
 * A service that a test runs as a program of its own: `node --import tsx worker.ts URL NAME [BEHAVIOUR]`.
 *
 * It tells on stdout, one word a line, what happens; SIGUSR2 ends the handlers that wait.
 */
import { defineService, onEvent } from '../../../src/index.ts'

const [url = '', name = '', behaviour = ''] = process.argv.slice(2)

const tell = (word: string): void => void process.stdout.write(`${word}\n`)
const released = new Promise<void>((resolve) => process.once('SIGUSR2', () => resolve()))

const service = defineService({
  name,
  format: 'json',
  handlers: [
    onEvent('Work', async ({ payload, metadata, publish, log }) => {
      tell(`begin ${String(payload)}${metadata.redelivered ? ' again' : ''}`)
      if (behaviour === 'noisy') log.warning('working')
      if (behaviour === 'wait') await released
      await publish('Worked', payload)
    }),
  ],
  hooks: {
    onReady: () => {
      tell('ready')
      if (behaviour === 'throw') {
        setTimeout(() => {
          throw new Error('thrown by nobody')
        }, 10)
      }
      if (behaviour === 'reject') void Promise.reject(new Error('rejected by nobody'))
    },
  },
})

await service.run({ urls: [url], connectTimeoutMs: 60_000, ...(behaviour === 'wrong' ? { prefetch: -1 } : undefined) })
tell('over')
