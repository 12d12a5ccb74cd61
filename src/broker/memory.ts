/** How much the messages take; above the limit, connections that publish are held up until there is room again. */
export class Memory {
  readonly #limit: number
  readonly #onAlarm: (on: boolean) => void
  #used = 0

  /** @param limit in bytes */
  constructor(limit: number, onAlarm: (on: boolean) => void) {
    this.#limit = limit
    this.#onAlarm = onAlarm
  }

  get alarm(): boolean {
    return this.#used > this.#limit
  }

  get used(): number {
    return this.#used
  }

  /** @param bytes negative when they are free again */
  add(bytes: number): void {
    const before = this.alarm
    this.#used += bytes
    if (this.alarm !== before) this.#onAlarm(this.alarm)
  }
}
