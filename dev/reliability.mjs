// `npm run test:headline`, `npm run test:soak`: sets the project up, builds the package, and runs one of the long programs of
// test/reliability with the arguments given.
import { join } from 'node:path'
import { checkNode, ensureDebian, ensurePackages, runInherited, runMain } from './setup.mjs'

const [program = '', ...args] = process.argv.slice(2)

await runMain(async () => {
  checkNode()
  await ensurePackages()
  await ensureDebian(['rabbitmq-server', 'redis-server', 'python3-pika', 'python3-cbor2'])
  const built = await runInherited('npm', ['run', '--silent', 'build'])
  if (built !== 0) return built
  const script = join('test', 'reliability', `${program}.ts`)
  return runInherited(process.execPath, ['--import', 'tsx', script, ...args])
})
