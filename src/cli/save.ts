/**
 * Saving payloads to files. Names come from the wire, so they are made harmless; no file is ever overwritten, none is
 * written outside of the folder, and only the owner can read them.
 */
import { createHash } from 'node:crypto'
import { constants, mkdirSync, openSync, closeSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { IncomingMessage } from '../wire/message.ts'
import { encodePayload } from '../wire/payload.ts'
import { bodyOf, toJson } from '../observe/body.ts'

const LONGEST_NAME = 80

export class Saver {
  readonly #folder: string
  readonly #json: boolean | 'as-is'
  #sequence = 0

  /** @param json true: as JSON; false: as CBOR; 'as-is': the exact bytes of the body */
  constructor(folder: string, json: boolean | 'as-is') {
    this.#folder = folder
    this.#json = json
    mkdirSync(folder, { recursive: true })
  }

  /** @returns the path of the file */
  save(message: IncomingMessage): string {
    const { ending, bytes } = this.#contentOf(message)
    for (;;) {
      this.#sequence += 1
      const path = join(this.#folder, `${harmless(message.routingKey)}-${digest(message)}-${this.#sequence}.${ending}`)
      try {
        const file = openSync(
          path,
          constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
          0o600,
        )
        writeFileSync(file, bytes)
        closeSync(file)
        return path
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
    }
  }

  #contentOf(message: IncomingMessage): { ending: string; bytes: Uint8Array } {
    const body = bodyOf(message)
    if (!body.decoded) return { ending: 'bin', bytes: message.body }
    if (this.#json === true) return { ending: 'json', bytes: Buffer.from(`${toJson(body.value, 2)}\n`) }
    const isCbor = message.properties.contentType === 'application/cbor'
    if (this.#json === 'as-is' || isCbor) return { ending: isCbor ? 'cbor' : 'json', bytes: message.body }
    return { ending: 'cbor', bytes: encodePayload(body.value, 'cbor') }
  }
}

function harmless(routingKey: string): string {
  const name = routingKey
    .replaceAll(/[^\w.-]/g, '_')
    .replace(/^\.+/, '_')
    .slice(0, LONGEST_NAME)
  return name === '' ? '_' : name
}

/** Tells apart what looks the same once it is harmless. */
function digest(message: IncomingMessage): string {
  const id = message.properties.headers?.['conversation_id']
  return createHash('sha256')
    .update(`${message.routingKey}\n${String(id)}`)
    .digest('hex')
    .slice(0, 8)
}
