/**
 * Makes sure that no process and no directory outlives the program that made them.
 *
 * A guard is a small shell process that holds one end of a pipe. When the other end goes away (the program ended, was
 * interrupted, crashed, or was killed with SIGKILL) it kills what was started through it and removes the directory.
 * So the programs need no signal handlers, and every way to die ends the same.
 */

import { spawn } from 'node:child_process'

// Lines read: `+PID` process group to kill, `-PID` it is gone, `done` nothing is left to do.
const SCRIPT = `
directory=$1
command=$2
groups=' '
while IFS= read -r line; do
  case $line in
    +*) groups="$groups\${line#+} " ;;
    -*) gone=" \${line#-} "; case $groups in *"$gone"*) groups="\${groups%%"$gone"*} \${groups#*"$gone"}" ;; esac ;;
    done) exit 0 ;;
  esac
done
for group in $groups; do kill -9 -"$group" 2>/dev/null; done
[ -z "$command" ] || eval "$command" 2>/dev/null
[ -n "$directory" ] || exit 0
# a process writes until it is quite gone
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  sleep 0.1
  rm -rf "$directory" 2>/dev/null && sleep 0.1 && [ ! -e "$directory" ] && exit 0
done
`

/**
 * @typedef {object} Guard
 * @property {(command: string, args: readonly string[], options: import('node:child_process').SpawnOptions) =>
 *   import('node:child_process').ChildProcess} spawn
 *   Starts a process in a group of its own, killed as a whole with this program. It does not keep this program running.
 * @property {() => void} release
 *   Ends the guard. To be called when the processes are gone and the directory is removed.
 */

/**
 * Starts a guard.
 *
 * @param {{ directory?: string, command?: string }} [options] when this program dies `command`, for the shell, is run, and
 *   `directory` removed with all that is in it
 * @returns {Guard}
 */
export function startGuard({ directory = '', command = '' } = {}) {
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'eventail-guard', directory, command], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const pipe = /** @type {import('node:net').Socket} */ (shell.stdin)
  pipe.on('error', () => {}) // the guard was killed: nothing can be told to it
  pipe.unref()
  shell.unref()

  return {
    spawn(command, args, options) {
      const child = spawn(command, args, { ...options, detached: true })
      const { pid } = child
      if (pid !== undefined) {
        pipe.write(`+${pid}\n`)
        child.once('exit', () => pipe.write(`-${pid}\n`))
      }
      child.unref()
      return child
    },
    release() {
      pipe.end('done\n')
    },
  }
}
