/**
 * Names and keys are bytes to AMQP, and RabbitMQ does not ask of all of them whether they are text: not of those in a publish. Within the broker they are strings of one character for each
 * byte; only where people, their tests or JSON are shown them, or give them, they are read as UTF-8.
 */

/** What is given by people, as the broker keeps it. */
export function byteString(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** What the broker keeps, for people; bytes that are no text are replaced. */
export function readable(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString()
}
