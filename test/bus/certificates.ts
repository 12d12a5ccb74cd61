/** Certificates for tests, made by openssl: an authority, another one that nobody trusts, and what they signed. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const SERVERS = ['good', 'wronghost', 'expired', 'untrusted'] as const
export type Server = (typeof SERVERS)[number]

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export class Certificates implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'eventail-certificates-'))

  /**
   * Of servers, `good` is for localhost, `wronghost` for example.org, `expired` was for localhost until yesterday, and `untrusted` is for
   * localhost by the other authority. `client` is for clients, and has a second key file with the passphrase `secret`.
   */
  constructor() {
    for (const name of ['ca', 'other']) this.#authority(name)
    this.#leaf('good', 'DNS:localhost,IP:127.0.0.1', 'ca')
    this.#leaf('wronghost', 'DNS:example.org', 'ca')
    this.#leaf('expired', 'DNS:localhost,IP:127.0.0.1', 'ca', -1)
    this.#leaf('untrusted', 'DNS:localhost,IP:127.0.0.1', 'other')
    this.#leaf('client', 'DNS:client', 'ca')
    this.#openssl('ec', '-in', 'client.key', '-out', 'client-locked.key', '-aes128', '-passout', 'pass:secret')
  }

  path(file: string): string {
    return join(this.folder, file)
  }

  pem(file: string): string {
    return readFileSync(this.path(file), 'utf8')
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true })
  }

  #authority(name: string): void {
    const about = ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE']
    this.#openssl('req', '-x509', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', ...about)
  }

  #leaf(name: string, names: string, authority: string, days = 2): void {
    this.#openssl('req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    writeFileSync(this.path('ext'), `subjectAltName=${names}\n`)
    const signed = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial', '-extfile', 'ext']
    this.#openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-days', String(days), '-out', `${name}.pem`)
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: 'pipe' })
  }
}
