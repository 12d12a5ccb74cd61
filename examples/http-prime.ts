/**
 * A web server that asks `prime` for each request, `GET /prime/17`: an endpoint calls commands, and awaits their results.
 * Run it: `npx tsx examples/http-prime.ts [URL…]`, with `prime` beside it; it listens on the port of $PORT, or on a free one.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CallTimeoutError, CommandError, Endpoint, UnroutableError } from 'eventail'
import { brokers } from './arguments.ts'
import { CheckPrime } from './contracts.ts'

const endpoint = new Endpoint({ name: 'http_prime', ...brokers() })

/** Status and body of the answer. */
async function answer(path: string): Promise<[number, object]> {
  const number = Number(/^\/prime\/(-?\d+)$/.exec(path)?.[1])
  if (!Number.isSafeInteger(number)) return [404, { problem: 'ask for /prime/NUMBER' }]
  try {
    return [200, await endpoint.call(CheckPrime, { number }, { timeoutMs: 5_000 })]
  } catch (error) {
    if (error instanceof CommandError) return [422, { problem: error.payload }]
    if (error instanceof UnroutableError || error instanceof CallTimeoutError) return [503, { problem: error.message }]
    throw error
  }
}

const server = createServer((request, response) => {
  answer(request.url ?? '').then(
    ([status, body]) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    (error: unknown) => {
      endpoint.log.error('a request failed', { full: String(error) })
      response.writeHead(500).end()
    },
  )
})
server.listen(Number(process.env['PORT'] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`ready: http://127.0.0.1:${(server.address() as AddressInfo).port}/prime/17\n`)
})

process.once('SIGTERM', () => {
  server.close()
  void endpoint.close()
})
