/** Payloads given on the command line: a `.json` or `.cbor` file, or `-` for standard input. */
import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { decodePayload, type PayloadFormat } from '../wire/payload.ts'
import { UsageError } from './command-line.ts'

/**
 * @param format what standard input holds, or a file whose name does not say so
 * @throws UsageError when the file cannot be read or decoded
 */
export function readPayload(path: string, format: PayloadFormat | undefined): unknown {
  const ending = extname(path).toLowerCase()
  const written =
    ending === '.json' ? 'json' : ending === '.cbor' ? 'cbor' : (format ?? (path === '-' ? 'json' : undefined))
  if (written === undefined)
    throw new UsageError(
      `${path}: the name ends neither in .json nor in .cbor; say what it is with --format, or give - to read it from stdin`,
    )
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path === '-' ? 0 : path)
  } catch (error) {
    throw new UsageError(`the payload cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  try {
    return decodePayload(bytes, `application/${written}`)
  } catch (error) {
    const mend = path === '-' ? '; --format says what it holds, json unless it is given' : ''
    throw new UsageError(
      `${path === '-' ? 'standard input' : path} is not ${written.toUpperCase()}: ${error instanceof Error ? error.message : String(error)}${mend}`,
    )
  }
}
