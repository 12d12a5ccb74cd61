#!/usr/bin/env node
/** The command line as a process: its streams, its signals, its exit codes. What the commands are is in `program.ts`. */
import { readFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { EXIT, explain, normalise, type Terminal, withoutPasswords } from './command-line.ts'
import { Output } from './output.ts'
import { buildProgram } from './program.ts'
import { visible } from '../wire/text.ts'

/** How long what was printed may take to go out once the command was interrupted. */
const LAST_WORDS_MS = 500

// a password may be among the arguments: whoever looks at the processes of the machine from now on does not see it
process.title = 'eventail'

const interrupt = new AbortController()
let isReaderGone = false
let writeFailure = ''
// whoever reads our output may go away: a command that is in the middle of something ends that in good order
const output = new Output((error) => {
  if (error.code === 'EPIPE') isReaderGone = true
  else writeFailure = error.message
  interrupt.abort()
})

const terminal: Terminal = {
  print: (line) => output.print(line),
  drained: () => output.drained(),
  get backlog() {
    return output.backlog
  },
  say: (line) => void process.stderr.write(`${withoutPasswords(line)}\n`),
  signal: interrupt.signal,
  get isReaderGone() {
    return isReaderGone
  },
  colours: process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '',
  get columns() {
    // what is no terminal has none, and some terminals do not know
    return (process.stdout.isTTY ? process.stdout.columns : 0) || 120
  },
}

async function run(): Promise<number> {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  let code: number = EXIT.ok
  const program = buildProgram(version, terminal, (result) => {
    code = result
  })
  try {
    await program.parseAsync(normalise(process.argv.slice(2)), { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (interrupt.signal.aborted) return EXIT.interrupted
    const { text, code: failure } = explain(error)
    terminal.say(`eventail: ${visible(text)}`)
    return failure
  }
  await output.drained()
  if (writeFailure !== '') {
    terminal.say(`eventail: the output cannot be written: ${writeFailure}`)
    return EXIT.failed
  }
  if (isReaderGone) return code === EXIT.interrupted ? EXIT.ok : code
  return interrupt.signal.aborted ? EXIT.interrupted : code
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted)
    interrupt.abort()
  })
}
// what the library prints by itself, help and complaints, may have no reader either
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
process.exitCode = await run()
if (interrupt.signal.aborted) setTimeout(() => process.exit(), LAST_WORDS_MS).unref()
await output.drained()
