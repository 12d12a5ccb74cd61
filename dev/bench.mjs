// `npm run bench`, `npm run bench:scale`: sets the project and its bench up, builds the package, and runs the program of bench/ with the
// arguments given.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkNode, ensureDebian, ensurePackages, root, runInherited, runMain, say } from './setup.mjs'

const bench = join(root, 'bench')
const [program = '', ...args] = process.argv.slice(2)

await runMain(async () => {
  checkNode()
  await ensurePackages()
  await ensureDebian(['rabbitmq-server'])
  if (!existsSync(join(bench, 'node_modules', 'rascal'))) {
    say('installing what the toolkit is measured against…')
    // none of them needs a script of its own to run
    const installed = await runInherited('npm', [
      'ci',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      '--prefix',
      bench,
    ])
    if (installed !== 0) return installed
  }
  const built = await runInherited('npm', ['run', '--silent', 'build'])
  if (built !== 0) return built
  return runInherited(process.execPath, ['--import', 'tsx', join('bench', `${program}.ts`), ...args])
})
