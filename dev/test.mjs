// `npm test`: sets the project up, then runs the tests. Arguments go to vitest: `npm test -- test/service -t 'stops'`.
// `npm run test:chaos` does the same with the slow suite: its first argument is `chaos`.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { checkNode, ensureDebian, ensurePackages, root, runMain } from './setup.mjs'

const isChaos = process.argv[2] === 'chaos'
const args = isChaos ? ['--config', 'vitest.chaos.config.ts', ...process.argv.slice(3)] : process.argv.slice(2)

await runMain(async () => {
  checkNode()
  await ensurePackages()
  await ensureDebian(['python3-pika', 'python3-cbor2', 'python3-redis', 'redis-server', 'openssl'])
  if (isChaos) await ensureDebian(['rabbitmq-server', 'iproute2', 'faketime'])
  if ((process.env['EVENTAIL_AMQP_URL'] ?? '') === '') await ensureDebian(['rabbitmq-server'])
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const child = spawn(process.execPath, [vitest, 'run', ...args], { cwd: root, stdio: 'inherit' })
  // a Ctrl-C reaches vitest as well: it ends, and the broker with it
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(code ?? 1))
  })
})
