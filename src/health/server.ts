/**
 * The health server: `/healthz`, `/readyz` and `/metrics` of the services of one program, by HTTP, for those who ask to begin with.
 *
 * It only ever reads, holds no secret, and does not keep the program alive.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { InvalidSettingError } from '../errors.ts'
import { toJson } from '../observe/body.ts'
import { checkBoolean, checkOptions, checkWhole, describe } from '../options.ts'
import type { HealthObserver, ObservedWorker, WorkerEvents } from '../service/observer.ts'
import { Metrics } from './metrics.ts'
import { Workers } from './report.ts'

export interface HealthServerOptions {
  /** 0 for any that is free. */
  readonly port: number
  /** The address to listen on; `'0.0.0.0'` or `'::'` for all, as a container needs it. @default '127.0.0.1' */
  readonly host?: string
  /**
   * Whether `/metrics` tells numbers for Prometheus, which needs the package `prom-client`. What the program has registered there
   * itself (`collectDefaultMetrics()`, metrics of its own) is told with them.
   * @default false
   */
  readonly metrics?: boolean
}

/** A server that listens: give it to `start` or `run` of any number of services, as `health`. */
export interface HealthServer extends HealthObserver, AsyncDisposable {
  /** As in `http://127.0.0.1:9000`. */
  readonly url: string
  /** Stops listening, and cuts connections that are open. May be called again. */
  readonly close: () => Promise<void>
}

/** How long a client may take to send its request, or to send nothing. */
const REQUEST_MS = 5_000

interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

/**
 * Begins to listen.
 *
 * - `/healthz`: 200 while no worker has stopped, else 503: the program may be started again
 * - `/readyz`: 200 when every worker is ready, else 503; both with a JSON object `{ isLive, isReady, problems, services }`
 * - `/metrics`: in the text format of Prometheus, where it was asked for
 *
 * @throws InvalidSettingError, also when the port is taken, or `prom-client` is not installed
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  checkOptions('health server', options, ['port', 'host', 'metrics'])
  const { port, host = '127.0.0.1', metrics: wantsMetrics = false } = options
  checkWhole('port', port, 0, 65_535)
  if (typeof host !== 'string' || host === '')
    throw new InvalidSettingError('host', `must be an address to listen on, not ${describe(host)}`)
  checkBoolean('metrics', wantsMetrics)
  const workers = new Workers()
  const metrics = wantsMetrics ? await Metrics.load(workers) : undefined
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, keepAliveTimeout: REQUEST_MS },
    (request, response) => void respond(request, response, workers, metrics),
  )
  server.on('connection', (socket) => socket.unref())
  await listen(server, port, host)
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  return {
    url: urlOf(server),
    watch: (worker) => watch(worker, workers, metrics),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function watch(worker: ObservedWorker, workers: Workers, metrics: Metrics | undefined): WorkerEvents {
  workers.begin(worker)
  const events = metrics?.watch(worker)
  return {
    ...events,
    stopped: () => {
      workers.end(worker)
      events?.stopped?.()
    },
  }
}

/** @throws InvalidSettingError when nothing can listen there */
async function listen(server: Server, port: number, host: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
  } catch (error) {
    throw unableToListen(error as NodeJS.ErrnoException, port, host)
  }
  // only now: until then nothing else may keep the program alive
  server.unref()
  server.on('error', () => {})
}

function unableToListen(error: NodeJS.ErrnoException, port: number, host: string): InvalidSettingError {
  const at = `the health server cannot listen on port ${port} of '${host}'`
  const options = { cause: error }
  if (error.code === 'EADDRINUSE')
    return new InvalidSettingError(
      'port',
      `${at}: another program does; choose another port, or 0 for a free one`,
      options,
    )
  if (error.code === 'EACCES')
    return new InvalidSettingError('port', `${at}: this user may not; choose one of 1024 or more`, options)
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN')
    return new InvalidSettingError('host', `${at}: this machine has no such address; '0.0.0.0' stands for all`, options)
  return new InvalidSettingError('port', `${at}: ${error.message}`, options)
}

function urlOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** Never throws. */
async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  workers: Workers,
  metrics: Metrics | undefined,
): Promise<void> {
  // whoever asked may go away
  response.on('error', () => {})
  const { status, type, text } = await answerTo(request, workers, metrics)
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET' } : undefined),
  })
  response.end(text)
}

async function answerTo(
  { method, url = '' }: IncomingMessage,
  workers: Workers,
  metrics: Metrics | undefined,
): Promise<Answer> {
  const path = url.split('?', 1)[0]
  if (path === '/healthz' || path === '/readyz' || path === '/metrics') {
    if (method !== 'GET') return plain(405, 'only GET')
    if (path === '/metrics') return metricsAnswer(metrics)
    const report = workers.report()
    const isWell = path === '/healthz' ? report.isLive : report.isReady
    return { status: isWell ? 200 : 503, type: 'application/json', text: `${toJson(report)}\n` }
  }
  return plain(404, 'there are /healthz, /readyz and /metrics')
}

async function metricsAnswer(metrics: Metrics | undefined): Promise<Answer> {
  if (metrics === undefined) return plain(404, 'metrics are off: startHealthServer({ metrics: true }) turns them on')
  try {
    return { status: 200, type: metrics.contentType, text: await metrics.text() }
  } catch {
    // one that the program registered itself
    return plain(500, 'a metric could not be collected')
  }
}

function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', text: `${text}\n` }
}
