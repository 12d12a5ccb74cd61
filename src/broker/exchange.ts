/** Exchanges, their bindings, and which of them a routing key follows. Source: AMQP 0-9-1, section 3.1.3. */
import { matches } from '../topology/match.ts'
import type { FieldTable } from './field-table.ts'

export type ExchangeType = 'direct' | 'fanout' | 'topic' | 'headers'

export interface Binding {
  readonly source: string
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface ExchangeOptions {
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

export class Exchange {
  readonly name: string
  readonly type: ExchangeType
  readonly options: ExchangeOptions
  /** To be taken from here. */
  readonly bindings: Binding[] = []

  constructor(name: string, type: ExchangeType, options: ExchangeOptions) {
    this.name = name
    this.type = type
    this.options = options
  }

  /** The bindings that a message with this key follows. */
  matching(key: string): readonly Binding[] {
    if (this.type === 'fanout') return this.bindings
    if (this.type === 'direct') return this.bindings.filter(({ routingKey }) => routingKey === key)
    return this.bindings.filter(({ routingKey }) => routingKey === key || matches(routingKey, key))
  }
}

export function isExchangeType(type: string): type is ExchangeType {
  return type === 'direct' || type === 'fanout' || type === 'topic' || type === 'headers'
}
