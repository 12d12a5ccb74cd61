/**
 * A service with a crash guard, and a handler that takes its process down when the payload says so: `node deadly.mjs URL REDIS_URL`,
 * with the built package. It tells on stdout what it tries.
 */
import { defineService, onEvent } from 'eventail'
import { createTempStore } from 'eventail/store'

const [url = '', redis = ''] = process.argv.slice(2)
const store = createTempStore({ namespace: 'deadly:', url: redis })

const service = defineService({
  name: 'deadly',
  format: 'json',
  crashGuard: { store, maxRedeliveries: 2 },
  handlers: [
    onEvent('Deadly', ({ payload }) => {
      process.stdout.write(`${String(payload)}\n`)
      if (payload === 'kill') process.kill(process.pid, 'SIGKILL')
    }),
  ],
})

await service.run({ urls: [url] })
await store.close()
