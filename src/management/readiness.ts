/** Whether a service is ready as the broker sees it: it has workers, and each of its queues is consumed. */
import { servicesOf } from './services.ts'
import type { Snapshot } from './snapshot.ts'

/** @returns what is wanting, a line each, none when it is ready; undefined when the bus knows no such service */
export function wantingOf(service: string, snapshot: Snapshot): readonly string[] | undefined {
  const facts = servicesOf(snapshot).find(({ name }) => name === service)
  if (facts === undefined) return undefined
  const consumed = new Set(snapshot.consumers.map(({ queue }) => queue))
  const idle = facts.queues.filter((queue) => !consumed.has(queue))
  const alarms = (snapshot.nodes ?? []).filter(({ memoryAlarm, diskAlarm }) => memoryAlarm || diskAlarm)
  return [
    ...(facts.workers === 0 ? ['no worker of it is connected'] : []),
    ...idle.map((queue) => `nobody consumes its queue '${queue}'`),
    ...alarms.map(
      ({ name, memoryAlarm }) =>
        `node '${name}' has a ${memoryAlarm ? 'memory' : 'disk'} alarm, and the broker blocks publishers`,
    ),
  ]
}
