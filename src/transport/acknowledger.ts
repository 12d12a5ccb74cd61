/**
 * Settles the deliveries of one consuming channel: acks of one event-loop turn go out together, as one `multiple` ack
 * where every delivery up to it is done, and nothing is sent on a channel that is not the delivery's own.
 */
import type { AMQPChannel } from '@cloudamqp/amqp-client'

export class Acknowledger {
  readonly #channel: AMQPChannel
  /** Deliveries that the broker holds as unacknowledged, by tag in order; true once they may be acknowledged. */
  readonly #outstanding = new Map<number, boolean>()
  #doneCount = 0
  #scheduled = false

  constructor(channel: AMQPChannel) {
    this.#channel = channel
  }

  /** Deliveries that are neither acknowledged nor rejected. */
  get outstanding(): number {
    return this.#outstanding.size
  }

  /** A delivery arrived. Tags come in increasing order. */
  delivered(tag: number): void {
    this.#outstanding.set(tag, false)
  }

  ack(tag: number): void {
    if (this.#outstanding.get(tag) !== false) return
    this.#outstanding.set(tag, true)
    this.#doneCount += 1
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.flush())
  }

  nack(tag: number, requeue: boolean): void {
    if (this.#outstanding.get(tag) !== false) return
    this.#outstanding.delete(tag)
    this.#ignoreClosed(this.#channel.basicNack(tag, requeue))
  }

  /** Sends the acks that wait for the end of the turn now. */
  flush(): void {
    this.#scheduled = false
    if (this.#doneCount === 0) return
    let last = 0
    let count = 0
    let prefix = true
    const single: number[] = []
    for (const [tag, done] of this.#outstanding) {
      if (!done) {
        prefix = false
        continue
      }
      if (prefix) {
        last = tag
        count += 1
      } else single.push(tag)
      if (count + single.length === this.#doneCount) break
    }
    if (count > 0) this.#ignoreClosed(this.#channel.basicAck(last, count > 1))
    for (const tag of single) this.#ignoreClosed(this.#channel.basicAck(tag))
    for (const tag of this.#outstanding.keys()) {
      if (tag > last) break
      this.#outstanding.delete(tag)
    }
    for (const tag of single) this.#outstanding.delete(tag)
    this.#doneCount = 0
  }

  /** On a closed channel there is nothing to settle: the broker has the deliveries back already. */
  #ignoreClosed(sent: Promise<void>): void {
    sent.catch(() => {})
  }
}
