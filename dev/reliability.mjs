// `npm run test:headline`, `npm run test:soak`: sets the project up, builds the package, and runs one of the long programs of
// test/reliability with the arguments given.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { checkNode, ensureDebian, ensurePackages, root, runMain } from './setup.mjs'

const [program = '', ...args] = process.argv.slice(2)

/** @param {string} command @param {readonly string[]} parameters @returns {Promise<number>} */
function run(command, parameters) {
  const child = spawn(command, parameters, { cwd: root, stdio: 'inherit' })
  // a Ctrl-C reaches it as well: it ends, and what it started with it
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(code ?? 1))
  })
}

await runMain(async () => {
  checkNode()
  await ensurePackages()
  await ensureDebian(['rabbitmq-server', 'redis-server', 'python3-pika', 'python3-cbor2'])
  const built = await run('npm', ['run', '--silent', 'build'])
  if (built !== 0) return built
  const script = join('test', 'reliability', `${program}.ts`)
  return run(process.execPath, ['--import', 'tsx', script, ...args])
})
