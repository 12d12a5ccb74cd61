/**
 * A program of its own that outlives the one that started it by a moment, however that one ends: then it ends the process groups that it was
 * told of and that still run. It notices by its standard input, which the system closes.
 *
 * Each line that it reads is a process group that has begun (`+123`) or is gone (`-123`).
 */
import { createInterface } from 'node:readline'

/** How long those who are told to end may take. */
const GRACE_MS = 2_000
const CHECK_MS = 50

const groups = new Set<number>()
for await (const line of createInterface({ input: process.stdin })) {
  const group = Number(line.slice(1))
  if (line.startsWith('+')) groups.add(group)
  else groups.delete(group)
}
for (const group of groups) end(group, 'SIGTERM')
const deadline = performance.now() + GRACE_MS
while (performance.now() < deadline && [...groups].some((group) => end(group, 0)))
  await new Promise((resolve) => setTimeout(resolve, CHECK_MS))
for (const group of groups) end(group, 'SIGKILL')

/** @returns whether anything of the group is there */
function end(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}
