/** The services that a person works on: their files run as processes, each started again when its code changes. */
import { realpathSync } from 'node:fs'
import { basename, dirname, relative, sep } from 'node:path'
import { Guard } from './guarded.ts'
import { SupervisedService } from './supervised-service.ts'
import { projectOf, SourceWatch } from './source-watch.ts'

export interface ServicesOptions {
  /** Files in groups: a group is started when the services of the one before it work. Paths are absolute. */
  readonly groups: readonly (readonly string[])[]
  /** What is added to the environment of each. */
  readonly env: Readonly<Record<string, string>>
  /** Takes a line that a service wrote, escaped. */
  readonly onLine: (name: string, line: string) => void
  /** Takes what becomes of them. */
  readonly note: (text: string) => void
}

export class Services {
  readonly #groups: readonly (readonly SupervisedService[])[]
  readonly #guard: Guard
  readonly #watches: readonly SourceWatch[]
  #isStopping = false

  constructor({ groups, env, onLine, note }: ServicesOptions) {
    const files = groups.flat().map((file) => realpathSync(file))
    const names = namesOf(files)
    this.#guard = new Guard()
    this.#groups = groups.map((group) =>
      group.map((given) => {
        const file = realpathSync(given)
        const name = names.get(file) ?? file
        return new SupervisedService({
          file,
          name,
          env: { ...process.env, ...env },
          guard: this.#guard,
          onLine: (line) => onLine(name, line),
          note,
        })
      }),
    )
    const projects = new Set(files.map(projectOf))
    this.#watches = Array.from(projects, (project) => {
      const own = files.filter((file) => projectOf(file) === project).map((file) => dirname(file))
      return new SourceWatch([...own, project], {
        onChange: (changed) => this.#onChange(project, changed),
        onProblem: (text) => note(`${project}: ${text}`),
      })
    })
  }

  async start(): Promise<void> {
    for (const group of this.#groups) {
      if (this.#isStopping) return
      await Promise.all(group.map((service) => service.start()))
    }
  }

  /** A process works, by its own word. */
  isReady(pid: number): void {
    for (const service of this.#all) service.isReady(pid)
  }

  /** Stops all in good order. */
  async stop(): Promise<void> {
    this.#isStopping = true
    for (const watch of this.#watches) watch.close()
    await Promise.all(this.#all.map((service) => service.stop()))
    this.#guard.release()
  }

  get #all(): readonly SupervisedService[] {
    return this.#groups.flat()
  }

  /** The file of a service is about that service alone; any other may be imported by all of its project that are in its language. */
  #onChange(folder: string, changed: readonly string[]): void {
    const own = new Set(this.#all.map(({ file }) => file))
    const shared = changed.filter((file) => !own.has(file))
    for (const service of this.#all) {
      const isInProject = service.file.startsWith(folder.endsWith(sep) ? folder : folder + sep)
      const isImported = shared.some((file) => isPython(file) === isPython(service.file))
      if (changed.includes(service.file) || (isInProject && isImported)) service.change()
    }
  }
}

function isPython(file: string): boolean {
  return file.endsWith('.py')
}

/** The name of the file, or as much of the path as it takes to tell it from the others. */
function namesOf(files: readonly string[]): ReadonlyMap<string, string> {
  const isOnlyOne = (file: string): boolean => files.filter((other) => basename(other) === basename(file)).length === 1
  return new Map(files.map((file) => [file, isOnlyOne(file) ? basename(file) : relative('', file)]))
}
