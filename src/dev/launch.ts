/** How the file of a service is run, by its kind, with what the machine and the project of the file have. */
import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** A program and its arguments. */
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
}

const JAVASCRIPT = ['.js', '.mjs', '.cjs']
const TYPESCRIPT = ['.ts', '.mts', '.cts']
const PYTHON = ['.py']
/** The kinds of files that can be run. */
const RUNNABLE: readonly string[] = [...TYPESCRIPT, ...JAVASCRIPT, ...PYTHON]

/**
 * @param file its absolute path
 * @throws Error that says what is missing, and how to mend that; not which file it is
 */
export function launchOf(file: string): Launch {
  const stats = statSync(file, { throwIfNoEntry: false })
  if (stats === undefined) throw new Error('there is no such file')
  const kind = extname(file)
  if (!stats.isFile() || !RUNNABLE.includes(kind))
    throw new Error(`it is no program that can be run: give files that end with ${RUNNABLE.join(', ')}`)
  // unbuffered, so that what it says shows when it says it
  if (PYTHON.includes(kind)) return { command: 'python3', args: ['-u', file] }
  const loader = TYPESCRIPT.includes(kind) ? typescriptLoader(file) : []
  return { command: process.execPath, args: [...loader, file] }
}

/** tsx, which knows all of TypeScript, where the project has it; else Node itself, where it leaves out types. */
function typescriptLoader(file: string): readonly string[] {
  const tsx = resolvedFrom(file, 'tsx') ?? resolvedFrom(resolve('package.json'), 'tsx')
  if (tsx !== undefined) return ['--import', pathToFileURL(tsx).href]
  if (Reflect.get(process.features, 'typescript')) return []
  throw new Error(
    `Node ${process.versions.node} does not run TypeScript by itself: npm install --save-dev tsx, or use Node 22.18 or later`,
  )
}

function resolvedFrom(file: string, module: string): string | undefined {
  try {
    return createRequire(file).resolve(module)
  } catch {
    return undefined
  }
}
