// `npm run build`: the package in `dist`. The compiler writes the declarations; the code goes into few files, because what a program
// waits for when it imports the package is mostly the number of files.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from './setup.mjs'

/** Modules that are imported by name or run by path: each group shares what its members have in common, and nothing with the other. */
const GROUPS = [
  {
    index: 'src/index.ts',
    'store/index': 'src/store/index.ts',
    'health/index': 'src/health/index.ts',
    'testing/index': 'src/testing/index.ts',
    // a thread of its own, which is started by its path beside the code that starts it
    'sync-worker': 'src/endpoint/sync-worker.ts',
  },
  // the guard is a program of its own, started by its path beside the code that starts it
  { 'cli/main': 'src/cli/main.ts', guard: 'src/dev/guard.ts' },
]

const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
for (const entryPoints of status === 0 ? GROUPS : []) {
  await build({
    absWorkingDir: root,
    entryPoints,
    outdir: dist,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'warning',
  })
}
process.exitCode = status ?? 1
