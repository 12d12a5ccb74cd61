/**
 * Loaded before a program (`node --import`) whose memory is watched: collects garbage every five seconds, and writes what JavaScript then
 * still holds, in bytes, to a file named after the process in the directory `EVENTAIL_MEMORY_DIRECTORY`. A runtime with little to do
 * collects late; what is left after a collection is kept.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
const file = join(process.env['EVENTAIL_MEMORY_DIRECTORY'] ?? '', String(process.pid))

setInterval(() => {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  writeFileSync(file, String(heapUsed + external))
}, 5_000).unref()
