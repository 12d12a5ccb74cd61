/** Every scenario. */
import type { Scenario } from '../stage.ts'
import { confirming } from './confirming.ts'
import { connections } from './connections.ts'
import { consuming } from './consuming.ts'
import { content } from './content.ts'
import { deadLettering } from './dead-lettering.ts'
import { exchanges } from './exchanges.ts'
import { limiting } from './limiting.ts'
import { policies } from './policies.ts'
import { queues } from './queues.ts'
import { routing } from './routing.ts'
import { settling } from './settling.ts'

export const scenarios: readonly Scenario[] = [
  ...connections,
  ...content,
  ...exchanges,
  ...routing,
  ...queues,
  ...consuming,
  ...settling,
  ...confirming,
  ...deadLettering,
  ...limiting,
  ...policies,
]
