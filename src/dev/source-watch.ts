/**
 * Tells when code of a project changes, so that what was made of it can be started again: all folders below one are watched, but those of
 * packages and hidden ones. Folders are watched and not files, because many editors save by putting another file in the place of the old one.
 */
import { type Dirent, type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** What a service may be made of. Data is not: a service that writes some must not be started again for that. */
const IS_CODE = /(?:\.(?:[cm]?[jt]s|py)|^package\.json|^tsconfig.*\.json)$/
/** Also tests: no service is made of them. */
const IS_PASSED_OVER = /^(?:node_modules|__pycache__|\..*|.*\.(?:test|spec)\.[cm]?[jt]s)$/
/** A save may be several changes, and a save of many files as well. */
const QUIET_MS = 100
const MOST_FOLDERS = 2_000

export interface SourceWatchOptions {
  /** Told the files that changed, once there is quiet. */
  readonly onChange: (files: readonly string[]) => void
  /** Told what keeps changes from being seen. */
  readonly onProblem: (text: string) => void
}

export class SourceWatch {
  readonly #options: SourceWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #changed = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #hasProblem = false

  /** @param folders absolute paths; in case there are too many folders, those in the first ones are watched */
  constructor(folders: readonly string[], options: SourceWatchOptions) {
    this.#options = options
    for (const folder of folders) this.#add(folder)
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  /** Folders near the top come first, in case there are too many. */
  #add(top: string): void {
    const pending = [top]
    for (let folder = pending.shift(); folder !== undefined; folder = pending.shift()) {
      if (!this.#watch(folder)) return
      pending.push(...foldersIn(folder))
    }
  }

  /** @returns whether more can be watched */
  #watch(folder: string): boolean {
    this.#forget(folder)
    if (this.#watchers.size >= MOST_FOLDERS)
      return this.#problem(`there are more than ${MOST_FOLDERS} folders; changes in the others do not show`)
    try {
      const watcher = watch(folder, { persistent: false }, (event, name) => {
        if (name !== null) this.#onEvent(event, join(folder, name))
      })
      watcher.on('error', () => this.#forget(folder))
      this.#watchers.set(folder, watcher)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'ENOSPC' || code === 'EMFILE')
        return this.#problem(
          'the system lets no more folders be watched: raise fs.inotify.max_user_watches and max_user_instances',
        )
      // it is gone meanwhile, or may not be read
    }
    return true
  }

  #problem(text: string): false {
    if (!this.#hasProblem) this.#options.onProblem(text)
    this.#hasProblem = true
    return false
  }

  #forget(folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
  }

  #onEvent(event: string, path: string): void {
    const name = basename(path)
    if (IS_PASSED_OVER.test(name)) return
    const isNewFolder = event === 'rename' && isFolder(path)
    if (isNewFolder) this.#add(path)
    if (!(isNewFolder ? hasCode(path) : isCode(name))) return
    this.#changed.add(path)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#report(), QUIET_MS)
  }

  #report(): void {
    const files = [...this.#changed]
    this.#changed.clear()
    this.#options.onChange(files)
  }
}

/** The folder of the project that a file belongs to: the nearest with a package.json, or else its own. */
export function projectOf(file: string): string {
  const own = dirname(file)
  for (let folder = own; ; folder = dirname(folder)) {
    if (statSync(join(folder, 'package.json'), { throwIfNoEntry: false })?.isFile() === true) return folder
    if (dirname(folder) === folder) return own
  }
}

/** What is moved to its place with all that is in it makes one event. */
function hasCode(folder: string): boolean {
  return [folder, ...foldersIn(folder)].some((each) => entriesOf(each).some(({ name }) => isCode(name)))
}

function isCode(name: string): boolean {
  return IS_CODE.test(name) && !IS_PASSED_OVER.test(name)
}

function foldersIn(folder: string): readonly string[] {
  return entriesOf(folder)
    .filter((entry) => entry.isDirectory() && !IS_PASSED_OVER.test(entry.name))
    .map(({ name }) => join(folder, name))
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    // it is gone meanwhile, or may not be read
    return []
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
