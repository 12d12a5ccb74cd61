/** Why letters died: what the log bus said of their conversations, remembered until the letter comes. */
import type { IncomingMessage } from '../wire/message.ts'

/** Conversations that are remembered at most; the oldest are forgotten first. */
const REMEMBERED = 10_000

export class Causes {
  readonly #byConversation = new Map<string, string>()

  /** Takes note of a record of the log bus. What is no record is passed over. */
  note(record: IncomingMessage): void {
    let gelf: unknown
    try {
      gelf = JSON.parse(new TextDecoder().decode(record.body))
    } catch {
      return
    }
    if (typeof gelf !== 'object' || gelf === null) return
    const { _conversation_id: conversation, short_message: short } = gelf as Record<string, unknown>
    if (typeof conversation !== 'string' || conversation === '' || typeof short !== 'string') return
    // "Giving up on …" says less than the error that came before it
    if (short.startsWith('Giving up on') && this.#byConversation.has(conversation)) return
    this.#byConversation.delete(conversation)
    this.#byConversation.set(conversation, short)
    const [oldest] = this.#byConversation.keys()
    if (this.#byConversation.size > REMEMBERED && oldest !== undefined) this.#byConversation.delete(oldest)
  }

  /** The last error of the letter's conversation, if one was seen. */
  of(letter: IncomingMessage): string | undefined {
    const conversation = letter.properties.headers?.['conversation_id']
    return typeof conversation === 'string' ? this.#byConversation.get(conversation) : undefined
  }
}
