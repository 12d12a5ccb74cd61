/** The public API of `eventail/health`: what operators and orchestrators ask a program by HTTP. */
export { type HealthServer, type HealthServerOptions, startHealthServer } from './server.ts'
