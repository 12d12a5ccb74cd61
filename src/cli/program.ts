/** Which commands and options there are. The code of a command is loaded only when it runs, so that help comes at once. */
import { Argument, Command, Option } from 'commander'
import { LEVELS } from '../log/levels.ts'
import { visibleLines } from '../wire/text.ts'
import { type BrokerOptions, EXIT, numberOption, type Terminal, wholeOption } from './command-line.ts'

type Run<O extends BrokerOptions> = (operands: readonly string[], options: O, terminal: Terminal) => Promise<number>

interface Declaration<O extends BrokerOptions> {
  readonly name: string
  readonly usage: string
  readonly description: string
  /** Shown in the help, each after `eventail `. */
  readonly examples: readonly string[]
  readonly load: () => Promise<Run<O>>
}

const FILTERS = {
  keys: ['--filter <patterns...>', 'only these routing keys: topic patterns, of which one has to match'],
  fields: ['--filter-fields <fields...>', 'only payloads with these values: path.to.field=value; all have to match'],
  where: ['--where <expression>', 'only where this JSONata expression over the envelope is true (docs/cli.md)'],
} as const
const REDACT = [
  '--redact <paths...>',
  'show and save *** in the place of these fields of payloads: path.to.field; * is any field',
] as const
const MANAGEMENT = [
  '--management-url <url>',
  "the broker's management API (default: $EVENTAIL_MANAGEMENT_URL, else port 15672 of its host)",
] as const

/** @param done told the exit code of the command that ran */
export function buildProgram(version: string, terminal: Terminal, done: (code: number) => void): Command {
  const program = new Command('eventail')
    .description('Develop services, and see, send, inspect and repair what is on the bus.')
    .version(version)
    .showHelpAfterError('(--help tells more)')
    .addHelpText('after', GENERAL_HELP)
  const declare: Declare = (declaration) => command(program, declaration, terminal, done)
  declareWatchers(declare)
  declareSenders(declare)
  declareRepairs(declare)
  declareOverviews(declare)
  declareDevelopment(declare)
  declareCompletion(program, terminal, done)
  // what the parser says quotes the command line, and so perhaps a password
  const writeErr = (text: string): void => terminal.say(visibleLines(text.replace(/\n$/, '')))
  for (const one of [program, ...program.commands]) one.exitOverride().configureOutput({ writeErr })
  return program
}

type Declare = <O extends BrokerOptions>(declaration: Declaration<O>) => Command

const GENERAL_HELP = `
The broker is the URL given first, else --url, --url-file, EVENTAIL_AMQP_URL, AMQP_URL, else amqp://localhost.
Names and options may be spelt with underscores: publish_event, --filter_fields.
An option that takes several values takes all that follow: put operands before it, or "--" in between.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 done in part, 4 broker unreachable or refused, 5 not found,
6 the command was answered with an error, 7 no queue takes it or the broker refused it, 124 not in time,
130 interrupted.`

function declareWatchers(declare: Declare): void {
  declare({
    name: 'logger',
    usage: '[amqp_url] [pattern...]',
    description: 'show the logs as they go',
    examples: [
      'logger',
      'logger --level WARNING',
      "logger 'pong.*' '*.EMERGENCY'",
      'logger --service ping pong --json',
    ],
    load: async () => (await import('./commands/logger.ts')).logger,
  })
    .option('--filter <patterns...>', 'log patterns, as service.LEVEL (default: all)')
    .addOption(
      new Option('--level <level>', 'this level and the more severe ones')
        .choices(LEVELS)
        // in small letters, too; what is no level is refused by the command
        .argParser((level) => level),
    )
    .option('--service <names...>', 'logs of these services')
    .option(...REDACT)
    .option('--json', 'one envelope in JSON a line')

  declare({
    name: 'monitor',
    usage: '[amqp_url]',
    description: 'show events, commands, results and configurations as they go',
    examples: [
      'monitor',
      "monitor --events CallStarted 'billing.#' --filter-fields caller.country=FR",
      'monitor --commands --where \'status = "error"\'',
      'monitor --events --save captured --json',
    ],
    load: async () => (await import('./commands/monitor.ts')).monitor,
  })
    .option('--events [patterns...]', 'events, by topic patterns')
    .option('--commands [patterns...]', 'commands and results, by topic patterns')
    .option('--configurations [patterns...]', 'configurations, by topic patterns')
    .option(...FILTERS.keys)
    .option(...FILTERS.fields)
    .option(...FILTERS.where)
    .option('--save [folder]', 'save payloads to files, as CBOR (default folder: here)')
    .option(...REDACT)
    .option('--json', 'one envelope in JSON a line; with --save: save as JSON')
}

function declareSenders(declare: Declare): void {
  for (const kind of ['event', 'configuration'] as const) {
    declare({
      name: `publish-${kind}`,
      usage: `[amqp_url] <${kind}> <payload>`,
      description: `publish ${kind === 'event' ? 'an event' : 'a configuration'}; the payload is a .json or .cbor file, or - for stdin`,
      examples: [`publish-${kind} Told told.json`, `publish-${kind} Told - --mandatory < told.json`],
      load: async () => {
        const { publish } = await import('./commands/publish.ts')
        return (operands, options, to) => publish(kind, operands, options, to)
      },
    })
      .addOption(payloadFormat())
      .option(
        '--conversation <id>',
        `the conversation that it belongs to (default: ${kind === 'event' ? 'a new one' : 'none'})`,
      )
      .option('--mandatory', 'fail when no queue takes it')
      .option('--repeat <n>', 'publish it so many times (default: 1)', wholeOption('--repeat', 1))
      .option('--rate <n>', 'so many a second at most', numberOption('--rate', 0.001))
  }
  declare({
    name: 'send-command',
    usage: '[amqp_url] <service.Command> <payload>',
    description: 'send a command and wait for its result',
    examples: [
      'send-command pong.EchoMessage ping.json',
      'echo \'{"n": 1}\' | eventail send-command pong.EchoMessage - --timeout 5',
    ],
    load: async () => (await import('./commands/send-command.ts')).sendCommand,
  })
    .option('--timeout <seconds>', 'how long to wait (default: 60)', numberOption('--timeout', 0.001))
    .addOption(payloadFormat())
    .option('--conversation <id>', 'the conversation that it belongs to (default: a new one)')
    .option(...REDACT)
    .option('--json', 'print the envelope of the result as JSON')
}

function declareRepairs(declare: Declare): void {
  declare({
    name: 'inspect-queue',
    usage: '[amqp_url] <queue>',
    description: 'show what is in a queue, without consuming it and without changing its order',
    examples: ['inspect-queue dead-letters --count 10', 'inspect-queue dead-letters --filter CallStarted --json'],
    load: async () => (await import('./commands/inspect-queue.ts')).inspectQueue,
  })
    .option('--count <n>', 'messages to show (default: 0, all)', wholeOption('--count', 0))
    .option(...FILTERS.keys)
    .option(...FILTERS.fields)
    .option(...FILTERS.where)
    .option('--save [folder]', 'save payloads to files, as they are (default folder: here)')
    .option(...REDACT)
    .option('--json', 'one envelope in JSON a line; with --save: save as JSON')
    .option(...MANAGEMENT)
    .option(
      '--force',
      'also a live queue (of a service, or with consumers), whose messages lose the one retry that each has, and a quorum queue with a limit',
    )

  declare({
    name: 'resurrect',
    usage: '[amqp_url] <queue>',
    description: 'replay dead letters; what is not confirmed stays',
    examples: [
      'resurrect dead-letters --dry-run',
      "resurrect dead-letters --filter 'pong.*' --canary",
      'resurrect dead-letters --count 100 --rate 10',
    ],
    load: async () => (await import('./commands/resurrect.ts')).resurrectCommand,
  })
    .option('--count <n>', 'letters to replay (default: 0, all)', wholeOption('--count', 0))
    .option('--batch-size <n>', 'letters on their way at the same time (default: 500)', wholeOption('--batch-size', 1))
    .option('--rate <n>', 'so many a second at most', numberOption('--rate', 0.001))
    .option(...FILTERS.keys)
    .option(...FILTERS.fields)
    .option(...FILTERS.where)
    .option('--dry-run', 'only list what would go where, and who would receive it')
    .option('--canary', 'begin with 1, 2, 5, 10… and stop when letters come back dead')
    .option(...MANAGEMENT)
    .option(...REDACT)
    .option('--json', 'one envelope in JSON a line, with what became of the letter (docs/cli.md)')
    .option(
      '--force',
      'also from a live queue (of a service, or with consumers), or a quorum queue with a delivery limit',
    )

  declare({
    name: 'dead',
    usage: '[amqp_url] [queue...]',
    description: 'show what is in the dead-letter queues, by name, queue of death and reason',
    examples: ['dead', 'dead dead-letters --json', 'dead --watch'],
    load: async () => (await import('./commands/dead.ts')).dead,
  })
    .option('--watch', 'show letters as they die, with the reason from the log bus')
    .option('--exchange <name>', 'the dead-letter exchange to watch (default: am-dlx)')
    .option('--force', 'also a live queue (of a service, or with consumers), or a quorum queue with a delivery limit')
    .option(...MANAGEMENT)
    .option(...REDACT)
    .option('--json', 'one object in JSON a line')
}

function declareOverviews(declare: Declare): void {
  declare({
    name: 'trace',
    usage: '[amqp_url] <conversation>',
    description: 'follow one conversation live, across all services',
    examples: ['trace 0199f4c1-7f3a-7c52-9d0e-8f6a2b1c3d4e', 'trace my-test --mermaid --idle 5'],
    load: async () => (await import('./commands/trace.ts')).trace,
  })
    .option(
      '--idle <seconds>',
      'end when nothing happened for so long (default: at Ctrl-C)',
      numberOption('--idle', 0.1),
    )
    .option('--mermaid', 'print a sequence diagram at the end')
    .option(...MANAGEMENT)
    .option(...REDACT)
    .option('--json', 'one envelope in JSON a line, with its place in the conversation')

  declare({
    name: 'services',
    usage: '[amqp_url]',
    description: 'show who is on the bus: services, their workers, queues and subscriptions',
    examples: ['services', 'services --format mermaid > bus.mmd', 'services --json'],
    load: async () => (await import('./commands/services.ts')).services,
  })
    .addOption(new Option('--format <format>', 'how (default: table)').choices(['table', 'json', 'mermaid', 'dot']))
    .option('--json', 'the same as --format json')
    .option(...MANAGEMENT)

  declare({
    name: 'ready',
    usage: '[amqp_url] <service|http_url...>',
    description:
      'tell whether services are ready, by their health servers or as the broker sees them; exit code 0 only when all are',
    examples: ['ready http://127.0.0.1:9000', 'ready http://127.0.0.1:9000 --wait 30', 'ready ping pong --json'],
    load: async () => (await import('./commands/ready.ts')).ready,
  })
    .option('--wait <seconds>', 'wait until they are, so long at most', numberOption('--wait', 0))
    .option(...MANAGEMENT)
    .option('--json', 'one object in JSON a line')

  declare({
    name: 'doctor',
    usage: '[amqp_url]',
    description: 'say what is wrong with the bus, and how to mend it; exit code 0 only when it is well',
    examples: ['doctor', 'doctor --watch 30', 'doctor --json'],
    load: async () => (await import('./commands/doctor.ts')).doctor,
  })
    .option(
      '--watch <seconds>',
      'how long to see whether dead letters come in (default: 2)',
      numberOption('--watch', 0),
    )
    .option(...MANAGEMENT)
    .option('--json', 'one finding in JSON a line')
}

function declareDevelopment(declare: Declare): void {
  declare({
    name: 'dev',
    usage: '[amqp_url] [file...]',
    description:
      'run services with a broker and a store for development, restart them when their code changes, show the bus as it goes',
    examples: ['dev greeter.ts', 'dev src/services/*.ts --port 5673', 'dev greeter.ts --broker amqp://localhost'],
    load: async () => (await import('./commands/dev.ts')).dev,
  })
    .option(
      '--port <n>',
      'where the development broker listens; 0 is a port that is free (default: 5672)',
      wholeOption('--port', 0),
    )
    .option('--host <address>', 'on which address; who reaches it can use it (default: 127.0.0.1)')
    .option('--broker <url>', 'use this broker instead; the same as --url')
    .addOption(
      new Option('--level <level>', 'show logs of this level and the more severe ones (default: INFO)')
        .choices(LEVELS)
        .argParser((level) => level),
    )
    .option(...REDACT)
}

function declareCompletion(program: Command, terminal: Terminal, done: (code: number) => void): void {
  program
    .command('completion')
    .description('print a script with which a shell completes commands and options')
    .usage('<bash|zsh|fish>')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', '\nExamples:\n  source <(eventail completion bash)\n  eventail completion fish | source')
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionFor } = await import('./completion.ts')
      terminal.print(completionFor(shell, program))
      done(EXIT.ok)
    })
}

function command<O extends BrokerOptions>(
  program: Command,
  { name, usage, description, examples, load }: Declaration<O>,
  terminal: Terminal,
  done: (code: number) => void,
): Command {
  return program
    .command(name)
    .description(description)
    .usage(`${usage} [options]`)
    .argument('[operands...]')
    .option('--url <url>', "the broker's URL (a password in it is seen by all users of the machine)")
    .option('--url-file <file>', "a file that holds the broker's URL")
    .option('--tls-ca <file>', 'for amqps://: authorities to trust instead of the well-known ones, PEM')
    .option('--tls-cert <file>', 'for amqps://: client certificate, PEM')
    .option('--tls-key <file>', 'for amqps://: its private key, PEM')
    .option('--tls-servername <name>', "for amqps://: the name in the broker's certificate, where it isn't the host")
    .addHelpText(
      'after',
      `\nExamples:\n${examples.map((example) => `  eventail ${example}`).join('\n')}`.replace('eventail echo', 'echo'),
    )
    .action(async (operands: string[], options: O) => {
      const run = await load()
      done(await run(operands, options, terminal))
    })
}

function payloadFormat(): Option {
  return new Option(
    '--format <format>',
    'how it is sent (default: cbor), and what stdin holds (default: json)',
  ).choices(['cbor', 'json'])
}
