/** What a worker says of its health: whether it lives, whether it is ready, and what it lacks, in words. */
import { EventailError } from '../errors.ts'
import type { Session } from './session.ts'
import type { WorkerState } from './running-service.ts'

/** The health of a worker at one moment: plain data. */
export interface ServiceHealth {
  /** The logical service. */
  readonly service: string
  readonly state: WorkerState
  /** False once it has stopped, for whatever reason. A broker that is away is none: to start it again would not help. */
  readonly isLive: boolean
  /**
   * Whether it is connected, consumes from each of its queues, has its configuration, may publish, and is not stopping. That the
   * broker blocks publishers a worker learns when it publishes.
   */
  readonly isReady: boolean
  /** What it lacks, a line each, without passwords; empty when it is ready. */
  readonly problems: readonly string[]
}

export interface HealthFacts {
  readonly service: string
  readonly state: WorkerState
  /** Why it stopped by itself. */
  readonly failure: Error | undefined
  readonly session: Session | undefined
  /** Why there is no session. */
  readonly outage: string | undefined
  /** Why the broker blocks publishers; undefined when it does not. */
  readonly blocked: string | undefined
  /** The keys of configurations. */
  readonly configurations: readonly string[]
}

export function healthOf(facts: HealthFacts): ServiceHealth {
  const { service, state } = facts
  const problems = problemsOf(facts)
  return { service, state, isLive: state !== 'stopped', isReady: problems.length === 0, problems }
}

function problemsOf({ state, failure, session, outage, blocked, configurations }: HealthFacts): readonly string[] {
  if (state === 'stopping' || state === 'stopped') {
    return [
      `${state === 'stopped' ? 'has stopped' : 'is stopping'}${failure === undefined ? '' : `: ${textOf(failure)}`}`,
    ]
  }
  // a session that was lost is still being closed
  const reason = session?.signal.aborted === true ? (session.signal.reason as Error).message : outage
  if (session === undefined || session.signal.aborted)
    return [`is not connected to the broker${reason === undefined ? '' : `: ${reason}`}`]
  const isWaiting = state === 'unconfigured' && !session.isConfigured
  const problems = session.unattended
    .filter(({ kind }) => !isWaiting || kind === 'configuration')
    .map(({ queue }) => `does not consume from queue '${queue}' yet`)
  if (isWaiting)
    problems.push(`waits for its configuration (${configurations.join(', ')}), and consumes nothing else before`)
  if (blocked !== undefined)
    problems.push(`the broker blocks publishers (${blocked}): what it publishes waits until the broker can take it`)
  if (state === 'connecting' && problems.length === 0) problems.push('is connecting')
  return problems
}

/** What others wrote may hold anything, and is for the log alone. */
function textOf(failure: Error): string {
  return failure instanceof EventailError ? failure.message : `an unexpected ${failure.name}; its log has the details`
}
