/** The toolkit itself, as users write it. */
import { callForAWhile, logAll, Progress, publishAll, released, say, task } from './contender.mjs'
import { payloadOf } from './payload.mjs'

const began = performance.now()
const { defineService, Endpoint, onCommand, onEvent } = await import('eventail')
const importMs = performance.now() - began

const settings = /** @type {const} */ ({ urls: [task.url], stderrLevel: 'WARNING' })
const payload = payloadOf(task.size)

/** @type {(() => Promise<unknown>)[]} */
const ends = []

/** @param {import('eventail').Handler[]} handlers */
async function serve(handlers, prefetch = task.prefetch) {
  const worker = await defineService({ name: 'bench', prefetch, handlers }).start(settings)
  ends.push(() => worker.stop())
}

function openEndpoint() {
  const endpoint = new Endpoint({ name: 'client', ...settings })
  ends.push(() => endpoint.close())
  return endpoint
}

switch (task.scenario) {
  case 'publish': {
    const endpoint = openEndpoint()
    await publishAll(() => endpoint.publish('Job', payload))
    break
  }
  case 'consume': {
    const progress = new Progress()
    await serve([onEvent('Job', () => progress.done())])
    await progress.finished
    break
  }
  case 'pipeline': {
    const progress = new Progress()
    await serve([
      onEvent('Job', async ({ payload, publish }) => {
        await publish('Done', payload)
        progress.done()
      }),
    ])
    await progress.finished
    break
  }
  case 'command': {
    await serve([onCommand('bench.Echo', ({ payload }) => payload)])
    const endpoint = openEndpoint()
    await callForAWhile(() => endpoint.call('bench.Echo', payload))
    break
  }
  case 'heavy': {
    const body = Buffer.alloc(task.size, 1)
    const progress = new Progress()
    await serve([onEvent('Heavy', () => progress.done())], 1)
    const endpoint = openEndpoint()
    for (let n = 0; n < task.warmup + task.messages; n++) await endpoint.publish('Heavy', body)
    await progress.finished
    break
  }
  case 'log': {
    const endpoint = openEndpoint()
    // records are no reason to wait, and more than a thousand are not kept: it connects first
    await endpoint.publish('Started', null)
    await logAll(
      () => endpoint.log.info('something happened', undefined, { count: 1, name: 'Ada' }),
      () => endpoint.close(),
    )
    break
  }
  case 'start': {
    say('begin')
    await serve([onEvent('Job', () => {})])
    say('end', { importMs, startMs: performance.now() - began })
    break
  }
}
await released()
for (const end of ends) await end()
