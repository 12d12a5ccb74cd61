/** A traced conversation as a sequence diagram in the language of Mermaid: services are lifelines, messages arrows. */
import { visible } from '../wire/text.ts'
import { logLineOf } from './envelope.ts'
import type { Step } from './trace.ts'

/** The lifeline of what nobody says who sent or takes it. */
const BUS = 'the bus'
const LONGEST_LABEL = 80

/** @param steps in the order in which they were seen */
export function sequenceDiagram(steps: readonly Step[]): string {
  const lifelines = new Map<string, string>()
  const lifelineOf = (service: string): string => {
    const known = lifelines.get(service)
    if (known !== undefined) return known
    const id = `s${lifelines.size}`
    lifelines.set(service, id)
    return id
  }
  const lines = steps.flatMap((step) => linesOf(step, lifelineOf))
  const participants = [...lifelines].map(([service, id]) => `  participant ${id} as ${label(service)}`)
  return ['sequenceDiagram', ...participants, ...lines].join('\n')
}

function linesOf({ envelope, from, to }: Step, lifelineOf: (service: string) => string): readonly string[] {
  const { kind, name, status } = envelope
  const sender = lifelineOf(from ?? BUS)
  if (kind === 'log') return [`  Note over ${sender}: ${label(`${lastWord(name)} ${logLineOf(envelope)}`)}`]
  // results go the way back: a broken line, and a cross for an error
  const arrow = kind === 'result' ? (status === 'error' ? '--x' : '-->>') : kind === 'command' ? '->>' : '-)'
  const receivers = to.length === 0 ? [BUS] : to
  return receivers.map((receiver) => `  ${sender}${arrow}${lifelineOf(receiver)}: ${label(lastWord(name))}`)
}

function lastWord(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** Text that ends no line and opens nothing in Mermaid, which knows characters by their number. */
function label(text: string): string {
  const shown = visible(text)
  const short = shown.length > LONGEST_LABEL ? `${shown.slice(0, LONGEST_LABEL)}…` : shown
  return short.replaceAll(/[^\p{L}\p{N} .,_@…-]/gu, (character) => `#${character.codePointAt(0)};`)
}
