/** A service with a health server on a free port, which it prints. */
import { defineService, onEvent } from 'eventail'
import { startHealthServer } from 'eventail/health'

const health = await startHealthServer({ port: 0 })
process.stdout.write(`ready: ${health.url}\n`)
await defineService({ name: 'watched-program', handlers: [onEvent('Any', () => {})] }).run({ health })
