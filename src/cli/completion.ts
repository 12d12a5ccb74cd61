/** Scripts with which a shell completes commands and options, made from the commands that there are. */
import type { Command, Option } from 'commander'

/** The shells that can be served. */
export type Shell = 'bash' | 'zsh' | 'fish'

interface CompletedCommand {
  readonly name: string
  readonly description: string
  readonly options: readonly CompletedOption[]
}

interface CompletedOption {
  readonly flag: string
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
  /** Whether its value is a file or a folder. */
  readonly isPath: boolean
}

export function completionFor(shell: Shell, program: Command): string {
  const name = program.name()
  const commands = program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: [...command.options.map(optionOf), HELP],
  }))
  return { bash, zsh, fish }[shell](name, commands)
}

const HELP: CompletedOption = {
  flag: '--help',
  description: 'display help for command',
  takesValue: false,
  choices: [],
  isPath: false,
}

function optionOf({ long, description, required, optional, argChoices = [], flags }: Option): CompletedOption {
  return {
    flag: long ?? flags,
    description,
    takesValue: required || optional,
    choices: argChoices,
    isPath: /[<[](?:file|folder)[\]>]/.test(flags),
  }
}

function bash(name: string, commands: readonly CompletedCommand[]): string {
  const options = new Map(commands.flatMap((command) => command.options.map((option) => [option.flag, option])))
  const values = [...options.values()].filter(({ choices }) => choices.length > 0)
  const paths = [...options.values()].filter(({ isPath }) => isPath).map(({ flag }) => flag)
  const choicesOf = (flag: string): string =>
    [
      ...new Set(
        commands
          .flatMap((command) => command.options)
          .flatMap((option) => (option.flag === flag ? option.choices : [])),
      ),
    ].join(' ')
  return `# bash completion for ${name}:  source <(${name} completion bash)
_${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  if [ "$current" = "=" ]; then current=""
  elif [ "$before" = "=" ]; then before="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  before="\${before//_/-}"
  case "$before" in
${values.map(({ flag }) => `    ${flag}) COMPREPLY=($(compgen -W "${choicesOf(flag)}" -- "$current")); return ;;`).join('\n')}
    ${paths.join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map((command) => command.name).join(' ')}" -- "\${current//_/-}"))
    return
  fi
  case "$current" in
    -*) current="\${current//_/-}" ;;
    *) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "\${COMP_WORDS[1]//_/-}" in
${commands.map((command) => `    ${command.name}) words="${command.options.map(({ flag }) => flag).join(' ')}" ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o filenames -F _${name} ${name}`
}

function zsh(name: string, commands: readonly CompletedCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`
  const plain = (text: string): string => text.replaceAll(/[[\]:\\]/g, String.raw`\$&`)
  const specOf = ({ flag, description, takesValue, choices, isPath }: CompletedOption): string => {
    const value = choices.length > 0 ? `(${choices.join(' ')})` : isPath ? '_files' : ' '
    return quote(`*${flag}[${plain(description)}]${takesValue ? `:value:${value}` : ''}`)
  }
  return `#compdef ${name}
# zsh completion for ${name}:  source <(${name} completion zsh)
_${name}() {
  local -a commands=(
${commands.map((command) => `    ${quote(`${command.name}:${plain(command.description)}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case \${words[1]//_/-} in
${commands.map((command) => `    ${command.name}) _arguments ${command.options.map(specOf).join(' ')} '*:file:_files' ;;`).join('\n')}
  esac
}
if (( $+functions[compdef] )); then compdef _${name} ${name}; fi`
}

function fish(name: string, commands: readonly CompletedCommand[]): string {
  const quote = (text: string): string => `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`
  const lines = commands.flatMap((command) => [
    `complete -c ${name} -f -n __fish_use_subcommand -a ${command.name} -d ${quote(command.description)}`,
    ...command.options.map(({ flag, description, takesValue, choices, isPath }) => {
      const spellings = [...new Set([command.name, command.name.replaceAll('-', '_')])].join(' ')
      const value =
        choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : takesValue ? (isPath ? ' -r' : ' -x') : ''
      return `complete -c ${name} -n ${quote(`__fish_seen_subcommand_from ${spellings}`)} -l ${flag.slice(2)}${value} -d ${quote(description)}`
    }),
  ])
  return [`# fish completion for ${name}:  ${name} completion fish | source`, ...lines].join('\n')
}
