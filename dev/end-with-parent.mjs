// Loaded into the services of the demo before they start: a service ends in good order when the demo is gone, however that
// came about. It notices by its standard input, which the system closes then.
process.stdin.resume().on('close', () => {
  setTimeout(() => process.exit(1), 5_000).unref()
  process.kill(process.pid, 'SIGTERM')
})
process.stdin.on('error', () => {})
// a service that has nothing left to do must not stay for this
process.stdin.unref()
