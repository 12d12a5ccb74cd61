// Runs example services, each as a process of its own, and starts again those that die.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup.mjs'

const READY = /ready|waiting for the configuration/
const START_TIMEOUT_MS = 20_000
/** Beyond this a service that is asked to stop is killed. */
const STOP_TIMEOUT_MS = 8_000
const RESTART_MS = 1_000
const MAX_RESTART_MS = 15_000
/** A service that lived for longer than this is started again without more delay than the first time. */
const HEALTHY_MS = 10_000
const KEPT_LINES = 8

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

export class ExampleRunner {
  /** @type {Map<string, ChildProcess>} */
  #running = new Map()
  /** @type {Set<NodeJS.Timeout>} */
  #restarts = new Set()
  #stopping = false
  #url
  #note

  /** @param {string} url of the broker @param {(text: string) => void} note takes what becomes of the services */
  constructor(url, note) {
    this.#url = url
    this.#note = note
  }

  /** Starts an example. Resolves when it works, or when that takes too long. @param {string} name @returns {Promise<void>} */
  start(name, restartMs = RESTART_MS) {
    if (this.#stopping) return Promise.resolve()
    const began = performance.now()
    const preload = ['--import', './dev/end-with-parent.mjs', '--import', 'tsx']
    // a process group of its own: a Ctrl-C in the terminal is for the demo, which stops its services in good order
    const child = spawn(process.execPath, [...preload, join('examples', `${name}.ts`), this.#url], {
      cwd: root,
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    this.#running.set(name, child)
    return new Promise((resolve) => {
      const late = setTimeout(resolve, START_TIMEOUT_MS)
      let output = ''
      child.stderr.on('data', (/** @type {Buffer} */ chunk) => {
        output = (output + chunk.toString()).slice(-8_000)
        if (READY.test(output)) resolve()
      })
      child.stdin.on('error', () => {})
      // told of when it closes; a program that cannot be started has no exit code
      child.on('error', (error) => void (output += error.message))
      child.on('close', (code, signal) => {
        clearTimeout(late)
        this.#running.delete(name)
        this.#onEnd(name, signal ?? `exit code ${code}`, output, performance.now() - began, restartMs)
        resolve()
      })
    })
  }

  /** Stops all services in good order. */
  async stop() {
    this.#stopping = true
    for (const timer of this.#restarts) clearTimeout(timer)
    const children = [...this.#running.values()]
    const gone = Promise.all(children.map((child) => new Promise((resolve) => child.once('close', resolve))))
    for (const child of children) child.kill('SIGTERM')
    const timer = setTimeout(() => {
      for (const [name, child] of this.#running) {
        this.#note(`${name} does not stop, and is killed`)
        child.kill('SIGKILL')
      }
    }, STOP_TIMEOUT_MS)
    await gone
    clearTimeout(timer)
  }

  /** @param {string} name @param {string} how @param {string} output @param {number} livedMs @param {number} restartMs */
  #onEnd(name, how, output, livedMs, restartMs) {
    if (this.#stopping) return
    this.#note(`${name} died (${how}), and is started again; the last lines it said:`)
    for (const line of output.trimEnd().split('\n').slice(-KEPT_LINES)) this.#note(`    ${line}`)
    const delayMs = livedMs > HEALTHY_MS ? RESTART_MS : restartMs
    const timer = setTimeout(() => {
      this.#restarts.delete(timer)
      void this.start(name, Math.min(delayMs * 2, MAX_RESTART_MS))
    }, delayMs)
    this.#restarts.add(timer)
  }
}
